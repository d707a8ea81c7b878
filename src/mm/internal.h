/*
 * internal.h - what the files of src/mm share with each other and with nobody else.
 */
#ifndef UF_MM_INTERNAL_H
#define UF_MM_INTERNAL_H

#include "mm/mm.h"
#include "mm/reclaim.h"

extern const struct mm_handler_ops *mm_handler;

static inline uint64_t mm_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t mm_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/*
 * The thread that forks holds the space's write lock from before the fork until after it. What runs
 * between may touch managed memory: it finds the space locked, by itself.
 */
bool mm_is_forker(struct mm_space *space);

static inline bool mm_forking(struct mm_space *space)
{
	return atomic_load_explicit(&space->forker, memory_order_relaxed) != 0 &&
	       mm_is_forker(space);
}

static inline void mm_read_lock(struct mm_space *space)
{
	if (!mm_forking(space))
		mach_read_lock(&space->lock);
}

static inline void mm_read_unlock(struct mm_space *space)
{
	if (!mm_forking(space))
		mach_read_unlock(&space->lock);
}

/* ---- Areas: space.c. Space locked. ------------------------------------------------------------
 */

/* The i-th area, NULL past the last. */
struct mm_area *mm_area_at(const struct mm_space *space, uint32_t i);
/* Index of the first area that ends above addr (nareas when there is none). */
uint32_t mm_area_index(const struct mm_space *space, uint64_t addr);
/* The area that contains addr, or NULL. */
struct mm_area *mm_area_find(const struct mm_space *space, uint64_t addr);

static inline struct mm_table *mm_area_table(const struct mm_area *a)
{
	return arena_at(a->table);
}

static inline const struct mm_type *mm_area_type(const struct mm_area *a)
{
	return mm_types[mm_area_table(a)->type];
}

/* Page of the area's table that stands at addr. */
static inline uint64_t mm_area_page(const struct mm_area *a, uint64_t addr)
{
	return a->pgoff + ((addr - a->start) >> UF_PAGE_SHIFT);
}

/* Address at which a page of the area's table stands. */
static inline uint64_t mm_area_addr(const struct mm_area *a, uint64_t page)
{
	return a->start + ((page - a->pgoff) << UF_PAGE_SHIFT);
}

struct mach_span mm_area_span(const struct mm_area *a);
struct mm_view mm_area_view(const struct mm_area *a);

/* Base pages in a page of the area's type, and its size in bytes. */
static inline uint64_t mm_area_group(const struct mm_area *a)
{
	return (uint64_t)1 << (mm_area_type(a)->page_shift - UF_PAGE_SHIFT);
}

static inline uint64_t mm_area_page_size(const struct mm_area *a)
{
	return (uint64_t)1 << mm_area_type(a)->page_shift;
}

/* Would the kernel have these two neighbours as one VMA? */
bool mm_area_same(const struct mm_area *a, const struct mm_area *b);

/*
 * One past the last address up to which areas from `addr`'s on are one VMA to the kernel; 0 when
 * addr is in no area.
 */
uint64_t mm_area_run_end(const struct mm_space *space, uint64_t addr);

/* Write lock held from here on. Areas with a border inside get split there. -ENOMEM. */
int mm_area_split(struct mm_space *space, uint64_t addr);
int mm_area_split_range(struct mm_space *space, uint64_t start, uint64_t end);
/* Join neighbours in and around [start, end) that are one again. */
void mm_area_merge(struct mm_space *space, uint64_t start, uint64_t end);
/* Put in a new area with these fields; it overlaps none. -ENOMEM. */
int mm_area_insert(struct mm_space *space, const struct mm_area *fields);
/*
 * The same in two steps, for callers that must not fail in between: an area with room for it kept,
 * to be freed or put in before another is asked for.
 */
struct mm_area *mm_area_new(struct mm_space *space, const struct mm_area *fields);
void mm_area_link(struct mm_space *space, struct mm_area *a);
/*
 * The same for an area that shows all of a new table. begin: NULL, and the table is gone, when
 * there is no memory. Between the two the caller makes the host's side of the table: last of all,
 * because once the range is ours, only an area can show what it contains. err is what came of that;
 * not 0: area and table are gone. Returns err.
 */
struct mm_area *mm_area_begin(struct mm_space *space, const struct mm_area *fields,
			      struct mm_table *table);
int mm_area_finish(struct mm_space *space, struct mm_area *a, int err);
/* Let it begin at another address. */
void mm_area_rebase(struct mm_space *space, struct mm_area *a, uint64_t start);
/*
 * Take the areas that lie in [start, end) out of the space, zap their pages, destroy tables that
 * nothing shows any more. Borders have been split. The program's range is unmapped already.
 */
void mm_area_remove_range(struct mm_space *space, uint64_t start, uint64_t end);
/* The same where the host has unmapped them on its own, and perhaps mapped something else. */
void mm_area_forget(struct mm_space *space, uint64_t start, uint64_t end);
/* Make room for n more areas, so that inserts and splits cannot fail. -ENOMEM. */
int mm_area_reserve(struct mm_space *space, uint32_t n);

/* An empty table for a map that the caller then fills in. NULL: no memory. */
struct mm_table *mm_table_new(uint64_t npages, const struct mm_type *type);
void mm_table_free(struct mm_table *table);

/*
 * Keep a table from being freed although the space is let go of: pinned with the space locked and
 * an area there; unpinned without locks.
 */
void mm_table_pin(struct mm_table *table);
void mm_table_unpin(struct mm_space *space, struct mm_table *table);
/* Nothing shows the table any more: it and its map go, as soon as nobody has it pinned. */
void mm_table_retire(struct mm_table *table);

/*
 * What serialises fetch and writeback of the table's type: taken before all other locks, and held
 * while the type's own code runs.
 */
static inline struct mach_lock *mm_store_lock(struct mm_space *space, uf_ref table)
{
	return &space->store_lock[table % MM_STORE_LOCKS];
}

/* Does a limit hold for the table's pages, and how many more may be in memory under it? */
static inline bool mm_limited(const struct mm_space *space, const struct mm_table *table)
{
	return (mm_types[table->type]->flags & MM_TYPE_RECLAIM) &&
	       (table->limit || atomic_load_explicit(&space->limit, memory_order_relaxed) != 0);
}

static inline uint64_t mm_room(const struct mm_space *space, const struct mm_table *table)
{
	uint64_t room = UINT64_MAX, most, have;

	if (!mm_limited(space, table))
		return room;
	most = atomic_load_explicit(&space->limit, memory_order_relaxed);
	have = atomic_load_explicit(&space->resident, memory_order_relaxed);
	if (most)
		room = most > have ? most - have : 0;
	have = atomic_load_explicit(&table->resident, memory_order_relaxed);
	if (table->limit)
		room = mm_min(room, table->limit > have ? table->limit - have : 0);
	return room;
}

/* Protection marks and their markers go; poison stays. Nothing is opened: a touch does that. */
void mm_clear_marks(const struct mm_area *a);

/*
 * What of [addr, addr + len) is not managed yet becomes an area. Write lock held. -ENOENT: nothing
 * at addr; -EINVAL: not of a kind that can, or with holes; -ENOMEM.
 */
int mm_take_over_range(struct mm_space *space, uint64_t addr, uint64_t len);

/* ---- Leaves: table.c. Space locked. -----------------------------------------------------------
 */

/*
 * Lock the leaf of `page`. *entries is its array, or NULL when there is none yet (all empty) and
 * make is false. Contents that stand aside are in it as swap entries. -ENOMEM: not locked.
 */
int mm_leaf_lock(struct mm_table *table, uint64_t page, bool make, mm_entry **entries);
/* Lock it and see what is there, without making it: aside contents stay unknown. */
void mm_leaf_peek(struct mm_table *table, uint64_t page, mm_entry **entries);
void mm_leaf_unlock(struct mm_table *table, uint64_t page);

/* Pages from `page` to the end of its leaf, at most n. */
static inline uint64_t mm_leaf_run(uint64_t page, uint64_t n)
{
	return mm_min(n, MM_LEAF_ENTRIES - page % MM_LEAF_ENTRIES);
}

/* What the TLB may let through for a present entry of this area; 0: nothing. */
uint32_t mm_entry_prot(const struct mm_area *a, mm_entry e);

/*
 * Open pages [page, page + n) that are present with one and the same protection; e is the entry of
 * the first. Leaf locked. -ENOMEM: they stay closed, and open when they are touched.
 */
int mm_open(const struct mm_area *a, uint64_t page, uint64_t n, mm_entry *e);

/*
 * A page that is opened or drawn in takes those of its neighbours along that can be had in the same
 * way, within a group of this many (a divisor of MM_LEAF_ENTRIES).
 */
#define MM_AROUND 16

/*
 * Swap entry to present entry: bring its contents in, from wherever but the type's own store. Leaf
 * locked. -ENOMEM, -EIO.
 */
int mm_draw(struct mm_space *space, const struct mm_area *a, uint64_t page, mm_entry *entries);

/* Is this swap entry's page to be fetched with mm_fetch, not drawn? */
static inline bool mm_in_type_store(mm_entry e)
{
	return mm_kind(e) == MM_SWAP && mm_value(e) == MM_SLOT_TYPE;
}

/* ---- Zap: zap.c -------------------------------------------------------------------------------
 */

struct mm_zap {
	bool keep_markers; /* protection marks survive as markers (file-backed memory) */
	bool keep_private; /* only pages that are the file's, not private copies of them */
	bool unmapped; /* the range does not show the area any more: its addresses are others' */
};

/*
 * Empty the entries of [start, end) of the area: TLB closed, frames given back. Write lock held.
 */
void mm_zap(struct mm_space *space, struct mm_area *a, uint64_t start, uint64_t end,
	    const struct mm_zap *how);

/*
 * The file's pages that the table shows from `page` on are about to leave it: no area shows them
 * any more. Write lock held. map.c.
 */
void mm_file_vacate(struct mm_space *space, const struct mm_table *table, uint64_t page,
		    uint64_t n);

/* Is the page at addr marked as poisoned? No locks held. */
bool mm_poisoned(struct mm_space *space, uint64_t addr);

/* Note the highest use of host mappings, and of bookkeeping, so far. space.c. */
void mm_note_mappings(struct mm_space *space);
void mm_note_bookkeeping(struct mm_space *space);

#endif
