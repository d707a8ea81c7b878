/* SPDX-License-Identifier: MIT */
/*
 * extra.c - a type that is not there: lines.sh adds it. Each word of its pages holds where it is.
 */
#include "mm/mm.h"

#include <errno.h>

static int extra_lookup(const struct mm_view *v, uint64_t page)
{
	return page < v->table->map.npages ? 1 : -EFAULT;
}

static long extra_alloc(const struct mm_view *v, uint64_t page, uint64_t n)
{
	(void)v;
	(void)page;
	(void)n;
	return -EEXIST;
}

static int extra_fetch(const struct mm_view *v, uint64_t page, void *buf)
{
	uint64_t *word = buf;

	(void)v;
	for (uint64_t i = 0; i < UF_PAGE_SIZE / sizeof(*word); i++)
		word[i] = page * UF_PAGE_SIZE + i * sizeof(*word);
	return 0;
}

const struct mm_type mm_type_extra = {
	.name = "extra",
	.page_shift = UF_PAGE_SHIFT,
	.modes = MM_MODE_MISSING | MM_MODE_WP,
	.flags = MM_TYPE_MARK_EMPTY,
	.adopt = mm_frames_adopt,
	.extend = mm_frames_extend,
	.lookup = extra_lookup,
	.alloc = extra_alloc,
	.insert = mm_default_insert_none,
	.remove = mm_default_remove,
	.zero = mm_default_zero,
	.populate = mm_frames_populate,
	.fetch = extra_fetch,
};
