/*
 * shmem.c - shared anonymous memory, memfds, files on tmpfs, SysV segments, shared and private: the
 * program's own file holds the pages, and everybody else who looks into it sees them.
 */
#include "mm/type.h"

const struct mm_type mm_type_shmem = {
	.name = "shmem",
	.kinds = 1u << MACH_VMA_SHMEM,
	.page_shift = UF_PAGE_SHIFT,
	.modes = MM_MODE_MISSING | MM_MODE_WP | MM_MODE_MINOR | MM_MODE_RWP,
	.flags = MM_TYPE_MARK_EMPTY,
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
