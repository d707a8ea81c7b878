/*
 * remap.c - mremap of managed ranges. Tables move along whole: only areas change.
 */
#include "mm/events.h"
#include "mm/trace.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

struct remap {
	struct mm_space *space;
	uint64_t old, old_len, new, new_len;
	bool keep;		  /* MREMAP_DONTUNMAP */
	bool moved;		  /* it stands at `new` now */
	struct mm_area like;	  /* attributes of the range */
	struct mm_told over_told; /* handlers of what stood at `new` */
	struct mm_told remap_told, unmap_told;
};

/*
 * A new, empty table at [start, end) with the attributes of `like`, and of a file what `like` shows
 * from its page `first` on. Write lock held.
 */
static int add_fresh(struct mm_space *space, const struct mm_area *like, uint64_t first,
		     uint64_t start, uint64_t end)
{
	struct mm_table *model = mm_area_table(like);
	const struct mm_type *type = mm_area_type(like);
	struct mm_table *table = mm_table_new((end - start) >> UF_PAGE_SHIFT, type);
	struct mm_area fields = *like, *a;

	if (!table)
		return -ENOMEM;
	fields.start = start;
	fields.end = end;
	fields.pgoff = 0;
	table->dev = model->dev;
	table->ino = model->ino;
	table->file_page = model->file_page + first;
	table->owner = model->owner;
	a = mm_area_begin(space, &fields, table);
	if (!a)
		return -ENOMEM;
	return mm_area_finish(space, a, type->extend(table, model, first, start, end));
}

/* The page that follows the old range, in the numbers of the table of its first area. */
static uint64_t page_behind(const struct remap *r)
{
	return r->like.pgoff + (r->old_len >> UF_PAGE_SHIFT);
}

/* Without the REMAP event the moved range is registered with nobody. */
static bool stays_registered(const struct mm_area *a)
{
	return a->handler == 0 || mm_handler->wants(a->handler, MM_EVENT_REMAP);
}

/*
 * Every area of [from, from + len), which is split at its borders, to `to`. keep: the place stays
 * taken. *done bytes went.
 */
static int shift_areas(struct mm_space *space, uint64_t from, uint64_t to, uint64_t len, bool keep,
		       uint64_t *done)
{
	for (*done = 0; *done < len;) {
		struct mm_area *a = mm_area_find(space, from + *done);
		struct mach_span span = mm_area_span(a);
		int err = mach_map_move(&span, to + *done, keep);

		if (err)
			return err;
		mm_area_rebase(space, a, to + *done);
		*done += a->end - a->start;
	}
	return 0;
}

/* What moved belongs to nobody from here on, marks included. */
static void disown_areas(struct mm_space *space, uint64_t start, uint64_t end)
{
	uint32_t i = mm_area_index(space, start);
	struct mm_area *a;

	for (; (a = mm_area_at(space, i)) != NULL && a->start < end; i++) {
		mm_clear_marks(a);
		a->handler = 0;
		a->modes = 0;
	}
}

/* The range itself and what comes new with it; all of it, or nothing. */
static int move_areas(struct remap *r)
{
	uint64_t done, back, end = r->old + r->old_len;
	bool stays = stays_registered(&r->like);
	struct mm_area like = r->like;
	int err = shift_areas(r->space, r->old, r->new, r->old_len, r->keep, &done);

	if (!err && r->keep)
		err = add_fresh(r->space, &r->like, r->like.pgoff, r->old, end);
	if (!stays)
		like.handler = like.modes = 0;
	if (!err && r->new_len > r->old_len)
		err = add_fresh(r->space, &like, page_behind(r), r->new + r->old_len,
				r->new + r->new_len);
	if (err) {
		if (shift_areas(r->space, r->new, r->old, done, false, &back) == 0)
			(void)mach_munmap(r->new, r->new_len);
		return err;
	}
	if (!stays)
		disown_areas(r->space, r->new, r->new + r->old_len);
	r->moved = true;
	return 0;
}

/* Cut the range to its new length; what is cut was told about before. */
static int cut_tail(struct remap *r)
{
	uint64_t cut = r->old + r->new_len, end = r->old + r->old_len;
	int err = mm_area_split(r->space, cut);

	if (!err)
		err = mach_munmap(cut, end - cut);
	if (!err) {
		mm_area_remove_range(r->space, cut, end);
		r->old_len = r->new_len;
	}
	return err;
}

/*
 * What stands at the destination goes, as munmap would do it, but the place stays taken: another
 * thread's mmap must not land there. Borders have been split.
 */
static int clear_way(struct remap *r)
{
	uint64_t end = r->new + r->new_len;
	int err;

	mm_tell_range(r->space, &r->over_told, r->new, end, MM_EVENT_UNMAP);
	err = mach_mmap_over(r->new, r->new_len, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	if (err)
		mm_untell(&r->over_told);
	else
		mm_area_remove_range(r->space, r->new, end);
	return err;
}

/* A free range for the new place, aligned for the pages that go there. */
static int reserve(struct remap *r)
{
	uint64_t size = mm_area_page_size(&r->like), slack = size - UF_PAGE_SIZE, got, end;
	int err = mach_reserve(0, r->new_len + slack, &got);

	if (err)
		return err;
	end = got + r->new_len + slack;
	r->new = (got + size - 1) & ~(size - 1);
	if (r->new > got)
		(void)mach_munmap(got, r->new - got);
	if (end > r->new + r->new_len)
		(void)mach_munmap(r->new + r->new_len, end - r->new - r->new_len);
	return 0;
}

static int do_move(struct remap *r, bool fixed)
{
	struct mm_space *space = r->space;
	int err = 0;

	if (r->new_len < r->old_len)
		err = cut_tail(r);
	if (!err && fixed)
		err = mm_area_split_range(space, r->new, r->new + r->new_len);
	if (!err)
		err = fixed ? clear_way(r) : reserve(r);
	return err ? err : move_areas(r);
}

/* Grow without moving, if the addresses behind are free. */
static int grow_in_place(struct remap *r)
{
	uint64_t end = r->old + r->old_len, more = r->new_len - r->old_len, got;
	struct mach_vma vma;
	int err;

	if (end + more < end || end + more > mach_task_size() ||
	    (mach_vma_next(end, &vma) == 0 && vma.start < end + more))
		return -ENOMEM;
	err = mach_reserve(end, more, &got);
	if (err)
		return err;
	if (got != end) {
		mach_munmap(got, more);
		return -ENOMEM;
	}
	err = add_fresh(r->space, &r->like, page_behind(r), end, end + more);
	if (err)
		(void)mach_munmap(end, more);
	return err;
}

/* Everything mremap(2) refuses before it touches a thing. */
static int check_args(uint64_t old, uint64_t old_len, uint64_t new_len, int flags, uint64_t new)
{
	const int all = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
	bool moving = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP);

	if ((flags & ~all) || (moving && !(flags & MREMAP_MAYMOVE)) || new_len == 0 ||
	    (old & ~UF_PAGE_MASK) || old_len == 0)
		return -EINVAL;
	if ((flags & MREMAP_DONTUNMAP) && old_len != new_len)
		return -EINVAL;
	if ((flags & MREMAP_FIXED) &&
	    ((new & ~UF_PAGE_MASK) || new + new_len > mach_task_size() || new + new_len < new ||
	     (new < old + old_len &&old < new + new_len)))
		return -EINVAL;
	return 0;
}

/* Large pages: lengths count in whole ones, addresses must. */
static bool aligned(struct remap *r, uint64_t size, int flags)
{
	r->old_len = (r->old_len + size - 1) & ~(size - 1);
	r->new_len = (r->new_len + size - 1) & ~(size - 1);
	return !((r->old | (flags & MREMAP_FIXED ? r->new : 0)) & (size - 1));
}

static int remap_locked(struct remap *r, int flags)
{
	struct mm_space *space = r->space;
	struct mm_area *a = mm_area_find(space, r->old);
	int err;

	if (!a || mm_area_run_end(space, r->old) < r->old + r->old_len)
		return -EFAULT;
	if (!aligned(r, mm_area_page_size(a), flags))
		return -EINVAL;
	err = mm_area_split_range(space, r->old, r->old + r->old_len);
	if (err)
		return err;
	a = mm_area_find(space, r->old);
	r->like = *a;
	mm_tell(&r->remap_told, a->handler, MM_EVENT_REMAP);
	if (!r->keep)
		mm_tell(&r->unmap_told, a->handler, MM_EVENT_UNMAP);
	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))
		return do_move(r, flags & MREMAP_FIXED);
	r->new = r->old;
	if (r->new_len == r->old_len)
		return 0;
	if (r->new_len < r->old_len)
		return cut_tail(r);
	err = grow_in_place(r);
	if (err == -ENOMEM && (flags & MREMAP_MAYMOVE))
		err = do_move(r, false);
	return err;
}

/* Whoever was noted is told what came of it, or that nothing did. */
static void tell(struct remap *r, uint64_t old_len, int err, const struct mach_entry *entry)
{
	struct mm_space *space = r->space;

	mm_told(space, &r->over_told, MM_EVENT_UNMAP, r->new, r->new + r->new_len, 0, entry);
	if (!err && r->moved)
		mm_told(space, &r->remap_told, MM_EVENT_REMAP, r->old, r->new, old_len, entry);
	if (!err && r->moved)
		mm_told(space, &r->unmap_told, MM_EVENT_UNMAP, r->old, r->old + old_len, 0, entry);
	else if (!err && r->new_len < old_len)
		mm_told(space, &r->unmap_told, MM_EVENT_UNMAP, r->old + r->new_len,
			r->old + old_len, 0, entry);
	mm_untell(&r->remap_told);
	mm_untell(&r->unmap_told);
}

/* What is registered at other addresses now. */
static void trace_remap(const struct remap *r, uint64_t old_len)
{
	if (r->moved && !r->keep)
		mm_trace_range(TRACE_UNRANGE, 0, 0, r->old, old_len, 0);
	else if (!r->moved && r->new_len < old_len)
		mm_trace_range(TRACE_UNRANGE, 0, 0, r->old + r->new_len, old_len - r->new_len, 0);
	if (r->like.handler && (r->moved ? stays_registered(&r->like) : r->new_len > old_len))
		mm_trace_range(TRACE_RANGE, 0, 0, r->new, r->new_len, r->like.modes);
}

int mm_mremap(struct mm_space *space, uint64_t old, uint64_t old_len, uint64_t new_len, int flags,
	      uint64_t new_addr, uint64_t *result, const struct mach_entry *entry)
{
	struct remap r = {.space = space,
			  .old = old,
			  .old_len = (old_len + UF_PAGE_SIZE - 1) & UF_PAGE_MASK,
			  .new = new_addr,
			  .new_len = (new_len + UF_PAGE_SIZE - 1) & UF_PAGE_MASK,
			  .keep = flags &MREMAP_DONTUNMAP};
	uint64_t whole = r.old_len;
	int err = check_args(old, r.old_len, r.new_len, flags, new_addr);

	if (err)
		return err;
	mach_write_lock(&space->lock);
	err = remap_locked(&r, flags);
	mm_area_merge(space, old, old + whole);
	if (!err)
		mm_area_merge(space, r.new, r.new + r.new_len);
	/* Its handler is there as long as the lock is held. */
	if (!err)
		trace_remap(&r, whole);
	mach_write_unlock(&space->lock);
	tell(&r, whole, err, entry);
	*result = r.new;
	return err;
}
