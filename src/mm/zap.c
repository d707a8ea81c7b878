/*
 * zap.c - pages leave the page table.
 */
#include "mm/internal.h"

/*
 * The one question: is this page to be zapped? private: it is a copy of its own of a page of a
 * file.
 */
static bool to_be_zapped(mm_entry e, bool private, const struct mm_zap *how)
{
	switch (mm_kind(e)) {
	case MM_EMPTY:
		return false;
	case MM_PRESENT:
	case MM_SWAP:
		return !(how->keep_private && private);
	case MM_MARKER:
		/* Poison goes where private copies go: it is no mark of protection. */
		return e & MM_POISON ? !how->keep_private : !how->keep_markers;
	}
	return false;
}

/* Which of the pages are private copies. They only matter when those are to be kept. */
static void find_private(const struct mm_view *v, uint64_t page, uint64_t n, uint64_t *bits)
{
	for (uint64_t i = 0; i < (n + 63) / 64; i++)
		bits[i] = 0;
	if (v->table->map.kind == MACH_MAP_PRIVATE)
		mach_pages_private(&v->span, page, n, bits);
}

/* Forget one page, wherever its contents are. What stays behind is the entry's new word. */
static mm_entry zap_entry(mm_entry e, const struct mm_zap *how)
{
	if (mm_kind(e) == MM_SWAP && mm_value(e) >= MACH_SWAP_FIRST)
		mach_swap_free(mm_value(e));
	return how->keep_markers && (e & MM_WP) ? mm_make_marker(MM_WP) : 0;
}

/* Pages [page, page + n) of one leaf, whose entries begin at e. */
static void zap_run(struct mm_space *space, const struct mm_view *v, uint64_t page, uint64_t n,
		    mm_entry *e, const struct mm_zap *how)
{
	const struct mm_type *type = mm_types[v->table->type];
	uint64_t private[MM_LEAF_ENTRIES / 64], i, run;
	int64_t gone = 0;

	if (how->keep_private)
		find_private(v, page, n, private);
	for (i = 0; i < n; i += run) {
		bool zap = false;

		for (run = 0; i + run < n; run++) {
			uint64_t at = i + run;
			bool copy = how->keep_private && (private[at / 64] >> (at % 64) & 1);
			bool this = to_be_zapped(e[at], copy, how) || mm_kind(e[at]) == MM_EMPTY;

			if (run > 0 && this != zap)
				break;
			zap = this;
			gone += zap && mm_kind(e[at]) == MM_PRESENT;
			if (zap)
				e[at] = zap_entry(e[at], how);
		}
		if (zap && type->remove)
			type->remove(v, page + i, run);
	}
	mm_account(space, v->table, -gone);
}

void mm_zap(struct mm_space *space, struct mm_area *a, uint64_t start, uint64_t end,
	    const struct mm_zap *how)
{
	uint64_t page = mm_area_page(a, start), last = mm_area_page(a, end), n;
	struct mm_view v = mm_area_view(a);

	if (!how->unmapped)
		mach_tlb_limit(&v.span, page, last - page, 0);
	else
		v.span.addr = 0;
	if (v.table->map.aside)
		mach_aside_drop(&v.table->map, page, last - page);
	for (; page < last; page += n) {
		mm_entry *entries;

		n = mm_leaf_run(page, last - page);
		mm_leaf_peek(v.table, page, &entries);
		if (entries)
			zap_run(space, &v, page, n, entries + page % MM_LEAF_ENTRIES, how);
		mm_leaf_unlock(v.table, page);
	}
}
