/*
 * reclaim.h - a limit on the pages of a space that are in memory, and how pages leave.
 *
 * Counted are the present pages of types with MM_TYPE_RECLAIM. Whoever is about to make such a page
 * present asks for room first, with no lock held, and says so when it has happened. Between the two
 * others may take the room: then the limit is exceeded by as many pages as are being made present
 * at the same time, until the next page comes.
 */
#ifndef UF_MM_RECLAIM_H
#define UF_MM_RECLAIM_H

#include "mm/mm.h"

/* A limit has room for the pages that one instruction needs at once, or it would never end. */
#define MM_LIMIT_LEAST 16

/*
 * At most this many bytes in memory, of the whole space or of the table that shows addr; 0: no
 * limit. Less than MM_LIMIT_LEAST pages count as that many. Takes effect with the next page that
 * comes. -ENOENT: nothing managed at addr; -EINVAL: its type does not leave memory; -ENOMEM.
 */
int mm_limit_space(struct mm_space *space, uint64_t bytes);
int mm_limit_area(struct mm_space *space, uint64_t addr, uint64_t bytes);

/* Which pages leave (policy.h), from now on. -EINVAL: there is no policy of this name; -ENOMEM. */
int mm_set_policy(struct mm_space *space, const char *name);

/*
 * Let pages leave until n more fit under the limits of the space and of the table that shows addr,
 * or as many as these limits allow at all. -ENOMEM when they cannot: the swap store is full, there
 * is none, or the rest is locked in memory. No locks held. May run a type's own code.
 */
int mm_reclaim(struct mm_space *space, uint64_t addr, uint64_t n);

/* MADV_PAGEOUT: what can leave of [start, start + len) leaves. What cannot stays. No locks held. */
void mm_pageout(struct mm_space *space, uint64_t start, uint64_t len);

/*
 * Take what serialises fetch and writeback of the table's type. Before all other locks, and held
 * while the type's own code runs. -EDEADLK: this thread holds it, so its type's code has faulted.
 */
int mm_store_enter(struct mm_space *space, uf_ref table);
void mm_store_leave(struct mm_space *space, uf_ref table);
/* Wait for whoever holds it; not for ourselves. No locks held. */
void mm_store_await(struct mm_space *space, uf_ref table);
/* Must an access wait while this page of the table is saved, instead of calling it back? */
bool mm_store_holds(struct mm_space *space, uf_ref table, mm_entry e);

/* The table's memory is about to be given back. */
void mm_reclaim_forget(struct mm_table *table);

/* n pages of the table came (or, negative, went). Leaf locked. */
static inline void mm_account(struct mm_space *space, struct mm_table *table, int64_t n)
{
	uint64_t before;

	if (!(mm_types[table->type]->flags & MM_TYPE_RECLAIM))
		return;
	atomic_fetch_add_explicit(&table->resident, (uint64_t)n, memory_order_relaxed);
	before = atomic_fetch_add_explicit(&space->resident, (uint64_t)n, memory_order_relaxed);
	if (n > 0)
		mm_stat_peak(space->stats, MM_STAT_RESIDENT, before + (uint64_t)n);
}

#endif
