/*
 * fill.c - the one loop that fills pages, of every source and type.
 *
 * Rounds of: space read-locked, the destination looked up anew, one run of pages inside one leaf
 * done with the leaf locked. A source that cannot be read right now (it may be missing itself, with
 * a handler of its own) makes the loop let go of everything, bring one page of it into a bounce
 * buffer with faults allowed, and start the round again.
 */
#include "mm/internal.h"
#include "mm/trace.h"

#include <errno.h>
#include <string.h>

struct filling {
	const struct mm_fill *fill;
	uint64_t at;	    /* bytes done */
	uint64_t page_size; /* of the destination, bytes */
	void *bounce;	    /* one such page, or NULL */
	bool bounced;	    /* it holds the source of the page at `at` */
	bool need_bounce;
	bool need_room; /* a page must leave first */
};

/* As a trace names it. */
static enum trace_fill how(enum mm_source source)
{
	switch (source) {
	case MM_SOURCE_COPY:
		break;
	case MM_SOURCE_ZERO:
		return TRACE_ZEROPAGE;
	case MM_SOURCE_CONTINUE:
		return TRACE_CONTINUE;
	case MM_SOURCE_POISON:
		return TRACE_POISON;
	}
	return TRACE_COPY;
}

/* Has the area's type what this source needs? */
static bool type_serves(const struct mm_area *a, enum mm_source source)
{
	const struct mm_type *type = mm_area_type(a);

	switch (source) {
	case MM_SOURCE_COPY:
		return type->alloc;
	case MM_SOURCE_ZERO:
		return type->alloc && type->zero;
	case MM_SOURCE_CONTINUE:
		return type->map;
	case MM_SOURCE_POISON:
		return true;
	}
	return false;
}

/* The destination rule: the rest of the range in one VMA, registered; large pages whole. */
static int find_dst(struct mm_space *space, const struct filling *f, struct mm_area **out)
{
	uint64_t addr = f->fill->dst + f->at;
	struct mm_area *a = mm_area_find(space, addr);

	if (!a || (a->handler == 0 && !f->fill->any) ||
	    mm_area_run_end(space, addr) < f->fill->dst + f->fill->len)
		return -ENOENT;
	if ((f->fill->wp && !(a->modes & MM_MODE_WP)) || !type_serves(a, f->fill->source) ||
	    ((f->fill->dst | f->fill->len) & (mm_area_page_size(a) - 1)))
		return -EINVAL;
	*out = a;
	return 0;
}

/* May this source fill over this entry? The leaf is locked. */
static int fillable(enum mm_source source, const struct mm_table *table, mm_entry e)
{
	bool shared = table->map.kind == MACH_MAP_SHARED;

	switch (mm_kind(e)) {
	case MM_EMPTY:
		return 0;
	case MM_MARKER:
		return source == MM_SOURCE_COPY || source == MM_SOURCE_CONTINUE ||
				       (source == MM_SOURCE_ZERO && shared)
			       ? 0
			       : -EEXIST;
	case MM_PRESENT:
	case MM_SWAP:
		return -EEXIST;
	}
	return -EEXIST;
}

/* The last large page of those done is not whole: it is not there. Returns how many are. */
static long take_back(const struct mm_view *v, uint64_t page, uint64_t done)
{
	uint64_t group = mm_view_group(v), whole = done & ~(group - 1);

	if (v->table->map.kind == MACH_MAP_SHARED)
		(void)mach_file_punch(&v->span, page + whole, group);
	else
		mach_frames_drop(&v->span, page + whole, group);
	return (long)whole;
}

/*
 * Small pages of files are looked for where they are copied to: that once is enough, and it is the
 * one that counts.
 */
static bool told_by_copy(const struct mm_type *type, const struct mm_view *v)
{
	return type->alloc == mm_file_alloc && mm_view_group(v) == 1;
}

/* Is it not the source that cannot be accessed, but a place past the end of a file? */
static bool past_end(const struct mm_type *type, const struct mm_view *v, uint64_t page)
{
	return told_by_copy(type, v) && type->alloc(v, page, 1) == -EFAULT;
}

/* Make up to n pages and put the contents in. Pages done, whole large ones; or an errno. */
static long fill_frames(struct filling *f, const struct mm_view *v, uint64_t page, uint64_t n)
{
	const struct mm_type *type = mm_types[v->table->type];
	uint64_t group = mm_view_group(v);
	long room, done;
	int err;

	if (f->fill->source == MM_SOURCE_CONTINUE)
		return type->map(v, page, n);
	room = (long)n;
	if (f->fill->source != MM_SOURCE_COPY || !told_by_copy(type, v))
		room = type->alloc(v, page, n);
	if (room <= 0)
		return room;
	if (f->fill->source == MM_SOURCE_ZERO) {
		err = type->zero(v, page, (uint64_t)room);
		return err ? err : room;
	}
	if (f->bounced)
		return mach_frames_write(&v->span, page, group, f->bounce);
	done = mach_frames_copy(&v->span, page, (uint64_t)room, f->fill->src + f->at);
	if (done > 0 && (uint64_t)done % group != 0)
		done = take_back(v, page, (uint64_t)done);
	/* A source that ends inside the first large page is brought in as a whole. */
	if (done == 0 || (done == -EFAULT && !past_end(type, v, page)))
		f->need_bounce = true;
	return done ? done : -EFAULT;
}

/* Frames are complete: publish, enter, open. */
static int install(struct mm_space *space, const struct filling *f, const struct mm_area *a,
		   const struct mm_view *v, uint64_t page, uint64_t n, mm_entry *entry)
{
	uint64_t flags = MM_SOFTDIRTY | (f->fill->wp && (a->modes & MM_MODE_WP) ? MM_WP : 0);
	int err = mm_area_type(a)->insert(v, page, n);

	if (err)
		return err;
	if (v->table->map.kind == MACH_MAP_PRIVATE && f->fill->source != MM_SOURCE_CONTINUE)
		flags |= MM_COPY;
	for (uint64_t i = 0; i < n; i++)
		entry[i] = mm_make_present(page + i, flags);
	mm_account(space, v->table, (int64_t)n);
	/* A page that stays closed for want of host mappings is opened when it is touched. */
	(void)mm_open(a, page, n, entry);
	return 0;
}

/* How many pages of the run can be filled over, in whole large pages; 0 and why not even one. */
static uint64_t fillable_run(const struct filling *f, const struct mm_view *v, const mm_entry *e,
			     uint64_t room, int *err)
{
	uint64_t group = mm_view_group(v), n = 0;

	*err = 0;
	while (n < room && (*err = fillable(f->fill->source, v->table, e[n])) == 0)
		n += group;
	return n;
}

/* Small pages that no page can be put at (past the end of a file) cannot be poisoned either. */
static long poison(const struct mm_view *v, uint64_t page, uint64_t n, mm_entry *e)
{
	const struct mm_type *type = mm_types[v->table->type];

	if (type->alloc && mm_view_group(v) == 1 && type->alloc(v, page, n) == -EFAULT)
		return -EFAULT;
	for (uint64_t i = 0; i < n; i++)
		e[i] = mm_make_marker(MM_POISON);
	return (long)n;
}

/* Bytes of the fill that are to be done at all, where the destination's pages are so large. */
static uint64_t stop_at(const struct mm_fill *fill, uint64_t page_size)
{
	uint64_t at = (fill->stop.at + page_size - 1) & ~(page_size - 1);

	return fill->stop.err ? mm_min(at, fill->len) : fill->len;
}

/* One run inside one leaf. Space read-locked. Advances f->at; 0, or what stops the loop. */
static int fill_run(struct mm_space *space, struct filling *f, const struct mm_area *a)
{
	uint64_t addr = f->fill->dst + f->at, page = mm_area_page(a, addr);
	uint64_t stop = stop_at(f->fill, f->page_size);
	uint64_t end = mm_min(a->end, f->fill->dst + stop), n, room;
	struct mm_view v = mm_area_view(a);
	mm_entry *entries, *e;
	long done;
	int err;

	if (f->at >= stop)
		return f->fill->stop.err;
	room = mm_leaf_run(page, (end - addr) >> UF_PAGE_SHIFT);
	/* A mark takes no room. */
	if (f->fill->source != MM_SOURCE_POISON)
		room = mm_min(room, mm_room(space, v.table)) & ~(mm_view_group(&v) - 1);
	if (f->bounced)
		room = mm_min(room, mm_view_group(&v));
	if (room == 0) {
		f->need_room = true;
		return -ENOMEM;
	}
	err = mm_leaf_lock(v.table, page, true, &entries);
	if (err)
		return err;
	e = entries + page % MM_LEAF_ENTRIES;
	n = fillable_run(f, &v, e, room, &err);
	if (n == 0)
		goto out;
	err = 0;
	if (f->fill->source == MM_SOURCE_POISON) {
		done = poison(&v, page, n, e);
	} else {
		done = fill_frames(f, &v, page, n);
		if (done > 0)
			err = install(space, f, a, &v, page, (uint64_t)done, e);
	}
	if (done < 0)
		err = (int)done;
	else if (!err)
		f->at += (uint64_t)done << UF_PAGE_SHIFT;
	f->bounced = false;
out:
	mm_leaf_unlock(v.table, page);
	return err;
}

/* Bring the next page of the source in, a large one whole, with faults, no lock held. */
static int fill_bounce(struct filling *f)
{
	int err;

	if (!f->bounce)
		f->bounce = arena_alloc(f->page_size);
	if (!f->bounce)
		return -ENOMEM;
	err = mach_copy_in(f->bounce, f->fill->src + f->at, f->page_size);
	f->bounced = !err;
	f->need_bounce = false;
	return err;
}

/* A destination that is not managed yet becomes so, if it can. */
static int take_over_dst(struct mm_space *space, const struct mm_fill *fill)
{
	bool managed;
	int err;

	mm_read_lock(space);
	managed = mm_area_run_end(space, fill->dst) >= fill->dst + fill->len;
	mm_read_unlock(space);
	if (managed)
		return 0;
	mach_write_lock(&space->lock);
	err = mm_take_over_range(space, fill->dst, fill->len);
	mach_write_unlock(&space->lock);
	return err == -EINVAL ? -ENOENT : err;
}

/* Another area may stand there now, with pages of another size. */
static void set_page_size(struct filling *f, uint64_t size)
{
	if (f->page_size == size)
		return;
	arena_free(f->bounce, f->page_size);
	f->bounce = NULL;
	f->bounced = false;
	f->page_size = size;
}

/* One round: as much as goes with the locks taken once. 0 to go on, or what stops the loop. */
static int fill_round(struct mm_space *space, struct filling *f, int (*may)(uf_ref), uf_ref may_arg)
{
	struct mm_area *a;
	int err;

	mm_read_lock(space);
	err = may ? may(may_arg) : 0;
	if (!err)
		err = find_dst(space, f, &a);
	if (!err) {
		set_page_size(f, mm_area_page_size(a));
		err = fill_run(space, f, a);
	}
	mm_read_unlock(space);
	if (err == -EFAULT && f->need_bounce)
		return fill_bounce(f);
	if (err == -ENOMEM && f->need_room) {
		f->need_room = false;
		return mm_reclaim(space, f->fill->dst + f->at, f->page_size >> UF_PAGE_SHIFT);
	}
	return err;
}

int mm_fill(struct mm_space *space, const struct mm_fill *fill, int (*may)(uf_ref), uf_ref may_arg,
	    uint64_t *done)
{
	uint64_t began = mm_trace_now();
	struct filling f = {.fill = fill};
	int err = fill->any ? take_over_dst(space, fill) : 0;

	while (!err && f.at < fill->len)
		err = fill_round(space, &f, may, may_arg);
	arena_free(f.bounce, f.page_size);
	mm_stat_add(space->stats, MM_STAT_FILLED, f.at >> UF_PAGE_SHIFT);
	if (f.at)
		mm_trace_fill(fill->by, began, fill->dst, f.at, how(fill->source));
	*done = f.at;
	return err;
}
