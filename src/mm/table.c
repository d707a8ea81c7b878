/*
 * table.c - page tables: leaves of 512 entries, made when first needed; opening pages in the TLB;
 * drawing in contents that stand aside.
 */
#include "mm/internal.h"
#include "mm/trace.h"

#include <errno.h>

static uint32_t index_of(const struct mm_type *type)
{
	uint32_t i = 0;

	while (mm_types[i] != type)
		i++;
	return i;
}

struct mm_table *mm_table_new(uint64_t npages, const struct mm_type *type)
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
	table->type = index_of(type);
	return table;
}

void mm_table_free(struct mm_table *table)
{
	struct mm_leaf_slot *slots = arena_at(table->slots);

	mm_reclaim_forget(table);
	for (uint64_t i = 0; i < table->nslots; i++)
		arena_free(arena_at(slots[i].leaf), sizeof(struct mm_leaf));
	arena_free(slots, table->nslots * sizeof(*slots));
	arena_free(table, sizeof(*table));
}

void mm_table_pin(struct mm_table *table)
{
	atomic_fetch_add(&table->pins, 1);
}

static void destroy(struct mm_table *table)
{
	mach_map_destroy(&table->map);
	mm_table_free(table);
}

/* With the space locked whoever retires it is kept out: one of the two sees the other's news. */
void mm_table_unpin(struct mm_space *space, struct mm_table *table)
{
	bool last;

	mm_read_lock(space);
	last = atomic_fetch_sub(&table->pins, 1) == 1 && table->live == 0;
	if (last)
		destroy(table);
	mm_read_unlock(space);
}

void mm_table_retire(struct mm_table *table)
{
	if (atomic_load(&table->pins) == 0)
		destroy(table);
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
			leaf->entry[i] = mm_make_swap(MM_SLOT_ASIDE, MM_SOFTDIRTY);
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

int mm_open(const struct mm_area *a, uint64_t page, uint64_t n, mm_entry *e)
{
	uint32_t prot = mm_entry_prot(a, *e);
	struct mach_span span;

	if (!prot)
		return 0;
	if (mm_area_type(a)->flags & MM_TYPE_RECLAIM)
		for (uint64_t i = 0; i < n; i++)
			e[i] = (e[i] & ~MM_BUSY) | MM_REF;
	/* Now and then is enough: a mapping more or less between is not the point. */
	if (page % MM_AROUND == 0)
		mm_note_mappings(mm_space_self);
	span = mm_area_span(a);
	return mach_tlb_open(&span, page, n, prot);
}

static bool stands_aside(mm_entry e)
{
	return mm_kind(e) == MM_SWAP && mm_value(e) == MM_SLOT_ASIDE;
}

/*
 * Neighbours that stand aside too come along: their contents are what they are, so nobody can see
 * the difference, and they save a trap each.
 */
static long draw_aside(struct mm_space *space, const struct mm_area *a, uint64_t page,
		       const mm_entry *entries, uint64_t *from)
{
	struct mm_view v = mm_area_view(a);
	uint64_t base = page - page % MM_LEAF_ENTRIES, first = page, last = page + 1;
	uint64_t around = mm_max(mm_area_group(a), mm_limited(space, v.table) ? 1 : MM_AROUND);
	uint64_t lo = mm_max(a->pgoff, page - page % around);
	uint64_t hi = mm_min(mm_area_page(a, a->end), page - page % around + around);
	int err;

	while (first > lo && stands_aside(entries[first - 1 - base]))
		first--;
	while (last < hi && stands_aside(entries[last - base]))
		last++;
	/* They have frames, whether or not the type could fill them. */
	err = mach_aside_draw(&v.span, first, last - first);
	*from = first;
	return err ? err : (long)(last - first);
}

static long draw_swap(const struct mm_area *a, uint64_t page, mm_entry e, uint64_t *from)
{
	struct mach_span span = mm_area_span(a);
	int err = mach_swap_in(&span, page, mm_value(e));

	*from = page;
	return err ? err : 1;
}

int mm_draw(struct mm_space *space, const struct mm_area *a, uint64_t page, mm_entry *entries)
{
	uint64_t base = page - page % MM_LEAF_ENTRIES, first = page;
	bool aside = stands_aside(entries[page - base]);
	uint64_t began = mm_trace_now();
	long n;

	if (aside)
		n = draw_aside(space, a, page, entries, &first);
	else
		n = draw_swap(a, page, entries[page - base], &first);
	if (n < 0)
		return (int)n;
	for (uint64_t i = first - base; i < first - base + (uint64_t)n; i++)
		entries[i] =
			mm_make_present(base + i, entries[i] & (MM_WP | MM_RWP | MM_SOFTDIRTY));
	mm_account(space, mm_area_table(a), n);
	mm_stat_add(space->stats, aside ? MM_STAT_DRAWN : MM_STAT_BACK, (uint64_t)n);
	if (!aside)
		mm_trace_fetch(began, mm_area_addr(a, first), (uint64_t)n << UF_PAGE_SHIFT, false);
	return 0;
}
