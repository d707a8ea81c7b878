/*
 * zap.c - pages leave the page table.
 */
#include "mm/internal.h"

/* Is this page to be zapped, and what stays in its place? */
static mm_entry zapped(mm_entry e, const struct mm_zap *how)
{
	switch (mm_kind(e)) {
	case MM_EMPTY:
		return e;
	case MM_PRESENT:
	case MM_SWAP:
		return how->keep_markers && (e & MM_WP) ? mm_make_marker(MM_WP) : 0;
	case MM_MARKER:
		return how->keep_markers ? e : 0;
	}
	return 0;
}

void mm_zap(struct mm_area *a, uint64_t start, uint64_t end, const struct mm_zap *how)
{
	struct mm_table *table = mm_area_table(a);
	const struct mm_type *type = mm_area_type(a);
	struct mach_span span = mm_area_span(a);
	uint64_t page = mm_area_page(a, start), last = mm_area_page(a, end), n;

	if (!how->unmapped)
		mach_tlb_limit(&span, page, last - page, 0);
	if (table->map.aside)
		mach_aside_drop(&table->map, page, last - page);
	for (; page < last; page += n) {
		uint64_t base = page - page % MM_LEAF_ENTRIES;
		mm_entry *entries;

		n = mm_leaf_run(page, last - page);
		mm_leaf_peek(table, page, &entries);
		for (uint64_t i = page - base; entries && i < page - base + n; i++)
			entries[i] = zapped(entries[i], how);
		if (entries)
			type->remove(table, page, n);
		mm_leaf_unlock(table, page);
	}
}
