/*
 * protect.c - write-protection and read-write-protection of ranges.
 *
 * Setting restricts, so it runs alone (write lock): first the TLB, one call for the whole stretch,
 * then the entries. Clearing may run beside faults and fills: leaf by leaf, or a few at once in the
 * order of their pages, entries first, then the TLB is opened for what is there, so that the next
 * access does not trap again.
 */
#include "mm/internal.h"

#include <errno.h>
#include <string.h>

static mm_entry protect_entry(mm_entry e, uint64_t bit, bool mark_empty)
{
	switch (mm_kind(e)) {
	case MM_EMPTY:
		return mark_empty ? mm_make_marker(MM_WP) : e;
	case MM_PRESENT:
	case MM_SWAP:
		return e | bit;
	case MM_MARKER:
		return e;
	}
	return e;
}

static int set_area(const struct mm_area *a, uint64_t start, uint64_t end, uint64_t bit,
		    bool mark_empty)
{
	struct mm_table *table = mm_area_table(a);
	uint64_t page = mm_area_page(a, start), last = mm_area_page(a, end), n;
	struct mach_span span = mm_area_span(a);
	int err;

	mach_tlb_limit(&span, page, last - page, bit == MM_WP ? a->prot & ~UF_PROT_WRITE : 0);
	for (; page < last; page += n) {
		uint64_t base = page - page % MM_LEAF_ENTRIES;
		mm_entry *entries;

		n = mm_leaf_run(page, last - page);
		err = mm_leaf_lock(table, page, mark_empty, &entries);
		if (err)
			return err;
		for (uint64_t i = page - base; entries && i < page - base + n; i++)
			entries[i] = protect_entry(entries[i], bit, mark_empty);
		mm_leaf_unlock(table, page);
	}
	return 0;
}

/* ---- Clearing ---- */

/*
 * Leaves in a row of which a part is present, and can be opened with all that the area allows. They
 * stay locked until that is done for all of them at once: the host splits its mappings less often.
 */
struct batch {
	const struct mm_area *area;
	uint64_t page, n;
	uint64_t bits[MACH_SET_PAGES / 64];
};

static void open_batch(struct batch *b)
{
	struct mm_table *table = mm_area_table(b->area);
	struct mach_span span = mm_area_span(b->area);
	uint64_t end = b->page + b->n;

	if (b->n == 0)
		return;
	mm_note_mappings(mm_space_self);
	(void)mach_tlb_open_set(&span, b->page, b->n, b->bits, b->area->prot);
	for (uint64_t p = b->page; p < end; p += mm_leaf_run(p, end - p))
		mm_leaf_unlock(table, p);
	b->n = 0;
	memset(b->bits, 0, sizeof(b->bits));
}

/* A locked leaf joins the batch, or is the first of a new one. */
static void add_leaf(struct batch *b, uint64_t page, uint64_t n, const uint64_t *bits)
{
	if (b->n + n > MACH_SET_PAGES)
		open_batch(b);
	if (b->n == 0)
		b->page = page;
	for (uint64_t i = 0; i < n; i++)
		b->bits[(b->n + i) / 64] |= (bits[i / 64] >> (i % 64) & 1) << ((b->n + i) % 64);
	b->n += n;
}

/* The pages of a leaf that are present, by what they may have. */
struct present {
	uint64_t whole[MM_LEAF_ENTRIES / 64], part[MM_LEAF_ENTRIES / 64];
	uint64_t wholes, parts;
};

static void find_present(const struct mm_area *a, uint64_t n, mm_entry *e, struct present *p)
{
	bool reference = mm_area_type(a)->flags & MM_TYPE_RECLAIM;

	*p = (struct present){0};
	for (uint64_t i = 0; i < n; i++) {
		uint32_t prot = mm_entry_prot(a, e[i]);
		uint64_t bit = 1ull << (i % 64);

		if (prot == 0)
			continue;
		if (reference)
			e[i] = (e[i] & ~MM_BUSY) | MM_REF;
		if (prot == a->prot) {
			p->whole[i / 64] |= bit;
			p->wholes++;
		} else {
			p->part[i / 64] |= bit;
			p->parts++;
		}
	}
}

static void clear_entries(mm_entry *e, uint64_t n, uint64_t bit)
{
	for (uint64_t i = 0; i < n; i++) {
		if (e[i] == mm_make_marker(bit))
			e[i] = 0;
		else if (mm_kind(e[i]) != MM_MARKER)
			e[i] &= ~bit;
	}
}

/* What cannot be opened stays closed, and opens when it is touched. */
static void clear_area(const struct mm_area *a, uint64_t start, uint64_t end, uint64_t bit)
{
	struct mm_table *table = mm_area_table(a);
	uint64_t page = mm_area_page(a, start), last = mm_area_page(a, end), n;
	struct mach_span span = mm_area_span(a);
	struct batch batch = {.area = a};
	struct present there = {0};

	for (; page < last; page += n) {
		mm_entry *entries;

		n = mm_leaf_run(page, last - page);
		mm_leaf_peek(table, page, &entries);
		there.wholes = there.parts = 0;
		if (entries) {
			entries += page % MM_LEAF_ENTRIES;
			clear_entries(entries, n, bit);
			find_present(a, n, entries, &there);
		}
		if (there.wholes > 0 && there.wholes < n && there.parts == 0) {
			add_leaf(&batch, page, n, there.whole);
			continue;
		}
		open_batch(&batch);
		if (there.wholes == n)
			(void)mm_open(a, page, n, entries);
		else if (there.wholes > 0)
			(void)mach_tlb_open_set(&span, page, n, there.whole, a->prot);
		if (there.parts > 0)
			(void)mach_tlb_open_set(&span, page, n, there.part,
						a->prot & ~UF_PROT_WRITE);
		mm_leaf_unlock(table, page);
	}
	open_batch(&batch);
}

/* ---- Ranges of areas ---- */

/* Does write-protecting an empty entry of this area leave a marker? */
static bool marks_empty(const struct mm_area *a, uint64_t bit)
{
	if (bit != MM_WP)
		return false;
	return (mm_area_type(a)->flags & MM_TYPE_MARK_EMPTY) ||
	       mm_handler->wp_unpopulated(a->handler);
}

/* Has the host something mapped in [start, end), where no area is? */
static bool foreign(uint64_t start, uint64_t end)
{
	struct mach_vma vma;

	return start < end && mach_vma_next(start, &vma) == 0 && vma.start < end;
}

static int protect_areas(struct mm_space *space, uint64_t start, uint64_t end, uint32_t mode,
			 bool set)
{
	uint64_t bit = mode == MM_MODE_WP ? MM_WP : MM_RWP;
	uint32_t i = mm_area_index(space, start);
	struct mm_area *a;
	int err = -ENOENT;

	for (; (a = mm_area_at(space, i)) != NULL && a->start < end; i++, start = a->end) {
		uint64_t from = mm_max(start, a->start), to = mm_min(end, a->end);

		if (!(a->modes & mode) || foreign(start, from))
			return -ENOENT;
		if ((from | to) & (mm_area_page_size(a) - 1))
			return -EINVAL;
		err = 0;
		if (set)
			err = set_area(a, from, to, bit, marks_empty(a, bit));
		else
			clear_area(a, from, to, bit);
		if (err)
			return err;
	}
	return !err && foreign(start, end) ? -ENOENT : err;
}

int mm_protect(struct mm_space *space, uint64_t start, uint64_t len, uint32_t mode, bool set)
{
	int err;

	if (set)
		mach_write_lock(&space->lock);
	else
		mm_read_lock(space);
	err = protect_areas(space, start, start + len, mode, set);
	if (set)
		mach_write_unlock(&space->lock);
	else
		mm_read_unlock(space);
	return err;
}
