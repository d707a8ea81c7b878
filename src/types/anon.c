/*
 * anon.c - private anonymous memory: a page lives in its frame and nowhere else.
 */
#include "mm/mm.h"

#include <errno.h>

static int anon_adopt(struct mm_table *table, uint64_t start, uint64_t end,
		      const struct mach_vma *vma)
{
	return mach_map_adopt(&table->map, start, (end - start) >> UF_PAGE_SHIFT, vma->prot);
}

/* A page's frame is the one at its own index: there is nothing to choose. */
static int anon_alloc(struct mm_table *table, uint64_t page)
{
	return page < table->map.npages ? 0 : -ENOMEM;
}

static void anon_remove(struct mm_table *table, uint64_t page, uint64_t n)
{
	mach_frames_drop(&table->map, page, n);
}

const struct mm_type mm_type_anon = {
	.name = "anon",
	.kind = MACH_VMA_ANON,
	.page_shift = UF_PAGE_SHIFT,
	.modes = MM_MODE_MISSING | MM_MODE_WP | MM_MODE_RWP,
	.mark_empty = false,
	.adopt = anon_adopt,
	.lookup = mm_default_lookup_none,
	.alloc = anon_alloc,
	.insert = mm_default_insert_none,
	.remove = anon_remove,
	.zero = mm_default_zero,
	.map = NULL,
	.move = mm_default_move_copy,
	.writeback = NULL,
};
