/*
 * fork.c - a space becomes two.
 *
 * The machine sees to it that contents are copied on write. What is done here is to hold everybody
 * else off while the host copies the process, and to make the child's copy of the space its own.
 */
#include "mm/internal.h"
#include "mm/trace.h"

#include <string.h>

static void tell_handlers(struct mm_space *space)
{
	struct mm_area *a;

	for (uint32_t i = 0; (a = mm_area_at(space, i)) != NULL; i++)
		if (a->handler && mm_handler->wants(a->handler, MM_EVENT_FORK))
			mm_handler->forking(a->handler);
}

void mm_fork_begin(struct mm_space *space)
{
	mach_write_lock(&space->lock);
	arena_hold();
	tell_handlers(space);
	space->parent = mach_tid();
	atomic_store(&space->forker, mach_tid());
	mach_fork_begin();
}

void mm_fork_parent(struct mm_space *space)
{
	mach_fork_parent();
	atomic_store(&space->forker, 0);
	arena_release();
	mach_write_unlock(&space->lock);
}

/* In the child, before anything of ours is used: once. */
static void take_over(struct mm_space *space)
{
	mach_fork_child();
	arena_take_over();
	atomic_store(&space->forker, mach_tid());
}

/* The child may touch managed memory, its stack say, before it can tell that it is one. */
bool mm_is_forker(struct mm_space *space)
{
	if (atomic_load(&space->forker) == mach_tid())
		return true;
	if (!mach_fork_pending())
		return false;
	take_over(space);
	return true;
}

/*
 * Who was in the middle of something with the space let go of is not in the child. That may be the
 * forking thread itself, in the code of a type: then it goes on.
 */
static void forget_others(struct mm_space *space, uint32_t parent)
{
	uint32_t me = mach_tid();
	bool inside = false;
	struct mm_area *a;

	for (unsigned i = 0; i < MM_STORE_LOCKS; i++) {
		if (atomic_load(&space->store_owner[i]) == parent) {
			atomic_store(&space->store_owner[i], me);
			inside = true;
			continue;
		}
		atomic_store(&space->store_owner[i], 0);
		memset(&space->store_lock[i], 0, sizeof(space->store_lock[i]));
	}
	for (uint32_t i = 0; !inside && (a = mm_area_at(space, i)) != NULL; i++)
		atomic_store(&mm_area_table(a)->pins, 0);
}

/* Other handlers, and no memory that is locked. */
static void settle_area(struct mm_area *a)
{
	uf_ref child = a->handler ? mm_handler->child(a->handler) : 0;

	a->flags &= ~MM_AREA_LOCKED;
	if (a->handler && !child) {
		if (a->modes & (MM_MODE_WP | MM_MODE_RWP))
			mm_clear_marks(a);
		a->modes = 0;
	}
	a->handler = child;
	if (child)
		mm_trace_range(TRACE_RANGE, 0, 0, a->start, a->end - a->start, a->modes);
}

/* What the program has asked not to be inherited. */
static void drop_area(struct mm_space *space, struct mm_area *a, uint64_t *next)
{
	const struct mm_zap all = {0};

	*next = a->end;
	if (a->flags & MM_AREA_WIPEFORK)
		mm_zap(space, a, a->start, a->end, &all);
	if ((a->flags & MM_AREA_DONTFORK) && mach_munmap(a->start, a->end - a->start) == 0)
		mm_area_remove_range(space, a->start, a->end);
}

void mm_fork_child(struct mm_space *space, struct mm_stats *stats)
{
	struct mm_area *a;

	if (mach_fork_pending())
		take_over(space);
	arena_release();
	memset(&space->own_stats, 0, sizeof(space->own_stats));
	space->stats = stats ? stats : &space->own_stats;
	forget_others(space, space->parent);
	atomic_store(&space->forker, 0);
	for (uint32_t i = 0; (a = mm_area_at(space, i)) != NULL; i++)
		settle_area(a);
	for (uint64_t at = 0; (a = mm_area_at(space, mm_area_index(space, at))) != NULL;)
		drop_area(space, a, &at);
	mm_area_merge(space, 0, mach_task_size());
	mach_fork_unlock(&space->lock);
}

void mm_space_count(struct mm_space *space, struct mm_stats *stats)
{
	struct mm_stats *own = &space->own_stats;

	mach_write_lock(&space->lock);
	if (stats && space->stats == own) {
		for (unsigned i = 0; i < MM_STAT_MAX; i++)
			mm_stat_add(stats, i, atomic_load(&own->count[i]));
		for (unsigned i = 0; i < MM_LATENCY_BUCKETS; i++)
			atomic_fetch_add(&stats->latency[i], atomic_load(&own->latency[i]));
	}
	space->stats = stats ? stats : own;
	mach_write_unlock(&space->lock);
}
