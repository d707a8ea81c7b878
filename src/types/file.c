/*
 * file.c - regular files, shared and private. By default they serve asynchronous write-protection
 * alone, as on the kernel; with MM_OPTION_FILE_FAULTS everything that shmem does, where "a page is
 * there" means that the file has no hole in its place.
 */
#include "mm/type.h"

const struct mm_type mm_type_file = {
	.name = "file",
	.kinds = 1u << MACH_VMA_FILE,
	.page_shift = UF_PAGE_SHIFT,
	.modes = MM_MODE_MISSING | MM_MODE_WP | MM_MODE_MINOR,
	.flags = MM_TYPE_MARK_EMPTY | MM_TYPE_ASYNC_ONLY,
	.adopt = mm_file_adopt,
	.extend = mm_file_extend,
	.mapped = mm_file_mapped,
	.lookup = mm_file_lookup,
	.alloc = mm_file_alloc,
	.insert = mm_default_insert_none,
	.remove = mm_default_remove,
	.zero = mm_default_zero,
	.populate = mm_file_populate,
	.map = mm_file_map,
	.move = mm_default_move_copy,
	.punch = mm_file_punch,
};
