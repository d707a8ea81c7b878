/*
 * ahead.c - prefetch: in the order of a recording, or in order, within its bandwidth.
 *
 * It goes in slices. A guest that has caught up with it, and faults, is answered and then has the
 * next slice, before anybody's queue is looked at again: or it would fault on every page. What is
 * filled ahead wakes nobody: a guest that waits for such a page is woken at the end of the slice,
 * when its message is read, and then has all of the slice before it.
 */
#include <errno.h>
#include <stdlib.h>

#include "pager/internal.h"

#define RUN_PAGES    64u   /* in one ioctl, of data; of zeros four times as many */
#define SCAN_PAGES   8192u /* passed over in one step */
#define NEAR	     16u
#define NEAR_LIMITED 8u
#define URGENT_NS    (4 * SLICE_NS) /* for all who have caught up together */
#define URGENT_MIN   (SLICE_NS / 4)
#define SLICE_BYTES  (512u << 10) /* at least, even if the time has gone to somebody else */
#define BURST_NS     (10 * NS_PER_MS)

enum step {
	STEP_MORE,
	STEP_STOP, /* for now: something will kick it */
	STEP_END,
};

unsigned ahead_near(const struct guest *g)
{
	if (g->record.w || (g->evict && !evict_neighbours(g)))
		return 1;
	if (g->e->o.near)
		return g->e->o.near;
	if (g->evict)
		return NEAR_LIMITED;
	/* What it will want is known, and comes. */
	if (g->ahead.on && g->ahead.order.count)
		return 1;
	return NEAR;
}

static void queue(struct guest *g)
{
	if (g->ahead.starved)
		list_del(&g->ahead.link);
	g->ahead.starved = false;
	if (list_empty(&g->ahead.link))
		list_add(&g->e->ahead, &g->ahead.link);
	g->e->work = true;
}

void ahead_room(struct feed *f)
{
	if (!list_empty(&f->starved))
		queue(of(f->starved.next, struct guest, ahead.link));
}

void ahead_kick(struct guest *g)
{
	if (g->ahead.on && !g->ending)
		queue(g);
}

void ahead_faulted(struct guest *g)
{
	if (!g->ahead.on || g->ending || !g->ahead.order.count)
		return;
	if (list_empty(&g->ahead.urgent))
		list_add(&g->e->urgent, &g->ahead.urgent);
	g->e->work = true;
}

bool ahead_settled(const struct guest *g)
{
	return !g->ahead.on && !atomic_load_explicit(&g->f->in_flight, memory_order_relaxed);
}

static void settle(struct guest *g)
{
	if (g->settled && ahead_settled(g))
		g->settled(g, g->settled_arg);
}

void ahead_arrived(struct guest *g, uint64_t bytes)
{
	g->ahead.in_flight -= bytes;
	if (g->ending)
		return;
	if (bytes)
		ahead_kick(g);
	settle(g);
}

/* ---- bandwidth
 */

static void unthrottle(void *arg)
{
	struct engine *e = arg;

	e->throttled = false;
	e->work = true;
}

/* May something be fetched or copied now? */
static bool tokens_left(struct engine *e)
{
	uint64_t now, rate = e->o.bandwidth, burst;

	if (!rate)
		return true;
	if (e->throttled)
		return false;
	now = now_ns();
	burst = rate / (NS_PER_S / BURST_NS);
	burst = burst > PAGE_2M ? burst : PAGE_2M;
	if (now - e->tokens_at > NS_PER_S)
		e->tokens = (int64_t)burst;
	else
		e->tokens += (int64_t)((double)(now - e->tokens_at) * (double)rate / 1e9);
	if (e->tokens > (int64_t)burst)
		e->tokens = (int64_t)burst;
	e->tokens_at = now;
	if (e->tokens > 0)
		return true;
	e->throttled = true;
	e->tokens_timer.fn = unthrottle;
	e->tokens_timer.arg = e;
	timer_set(e, &e->tokens_timer,
		  (uint64_t)((double)(-e->tokens + 1) * 1e9 / (double)rate) + NS_PER_MS);
	return false;
}

/* ---- one run
 */

/* From `page` on, at most n pages that are missing. How many are dealt with: in *done. */
static enum step run(struct guest *g, const struct guest_region *r, uint64_t page, uint64_t n,
		     uint64_t *done)
{
	uint64_t max = r->page_size > PAGE_4K ? 1 : RUN_PAGES, len;
	uint64_t offset = page_offset(r, page);
	const void *src = NULL;
	bool zero;
	int err;

	*done = 0;
	n = n < 4 * max ? n : 4 * max;
	len = n * r->page_size;
	zero = contents_at(g->feed, offset, &len) == SOURCE_ZERO && len >= r->page_size;
	if (!zero && r->page_size > PAGE_4K)
		len = r->page_size;
	n = len / r->page_size;
	if (!zero) {
		n = n < max ? n : max;
		src = contents_peek(g->feed, offset, n * r->page_size);
		while (!src && n > 1 && g->feed->s->ops->peek) {
			n /= 4;
			n = n ? n : 1;
			src = contents_peek(g->feed, offset, n * r->page_size);
		}
	}
	if (zero || src) {
		err = fill_pages(g, r, page, n, src, FILL_AHEAD, done);
		if (!zero)
			g->e->tokens -= (int64_t)(*done * r->page_size);
		if (err == -EAGAIN || err == -ENOMEM) {
			guest_park_pages(g, page, 0, err);
			return STEP_STOP;
		}
		if (err == -ESRCH)
			return STEP_END;
		if (!err || *done)
			return STEP_MORE;
		if (err != -EFAULT) {
			*done = n;
			return STEP_MORE;
		}
	}
	if (!fetch_ahead_room(g->e, g->feed))
		return STEP_STOP;
	if (g->feed->s->chunk > PAGE_4K && r->page_size == PAGE_4K) {
		uint64_t room = (g->feed->s->chunk - offset % g->feed->s->chunk) / PAGE_4K;

		n = len / PAGE_4K < room ? len / PAGE_4K : room;
	}
	g->e->tokens -= (int64_t)(n * r->page_size);
	fetch_pages(g, r, page, n, true);
	*done = n;
	return STEP_MORE;
}

/* ---- what is next
 */

static void progress(struct guest *g, uint64_t bytes)
{
	bump(&g->f->ahead_done, (int64_t)bytes);
}

static const struct guest_region *region_from(struct guest *g, uint64_t offset)
{
	const struct guest_region *r = &g->f->region[g->last];

	if (g->last < g->f->nregions && offset - r->offset < r->size)
		return r;
	for (uint32_t i = 0; i < g->f->nregions; i++) {
		r = &g->f->region[i];
		if (offset - r->offset < r->size) {
			g->last = i;
			return r;
		}
	}
	return NULL;
}

static enum step step_recorded(struct guest *g)
{
	struct ahead *a = &g->ahead;
	const struct order_run *o = &a->order.run[a->run];
	const struct guest_region *r;
	uint64_t offset, left, page, n, missing, done = 0, bytes;
	enum step step = STEP_MORE;

	if (a->run >= a->order.count)
		return STEP_END;
	offset = o->offset + a->at;
	left = o->len - a->at;
	r = region_from(g, offset);
	bytes = left;
	if (r) {
		page = r->first + (offset - r->offset) / r->page_size;
		n = (left + r->page_size - 1) / r->page_size;
		if (n > region_end(r) - page)
			n = region_end(r) - page;
		n = n < SCAN_PAGES ? n : SCAN_PAGES;
		missing = page_missing_run(g, page, page + n);
		if (missing)
			step = run(g, r, page, missing, &done);
		else
			for (done = 1; done < n && page_state(g, page + done) != PAGE_MISSING;)
				done++;
		bytes = done * r->page_size;
		if (done && (offset - r->offset) % r->page_size)
			bytes -= (offset - r->offset) % r->page_size;
		bytes = bytes < left ? bytes : left;
	}
	a->at += bytes;
	progress(g, bytes);
	if (a->at >= o->len) {
		a->run++;
		a->at = 0;
	}
	return step;
}

static enum step step_in_order(struct guest *g)
{
	struct ahead *a = &g->ahead;
	uint64_t end = g->f->npages, limit, begin = a->page, missing, done = 0, size = PAGE_4K;
	const struct guest_region *r = NULL;
	enum step step = STEP_MORE;

	limit = end - a->page < SCAN_PAGES ? end : a->page + SCAN_PAGES;
	while (a->page < limit) {
		r = region_of(g, a->page);
		if (r && page_state(g, a->page) == PAGE_MISSING)
			break;
		size = r ? r->page_size : size;
		a->page++;
	}
	if (a->page > begin)
		progress(g, (a->page - begin) * size);
	if (a->page == end)
		return STEP_END;
	if (a->page == limit)
		return STEP_MORE;
	limit = limit < region_end(r) ? limit : region_end(r);
	missing = page_missing_run(g, a->page, limit);
	step = run(g, r, a->page, missing, &done);
	a->page += done;
	progress(g, done * r->page_size);
	return step;
}

static void finished(struct guest *g)
{
	struct ahead *a = &g->ahead;

	if (a->order.count && a->all) {
		order_free(&a->order);
		a->order = (struct order){0};
		return;
	}
	ahead_end(g);
	settle(g);
}

/* False: there is nothing more for it to do now. */
static bool slice(struct guest *g, uint64_t ns)
{
	uint64_t until = now_ns() + ns, least = SLICE_BYTES * ns / SLICE_NS;
	uint64_t begun = atomic_load_explicit(&g->f->ahead_done, memory_order_relaxed);
	enum step step;

	do {
		/* What waits to be filled is in memory meanwhile: no more before it is. */
		if (g->ending || !g->ahead.on || !list_empty(&g->parked) || !tokens_left(g->e))
			return false;
		step = g->ahead.order.count ? step_recorded(g) : step_in_order(g);
		if (step == STEP_END)
			finished(g);
	} while (step == STEP_MORE &&
		 (now_ns() < until ||
		  atomic_load_explicit(&g->f->ahead_done, memory_order_relaxed) - begun < least));
	return step != STEP_STOP && g->ahead.on;
}

bool ahead_work(struct engine *e)
{
	unsigned urgent = 0;
	uint64_t ns;

	for (struct list *l = e->urgent.next; l != &e->urgent; l = l->next)
		urgent++;
	if (urgent) {
		ns = URGENT_NS / urgent;
		ns = ns > SLICE_NS ? SLICE_NS : ns < URGENT_MIN ? URGENT_MIN : ns;
		while (urgent--) {
			struct guest *g = of(e->urgent.next, struct guest, ahead.urgent);

			list_del(&g->ahead.urgent);
			slice(g, ns);
		}
		return true;
	}
	if (!list_empty(&e->ahead) && !e->throttled) {
		struct guest *g = of(e->ahead.next, struct guest, ahead.link);

		list_del(&g->ahead.link);
		if (slice(g, SLICE_NS) || (e->throttled && g->ahead.on))
			queue(g);
		else if (g->ahead.on && list_empty(&g->ahead.link) &&
			 !fetch_ahead_room(e, g->feed)) {
			g->ahead.starved = true;
			list_add(&g->feed->starved, &g->ahead.link);
		}
	}
	return !list_empty(&e->ahead) && !e->throttled;
}

/* ---- begin, end
 */

int ahead_begin(struct guest *g, const char *order, char *why, size_t why_size)
{
	struct ahead *a = &g->ahead;
	uint64_t total = 0;
	int err;

	if (order) {
		err = order_read(order, &a->order, why, why_size);
		if (err)
			return err;
		for (size_t i = 0; i < a->order.count; i++)
			total += a->order.run[i].len;
	} else {
		for (uint32_t i = 0; i < g->f->nregions; i++)
			total += g->f->region[i].size;
	}
	atomic_store(&g->f->ahead_total, total);
	atomic_store(&g->f->ahead_done, 0);
	a->on = !order || a->order.count;
	return 0;
}

void ahead_all(struct guest *g)
{
	struct ahead *a = &g->ahead;
	uint64_t total = 0;

	a->all = true;
	if (a->on || g->record.w || g->ending)
		return;
	for (uint32_t i = 0; i < g->f->nregions; i++)
		total += g->f->region[i].size;
	atomic_store(&g->f->ahead_total, total);
	atomic_store(&g->f->ahead_done, 0);
	a->page = 0;
	a->on = true;
	ahead_kick(g);
}

void ahead_end(struct guest *g)
{
	struct ahead *a = &g->ahead;

	a->on = false;
	a->starved = false;
	list_del(&a->link);
	list_del(&a->urgent);
	order_free(&a->order);
	a->order = (struct order){0};
}
