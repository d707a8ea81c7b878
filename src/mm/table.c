/*
 * table.c - page tables: leaves of 512 entries, made when first needed; opening pages in the TLB;
 * drawing in contents that stand aside.
 */
#include "mm/internal.h"

#include <errno.h>

struct mm_table *mm_table_new(uint64_t npages, uint32_t type)
{
	struct mm_table *table = arena_alloc(sizeof(*table));
	uint64_t nslots = (npages + MM_LEAF_ENTRIES - 1) / MM_LEAF_ENTRIES;
	struct mm_leaf_slot *slots;

	if (!table)
		return NULL;
	slots = arena_alloc(nslots * sizeof(*slots));
	if (!slots) {
		arena_free(table, sizeof(*table));
		return NULL;
	}
	table->slots = arena_ref(slots);
	table->nslots = nslots;
	table->live = npages;
	table->type = type;
	return table;
}

void mm_table_free(struct mm_table *table)
{
	struct mm_leaf_slot *slots = arena_at(table->slots);

	for (uint64_t i = 0; i < table->nslots; i++)
		arena_free(arena_at(slots[i].leaf), sizeof(struct mm_leaf));
	arena_free(slots, table->nslots * sizeof(*slots));
	arena_free(table, sizeof(*table));
}

static struct mm_leaf_slot *slot_of(struct mm_table *table, uint64_t page)
{
	struct mm_leaf_slot *slots = arena_at(table->slots);

	return &slots[page / MM_LEAF_ENTRIES];
}

/* What stands aside was present before the range was managed: enter it as swap entries. */
static void enter_aside(struct mm_table *table, uint64_t first, struct mm_leaf *leaf)
{
	uint64_t bits[MM_LEAF_ENTRIES / 64] = {0};
	uint64_t n = mm_min(MM_LEAF_ENTRIES, table->map.npages - first);

	mach_aside_query(&table->map, first, n, bits);
	for (uint64_t i = 0; i < n; i++)
		if (bits[i / 64] >> (i % 64) & 1)
			leaf->entry[i] = mm_make_swap(first + i, MM_SOFTDIRTY);
}

int mm_leaf_lock(struct mm_table *table, uint64_t page, bool make, mm_entry **entries)
{
	struct mm_leaf_slot *slot = slot_of(table, page);
	struct mm_leaf *leaf;

	mach_lock(&slot->lock);
	leaf = arena_at(slot->leaf);
	if (!leaf && (make || table->map.aside)) {
		leaf = arena_alloc(sizeof(*leaf));
		if (!leaf) {
			mach_unlock(&slot->lock);
			return -ENOMEM;
		}
		if (table->map.aside)
			enter_aside(table, page - page % MM_LEAF_ENTRIES, leaf);
		slot->leaf = arena_ref(leaf);
		mm_note_bookkeeping(mm_space_self);
	}
	*entries = leaf ? leaf->entry : NULL;
	return 0;
}

void mm_leaf_peek(struct mm_table *table, uint64_t page, mm_entry **entries)
{
	struct mm_leaf_slot *slot = slot_of(table, page);
	struct mm_leaf *leaf;

	mach_lock(&slot->lock);
	leaf = arena_at(slot->leaf);
	*entries = leaf ? leaf->entry : NULL;
}

void mm_leaf_unlock(struct mm_table *table, uint64_t page)
{
	mach_unlock(&slot_of(table, page)->lock);
}

uint32_t mm_entry_prot(const struct mm_area *a, mm_entry e)
{
	uint32_t prot = a->prot;

	if (mm_kind(e) != MM_PRESENT || ((e & MM_RWP) && (a->modes & MM_MODE_RWP)))
		return 0;
	if ((e & MM_WP) && (a->modes & MM_MODE_WP))
		prot &= ~UF_PROT_WRITE;
	return prot;
}

int mm_open(const struct mm_area *a, uint64_t page, uint64_t n, uint32_t prot)
{
	struct mach_span span = mm_area_span(a);
	int err;

	if (!prot)
		return 0;
	err = mach_tlb_open(&span, page, n, prot);
	/* Now and then is enough: a mapping more or less between is not the point. */
	if (page % MM_AROUND == 0)
		mm_note_mappings(mm_space_self);
	return err;
}

/*
 * Neighbours that stand aside too come along: their contents are what they are, so nobody can see
 * the difference, and they save a trap each.
 */
int mm_draw(struct mm_space *space, const struct mm_area *a, uint64_t page, mm_entry *entries)
{
	struct mm_table *table = mm_area_table(a);
	uint64_t base = page - page % MM_LEAF_ENTRIES, first = page, last = page + 1;
	uint64_t lo = mm_max(a->pgoff, page - page % MM_AROUND);
	uint64_t hi = mm_min(mm_area_page(a, a->end), page - page % MM_AROUND + MM_AROUND);

	while (first > lo && mm_kind(entries[first - 1 - base]) == MM_SWAP)
		first--;
	while (last < hi && mm_kind(entries[last - base]) == MM_SWAP)
		last++;
	for (uint64_t p = first; p < last; p++) {
		int err = mm_area_type(a)->alloc(table, p);

		if (err)
			return err;
	}
	mach_aside_draw(&table->map, first, last - first);
	for (uint64_t i = first - base; i < last - base; i++)
		entries[i] =
			mm_make_present(base + i, entries[i] & (MM_WP | MM_RWP | MM_SOFTDIRTY));
	mm_stat_add(space->stats, MM_STAT_DRAWN, last - first);
	return 0;
}
