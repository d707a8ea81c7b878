/*
 * anon.c - private anonymous memory: a page lives in its frame and nowhere else.
 */
#include "mm/type.h"

const struct mm_type mm_type_anon = {
	.name = "anon",
	.kinds = 1u << MACH_VMA_ANON,
	.page_shift = UF_PAGE_SHIFT,
	.modes = MM_MODE_MISSING | MM_MODE_WP | MM_MODE_RWP,
	.flags = MM_TYPE_MOVE | MM_TYPE_RECLAIM,
	.adopt = mm_frames_adopt,
	.extend = mm_frames_extend,
	.lookup = mm_default_lookup_none,
	.alloc = mm_frames_alloc,
	.insert = mm_default_insert_none,
	.remove = mm_default_remove,
	.zero = mm_default_zero,
	.populate = mm_frames_populate,
	.move = mm_default_move_copy,
};
