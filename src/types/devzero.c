/*
 * devzero.c - private mappings of /dev/zero: they can be registered, and nothing can fill them,
 * since to the kernel every page lies past the end of an empty file; but pages can be moved there.
 */
#include "mm/type.h"

#include <errno.h>

static long devzero_alloc(const struct mm_view *v, uint64_t page, uint64_t n)
{
	(void)v;
	(void)page;
	(void)n;
	return -EFAULT;
}

const struct mm_type mm_type_devzero = {
	.name = "devzero",
	.kinds = 1u << MACH_VMA_DEVZERO,
	.page_shift = UF_PAGE_SHIFT,
	.modes = MM_MODE_MISSING | MM_MODE_WP | MM_MODE_RWP,
	.flags = MM_TYPE_MOVE,
	.adopt = mm_frames_adopt,
	.extend = mm_frames_extend,
	.lookup = mm_default_lookup_none,
	.alloc = devzero_alloc,
	.insert = mm_default_insert_none,
	.remove = mm_default_remove,
	.zero = mm_default_zero,
	.populate = mm_frames_populate,
	.move = mm_default_move_copy,
};
