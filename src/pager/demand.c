/*
 * demand.c - what is done about a page that somebody waits for.
 */
#include <errno.h>
#include <stdlib.h>

#include "pager/internal.h"

#define NEAR_ZEROS 256u /* pages of zeros that are filled along with one at most */

enum source_contents contents_at(struct feed *f, uint64_t offset, uint64_t *len)
{
	struct source *s = f->s;
	uint64_t end = (s->size + PAGE_4K - 1) & ~(PAGE_4K - 1);

	if (offset >= end)
		return SOURCE_ZERO;
	if (*len > end - offset)
		*len = end - offset;
	return s->ops->extent ? s->ops->extent(s, offset, len) : SOURCE_DATA;
}

const void *contents_peek(struct feed *f, uint64_t offset, uint64_t len)
{
	uint64_t end = (f->s->size + PAGE_4K - 1) & ~(PAGE_4K - 1);

	if (!f->s->ops->peek || offset + len > end)
		return NULL;
	return f->s->ops->peek(f->s, offset, len);
}

/* How many pages from `page` on, at most n, are known to be zero. */
static uint64_t zero_run(struct guest *g, const struct guest_region *r, uint64_t page, uint64_t n)
{
	uint64_t offset = page_offset(r, page), end = offset + n * r->page_size, at = offset;

	while (at < end) {
		uint64_t len = end - at;

		if (contents_at(g->feed, at, &len) != SOURCE_ZERO || !len)
			break;
		at += len;
	}
	return (at < end ? at - offset : end - offset) / r->page_size;
}

static void again(struct guest *g, uint64_t page, int err)
{
	if (err != -ESRCH)
		guest_park_pages(g, page, 1, err);
}

/* Pages that could not be filled for a reason of their own, not of the moment. */
static void fill_failed(struct guest *g, const struct guest_region *r, uint64_t page, int err)
{
	if (err == -EAGAIN) {
		again(g, page, err);
		return;
	}
	if (err == -ESRCH)
		return;
	if (err == -ENOMEM && g->park_since &&
	    now_ns() - g->park_since > (uint64_t)g->e->o.deadline_ms * NS_PER_MS) {
		pages_given_up(g, r, page, 1, err);
		return;
	}
	if (err == -ENOMEM) {
		again(g, page, err);
		return;
	}
	if (err == -EINVAL) {
		engine_say(g->e, ENGINE_ERROR,
			   "%s is cut off: its memory at %#llx cannot be filled in pages of %llu "
			   "bytes",
			   g->f->name, (unsigned long long)page_addr(r, page),
			   (unsigned long long)r->page_size);
		guest_fail(g, GUEST_CUT_OFF);
		return;
	}
	pages_given_up(g, r, page, 1, err);
}

void pages_given_up(struct guest *g, const struct guest_region *r, uint64_t page, uint64_t n,
		    int error)
{
	for (uint64_t i = page; i < page + n && !g->ending; i++) {
		if (!page_has(g, i, PAGE_WAITED)) {
			page_canceled(g, i, 1);
			g->ahead.lost = true;
			continue;
		}
		if (!g->failing)
			engine_say(g->e, ENGINE_ERROR,
				   "%s: the page at %#llx (offset %#llx of %s) cannot be had: %s",
				   g->f->name, (unsigned long long)page_addr(r, i),
				   (unsigned long long)page_offset(r, i), g->feed->s->spec,
				   strerror(-error));
		g->failing = true;
		if (g->e->o.on_failure == FAILURE_KILL) {
			page_failed(g, i);
			guest_give_up(g, "a page cannot be had (--on-failure=kill)");
		} else {
			fill_poison(g, r, i);
		}
	}
}

/* Less what is known to be zero: that is not copied. */
static void clip(struct guest *g, const struct guest_region *r, uint64_t page, uint64_t *from,
		 uint64_t *to)
{
	uint64_t at = page_offset(r, *from), offset = page_offset(r, page), len;

	while (at < offset) {
		len = offset - at;
		if (contents_at(g->feed, at, &len) == SOURCE_ZERO)
			*from = page - (offset - at - len) / PAGE_4K;
		at += len;
	}
	len = (*to - page) * PAGE_4K;
	contents_at(g->feed, offset, &len);
	if (len >= PAGE_4K)
		*to = page + len / PAGE_4K;
}

/* Those around a page that are filled with it: [*from, *to), within its block and region. */
static void block(struct guest *g, const struct guest_region *r, uint64_t page, uint64_t *from,
		  uint64_t *to)
{
	uint64_t near = r->page_size > PAGE_4K ? 1 : ahead_near(g), end = region_end(r);
	uint64_t in_source = page_offset(r, page) / PAGE_4K;

	*from = page;
	*to = page + 1;
	if (near <= 1)
		return;
	*from = page - (in_source % near < page - r->first ? in_source % near : page - r->first);
	*to = page + near - in_source % near;
	if (*to > end)
		*to = end;
	/* What is missing without a gap. */
	for (uint64_t i = page; i > *from; i--) {
		if (page_state(g, i - 1) != PAGE_MISSING) {
			*from = i;
			break;
		}
	}
	*to = page + 1 + page_missing_run(g, page + 1, *to);
	clip(g, r, page, from, to);
}

/* Straight from memory. False: it has to be fetched. */
static bool from_memory(struct guest *g, const struct guest_region *r, uint64_t page, uint64_t from,
			uint64_t to)
{
	const void *src = contents_peek(g->feed, page_offset(r, from), (to - from) * r->page_size);
	uint64_t done;
	int err;

	if (!src && to - from > 1) {
		from = page;
		to = page + 1;
		src = contents_peek(g->feed, page_offset(r, page), r->page_size);
	}
	if (!src)
		return false;
	err = fill_pages(g, r, from, to - from, src, FILL_DEMAND, &done);
	if (err == -EFAULT)
		return false;
	if (from + done > page)
		return true;
	if (err)
		fill_failed(g, r, page, err);
	return true;
}

static void missing(struct guest *g, const struct guest_region *r, uint64_t page)
{
	uint64_t from, to, n, done;
	int err;

	if (g->record.w)
		record_touch(g, page_offset(r, page), r->page_size);
	if (g->evict)
		evict_faulted(g, r, page);
	n = ahead_near(g) > 1
		    ? page_missing_run(g, page,
				       region_end(r) < page + NEAR_ZEROS ? region_end(r)
									 : page + NEAR_ZEROS)
		    : 1;
	if (r->page_size > PAGE_4K || g->evict)
		n = 1;
	n = zero_run(g, r, page, n);
	if (n) {
		if (g->evict)
			evict_room(g, n);
		err = fill_pages(g, r, page, n, NULL, FILL_DEMAND, &done);
		if (err && !done)
			fill_failed(g, r, page, err);
		return;
	}
	block(g, r, page, &from, &to);
	if (g->evict)
		evict_room(g, to - from);
	if (!from_memory(g, r, page, from, to))
		fetch_demand(g, r, page);
}

/*
 * A fault for a page that is there, most likely: it was filled since the message was queued. It is
 * woken; if it comes back, the page was lost in a way that no event told of, and is filled again.
 */
static void late(struct guest *g, const struct guest_region *r, uint64_t page)
{
	uint64_t done;
	int err;

	count(g, GUEST_FAULTS_LATE, 1);
	if (r->flags & REGION_MINOR) {
		err = fill_continue(g, r, page);
		if (!err || err == -ESRCH)
			return;
		if (err == -EAGAIN || err == -ENOMEM) {
			again(g, page, err);
			return;
		}
	} else if (!g->evict && !page_has(g, page, PAGE_USED)) {
		page_flag(g, page, PAGE_USED, 0);
		waiter_done(g, page);
		fill_wake(g, page_addr(r, page), r->page_size);
		return;
	}
	page_flag(g, page, 0, PAGE_USED);
	if (page_state(g, page) == PAGE_REMOVED) {
		err = fill_pages(g, r, page, 1, NULL, FILL_DEMAND, &done);
		if (err)
			fill_failed(g, r, page, err);
		return;
	}
	page_lost(g, page);
	demand(g, page);
}

static void evicted(struct guest *g, const struct guest_region *r, uint64_t page)
{
	const void *src;
	uint64_t done;
	int err;

	evict_room(g, 1);
	err = evict_load(g, page, &src);
	if (!err)
		err = fill_pages(g, r, page, 1, src, FILL_DEMAND, &done);
	if (err)
		fill_failed(g, r, page, err);
}

void demand(struct guest *g, uint64_t page)
{
	const struct guest_region *r = region_of(g, page);
	uint64_t done;
	int err;

	if (!r || g->ending) {
		page_flag(g, page, 0, PAGE_WAITED);
		return;
	}
	switch (page_state(g, page)) {
	case PAGE_PRESENT:
		late(g, r, page);
		return;
	case PAGE_REMOVED:
		if (page_has(g, page, PAGE_HERE) || (r->flags & REGION_MINOR)) {
			if (page_has(g, page, PAGE_HERE)) {
				late(g, r, page);
				return;
			}
			err = fill_continue(g, r, page);
			if (!err || err == -ESRCH)
				return;
			if (err == -EAGAIN) {
				again(g, page, err);
				return;
			}
		}
		if (g->evict)
			evict_room(g, 1);
		err = fill_pages(g, r, page, 1, NULL, FILL_DEMAND, &done);
		if (err)
			fill_failed(g, r, page, err);
		return;
	case PAGE_FETCHING:
		count(g, GUEST_FAULTS_JOINED, 1);
		fetch_join(g, r, page);
		return;
	case PAGE_EVICTED:
		evicted(g, r, page);
		return;
	case PAGE_FAILED:
		page_lost(g, page);
		missing(g, r, page);
		return;
	case PAGE_MISSING:
	case PAGE_STATES:
		missing(g, r, page);
		return;
	}
}
