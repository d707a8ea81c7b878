/*
 * guest_memfd.c - the memory of a KVM guest: minor faults on pages that the file already has. What
 * a type of this sort has to bring is `map`.
 */
#include "mm/type.h"

const struct mm_type mm_type_guest_memfd = {
	.name = "guest_memfd",
	.kinds = 1u << MACH_VMA_GMEM,
	.page_shift = UF_PAGE_SHIFT,
	.modes = MM_MODE_MINOR,
	.adopt = mm_file_adopt,
	.extend = mm_file_extend,
	.mapped = mm_file_mapped,
	.lookup = mm_file_lookup,
	.insert = mm_default_insert_none,
	.remove = mm_default_remove,
	.populate = mm_file_populate,
	.map = mm_file_map,
};
