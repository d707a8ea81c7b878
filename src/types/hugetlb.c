/*
 * hugetlb.c - huge pages of 2 MiB, the host's or emulated on ordinary memory: filled, protected and
 * reported as one. As on the kernel there is no ZEROPAGE and no MOVE for them.
 */
#include "mm/type.h"

const struct mm_type mm_type_hugetlb = {
	.name = "hugetlb",
	.kinds = 1u << MACH_VMA_HUGETLB,
	.page_shift = 21,
	.modes = MM_MODE_MISSING | MM_MODE_WP | MM_MODE_MINOR | MM_MODE_RWP,
	.flags = MM_TYPE_MARK_EMPTY,
	.adopt = mm_file_adopt,
	.extend = mm_file_extend,
	.mapped = mm_file_mapped,
	.lookup = mm_file_lookup,
	.alloc = mm_file_alloc,
	.insert = mm_default_insert_none,
	.remove = mm_default_remove,
	.populate = mm_file_populate,
	.map = mm_file_map,
	.punch = mm_file_punch,
};
