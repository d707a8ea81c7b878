/*
 * fill.c - the one loop that fills pages, of every source and type.
 *
 * Rounds of: space read-locked, the destination looked up anew, one run of pages inside one leaf
 * done with the leaf locked. A source that cannot be read right now (it may be missing itself, with
 * a handler of its own) makes the loop let go of everything, bring one page of it into a bounce
 * buffer with faults allowed, and start the round again.
 */
#include "mm/internal.h"

#include <errno.h>
#include <string.h>

struct filling {
	const struct mm_fill *fill;
	uint64_t at;  /* bytes done */
	void *bounce; /* one page, or NULL */
	bool bounced; /* it holds the source of the page at `at` */
	bool need_bounce;
};

/* The destination rule: the rest of the range in one VMA, registered. */
static int find_dst(struct mm_space *space, const struct filling *f, struct mm_area **out)
{
	uint64_t addr = f->fill->dst + f->at;
	struct mm_area *a = mm_area_find(space, addr);

	if (!a || a->handler == 0 || mm_area_run_end(space, addr) < f->fill->dst + f->fill->len)
		return -ENOENT;
	if (f->fill->wp && !(a->modes & MM_MODE_WP))
		return -EINVAL;
	if (f->fill->source == MM_SOURCE_CONTINUE && !mm_area_type(a)->map)
		return -EINVAL;
	*out = a;
	return 0;
}

/* May this source fill over this entry? The leaf is locked. */
static int fillable(enum mm_source source, mm_entry e)
{
	switch (mm_kind(e)) {
	case MM_EMPTY:
		return 0;
	case MM_MARKER:
		return source == MM_SOURCE_COPY || source == MM_SOURCE_CONTINUE ? 0 : -EEXIST;
	case MM_PRESENT:
	case MM_SWAP:
		return -EEXIST;
	}
	return -EEXIST;
}

/* Make frames for up to n pages and put the contents in. Pages done, or a negative errno. */
static long fill_frames(struct filling *f, const struct mm_area *a, uint64_t page, uint64_t n)
{
	struct mm_table *table = mm_area_table(a);
	const struct mm_type *type = mm_area_type(a);
	long done = (long)n;
	int err = 0;

	for (uint64_t i = 0; i < n; i++) {
		err = f->fill->source == MM_SOURCE_CONTINUE ? type->map(table, page + i)
							    : type->alloc(table, page + i);
		if (err && i == 0)
			return err;
		if (err) {
			done = (long)i;
			break;
		}
	}
	switch (f->fill->source) {
	case MM_SOURCE_COPY:
		if (f->bounced) {
			memcpy(mach_frame(&table->map, page), f->bounce, UF_PAGE_SIZE);
			done = 1;
		} else {
			done = mach_frames_copy(&table->map, page, (uint64_t)done,
						f->fill->src + f->at);
		}
		break;
	case MM_SOURCE_ZERO:
		type->zero(table, page, (uint64_t)done);
		break;
	case MM_SOURCE_CONTINUE:
	case MM_SOURCE_POISON:
		break;
	}
	return done;
}

/* Frames are complete: publish, enter, open. */
static int install(const struct filling *f, const struct mm_area *a, uint64_t page, uint64_t n,
		   mm_entry *entry)
{
	uint64_t flags = MM_SOFTDIRTY | (f->fill->wp ? MM_WP : 0);

	for (uint64_t i = 0; i < n; i++) {
		int err = mm_area_type(a)->insert(mm_area_table(a), page + i);

		if (err)
			return err;
		entry[i] = mm_make_present(page + i, flags);
	}
	/* A page that stays closed for want of host mappings is opened when it is touched. */
	(void)mm_open(a, page, n, mm_entry_prot(a, entry[0]));
	return 0;
}

/* One run inside one leaf. Space read-locked. Advances f->at; 0, or what stops the loop. */
static int fill_run(struct filling *f, const struct mm_area *a)
{
	uint64_t addr = f->fill->dst + f->at, page = mm_area_page(a, addr);
	uint64_t end = mm_min(a->end, f->fill->dst + f->fill->len), n = 0, room;
	struct mm_table *table = mm_area_table(a);
	mm_entry *entries, *e;
	long done;
	int err;

	room = mm_leaf_run(page, (end - addr) >> UF_PAGE_SHIFT);
	err = mm_leaf_lock(table, page, true, &entries);
	if (err)
		return err;
	e = entries + page % MM_LEAF_ENTRIES;
	if (f->bounced)
		room = 1;
	while (n < room && (err = fillable(f->fill->source, e[n])) == 0)
		n++;
	if (n == 0)
		goto out;
	err = 0;
	if (f->fill->source == MM_SOURCE_POISON) {
		for (uint64_t i = 0; i < n; i++)
			e[i] = mm_make_marker(MM_POISON);
		done = (long)n;
	} else {
		done = fill_frames(f, a, page, n);
		if (done == -EFAULT)
			f->need_bounce = true;
		else if (done > 0)
			err = install(f, a, page, (uint64_t)done, e);
	}
	if (done < 0)
		err = (int)done;
	else if (!err)
		f->at += (uint64_t)done << UF_PAGE_SHIFT;
	f->bounced = false;
out:
	mm_leaf_unlock(table, page);
	return err;
}

/* Bring the next page of the source in, with faults, no lock held. */
static int fill_bounce(struct filling *f)
{
	int err;

	if (!f->bounce)
		f->bounce = arena_alloc(UF_PAGE_SIZE);
	if (!f->bounce)
		return -ENOMEM;
	err = mach_copy_in(f->bounce, f->fill->src + f->at, UF_PAGE_SIZE);
	f->bounced = !err;
	f->need_bounce = false;
	return err;
}

int mm_fill(struct mm_space *space, const struct mm_fill *fill, int (*may)(uf_ref), uf_ref may_arg,
	    uint64_t *done)
{
	struct filling f = {.fill = fill};
	struct mm_area *a;
	int err = 0;

	while (!err && f.at < fill->len) {
		mach_read_lock(&space->lock);
		err = may ? may(may_arg) : 0;
		if (!err)
			err = find_dst(space, &f, &a);
		if (!err)
			err = fill_run(&f, a);
		mach_read_unlock(&space->lock);
		if (err == -EFAULT && f.need_bounce)
			err = fill_bounce(&f);
	}
	arena_free(f.bounce, UF_PAGE_SIZE);
	mm_stat_add(space->stats, MM_STAT_FILLED, f.at >> UF_PAGE_SHIFT);
	*done = f.at;
	return err;
}
