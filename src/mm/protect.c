/*
 * protect.c - write-protection and read-write-protection of ranges.
 *
 * Setting restricts, so it runs alone (write lock): first the TLB, one call for the whole stretch,
 * then the entries. Clearing may run beside faults and fills: leaf by leaf, entries first, then
 * the TLB is opened for what is there, so that the next access does not trap again.
 */
#include "mm/internal.h"

#include <errno.h>

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

/* `count` of the n pages from e[0] on, which is `page`, may have this protection. */
static void open_set(const struct mm_area *a, uint64_t page, uint64_t n, mm_entry *e,
		     const uint64_t *bits, uint64_t count, uint32_t prot)
{
	struct mach_span span = mm_area_span(a);

	if (count == 0)
		return;
	if (count == n) {
		(void)mm_open(a, page, n, e);
		return;
	}
	for (uint64_t i = 0; (mm_area_type(a)->flags & MM_TYPE_RECLAIM) && i < n; i++)
		if (bits[i / 64] >> (i % 64) & 1)
			e[i] = (e[i] & ~MM_BUSY) | MM_REF;
	mm_note_mappings(mm_space_self);
	(void)mach_tlb_open_set(&span, page, n, bits, prot);
}

/* Open what is there of a leaf's pages. What cannot be opened opens when it is touched. */
static void open_present(const struct mm_area *a, uint64_t page, uint64_t n, mm_entry *e)
{
	uint64_t whole[MM_LEAF_ENTRIES / 64] = {0}, part[MM_LEAF_ENTRIES / 64] = {0};
	uint64_t wholes = 0, parts = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint32_t prot = mm_entry_prot(a, e[i]);
		uint64_t bit = 1ull << (i % 64);

		if (prot == 0)
			continue;
		if (prot == a->prot) {
			whole[i / 64] |= bit;
			wholes++;
		} else {
			part[i / 64] |= bit;
			parts++;
		}
	}
	open_set(a, page, n, e, whole, wholes, a->prot);
	open_set(a, page, n, e, part, parts, a->prot & ~UF_PROT_WRITE);
}

static int clear_area(const struct mm_area *a, uint64_t start, uint64_t end, uint64_t bit)
{
	struct mm_table *table = mm_area_table(a);
	uint64_t page = mm_area_page(a, start), last = mm_area_page(a, end), n;

	for (; page < last; page += n) {
		uint64_t base = page - page % MM_LEAF_ENTRIES;
		mm_entry *entries;

		n = mm_leaf_run(page, last - page);
		mm_leaf_peek(table, page, &entries);
		for (uint64_t i = page - base; entries && i < page - base + n; i++) {
			if (entries[i] == mm_make_marker(bit))
				entries[i] = 0;
			else if (mm_kind(entries[i]) != MM_MARKER)
				entries[i] &= ~bit;
		}
		if (entries)
			open_present(a, page, n, &entries[page - base]);
		mm_leaf_unlock(table, page);
	}
	return 0;
}

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
		err = set ? set_area(a, from, to, bit, marks_empty(a, bit))
			  : clear_area(a, from, to, bit);
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
		mach_read_lock(&space->lock);
	err = protect_areas(space, start, start + len, mode, set);
	if (set)
		mach_write_unlock(&space->lock);
	else
		mach_read_unlock(&space->lock);
	return err;
}
