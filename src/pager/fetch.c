/*
 * fetch.c - chunks of sources: under way, joined, retried, given up, kept.
 *
 * A chunk is asked for once, whoever wants pages of it: faults and prefetch, of all guests of its
 * source. Each page in the state fetching belongs to exactly one want of one chunk, or to an
 * assembly.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "pager/internal.h"

#define RETRY_NS	(5 * NS_PER_MS)
#define RETRY_MAX_NS	NS_PER_S
#define RETRY_SLOW_NS	(30 * NS_PER_S)
#define CACHE_RECORDING (4ull << 20)
#define UNHEALTHY	3
/* Bytes for prefetch that came faster than they are filled: few enough to stay in a CPU's cache. */
#define ARRIVED_MOST (2ull << 20)

static void deliver_want(struct want *w);
static void chunk_settle(struct chunk *c);
static void chunk_error(struct chunk *c, int error);
static void arrived(struct source_request *request, int error);

/* ---- chunks: found, made, forgotten
 */

static struct chunk **hash_of(struct feed *f, uint64_t offset)
{
	return &f->hash[offset / f->s->chunk % CHUNK_HASH];
}

static uint64_t deadline_ns(const struct engine *e)
{
	return (uint64_t)e->o.deadline_ms * NS_PER_MS;
}

static void unhash(struct chunk *c)
{
	for (struct chunk **at = hash_of(c->feed, c->request.offset); *at; at = &(*at)->hash_next) {
		if (*at == c) {
			*at = c->hash_next;
			return;
		}
	}
}

static void uncache(struct chunk *c)
{
	struct engine *e = c->feed->e;

	if (!c->idle)
		return;
	c->idle = false;
	list_del(&c->link);
	e->cached -= c->request.len;
	atomic_store_explicit(&e->f->cache_bytes, e->cached, memory_order_relaxed);
}

/* It was given to those that wanted it (what a guest cannot take now stops its prefetch), or nobody
 * wants it any more. */
static void chunk_given(struct chunk *c)
{
	if (!c->counted)
		return;
	c->counted = false;
	c->feed->arrived -= c->request.len;
	ahead_room(c->feed);
}

static void chunk_free(struct chunk *c)
{
	chunk_given(c);
	buffer_put(c->feed->e, c->request.buf, c->feed->s->chunk);
	free(c);
}

/* Nobody wants it. What the source still writes to is freed when it has answered. */
static void chunk_forget(struct chunk *c)
{
	struct feed *f = c->feed;

	if (c->forgotten)
		return;
	unhash(c);
	uncache(c);
	timer_clear(&c->next);
	timer_clear(&c->deadline);
	list_del(&c->link);
	if (!c->demand && c->state != CHUNK_READY)
		f->nahead--;
	c->forgotten = true;
	if (c->state == CHUNK_FETCHING)
		f->s->ops->cancel(f->s, &c->request);
	else
		chunk_free(c);
}

static void chunk_queue(struct chunk *c)
{
	c->state = CHUNK_QUEUED;
	list_del(&c->link);
	list_add(c->demand ? &c->feed->demand : &c->feed->ahead, &c->link);
}

static void next_try(void *arg)
{
	chunk_queue(arg);
}

static void expired(void *arg);

/* Somebody waits for it now. */
static void chunk_promote(struct chunk *c)
{
	if (c->demand)
		return;
	if (c->state != CHUNK_READY)
		c->feed->nahead--;
	c->demand = true;
	c->request.ahead = false;
	timer_set(c->feed->e, &c->deadline, deadline_ns(c->feed->e));
	if (c->state == CHUNK_QUEUED) {
		chunk_queue(c);
	} else if (c->state == CHUNK_READY && !c->idle) {
		list_del(&c->link);
		list_add(&c->feed->e->ready, &c->link);
	}
}

static struct chunk *chunk_get(struct feed *f, uint64_t offset, bool ahead)
{
	uint64_t begin = offset & ~(uint64_t)(f->s->chunk - 1);
	uint64_t end = (f->s->size + PAGE_4K - 1) & ~(PAGE_4K - 1);
	struct chunk *c;

	for (c = *hash_of(f, begin); c && c->request.offset != begin; c = c->hash_next)
		;
	if (c) {
		if (c->idle) {
			uncache(c);
			bump(&f->shared->cache_hits, 1);
			c->demand = !ahead;
			list_add(ahead ? &f->e->ready_ahead : &f->e->ready, &c->link);
		} else if (!ahead) {
			chunk_promote(c);
		}
		return c;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->feed = f;
	c->request.offset = begin;
	c->request.len = (uint32_t)(end - begin < f->s->chunk ? end - begin : f->s->chunk);
	c->request.ahead = ahead;
	c->request.done = arrived;
	c->next = (struct timer){.fn = next_try, .arg = c};
	c->deadline = (struct timer){.fn = expired, .arg = c};
	c->begun = now_ns();
	list_init(&c->link);
	list_init(&c->wants);
	c->hash_next = *hash_of(f, begin);
	*hash_of(f, begin) = c;
	c->demand = !ahead;
	if (ahead)
		f->nahead++;
	else
		timer_set(f->e, &c->deadline, deadline_ns(f->e));
	chunk_queue(c);
	return c;
}

/* ---- wants
 */

static struct want *want_new(struct guest *g, struct chunk *c, uint64_t page, uint64_t n,
			     uint64_t offset, uint64_t bytes, bool ahead)
{
	struct want *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->g = g;
	w->chunk = c;
	w->page = page;
	w->n = (uint32_t)n;
	w->at = (uint32_t)(offset - c->request.offset);
	w->bytes = (uint32_t)bytes;
	w->ahead = ahead;
	list_add(&c->wants, &w->of_chunk);
	list_add(&g->wants, &w->of_guest);
	bump(&g->f->in_flight, (int64_t)bytes);
	if (ahead)
		g->ahead.in_flight += bytes;
	return w;
}

static void want_free(struct want *w)
{
	struct guest *g = w->g;

	if (w->bytes) {
		bump(&g->f->in_flight, -(int64_t)w->bytes);
		ahead_arrived(g, w->ahead ? w->bytes : 0);
	}
	if (w->of_chunk.next)
		list_del(&w->of_chunk);
	list_del(&w->of_guest);
	free(w);
}

static void assembly_free(struct assembly *a)
{
	struct engine *e = a->g->e;

	e->in_flight -= a->size;
	buffer_put(e, a->buf, a->size);
	free(a);
}

/* All wants of an assembly, and itself. */
static void assembly_drop(struct assembly *a)
{
	struct guest *g = a->g;

	for (struct list *l = g->wants.next, *next; l != &g->wants; l = next) {
		struct want *w = of(l, struct want, of_guest);
		struct chunk *c = w->chunk;

		next = l->next;
		if (w->assembly != a)
			continue;
		want_free(w);
		if (list_empty(&c->wants) && c->state != CHUNK_READY && !c->failing)
			chunk_forget(c);
	}
	assembly_free(a);
}

/* They cannot be fetched, or filled: whoever waits is answered as if the source had failed. */
static void undelivered(struct guest *g, const struct guest_region *r, uint64_t page, uint64_t n,
			int error)
{
	page_canceled(g, page, n);
	for (uint64_t i = page; i < page + n; i++) {
		if (page_has(g, i, PAGE_WAITED))
			pages_given_up(g, r, i, 1, error);
	}
}

static void assembly_done(struct assembly *a)
{
	struct guest *g = a->g;
	const struct guest_region *r = region_of(g, a->page);
	uint64_t page = a->page, done;
	struct want *w;
	int err = 0;

	if (r && page_state(g, page) == PAGE_FETCHING)
		err = fill_pages(g, r, page, 1, a->buf, a->ahead ? FILL_AHEAD : FILL_DEMAND, &done);
	if (err == -EAGAIN || err == -ENOMEM) {
		w = calloc(1, sizeof(*w));
		if (w) {
			list_init(&w->of_chunk);
			list_init(&w->of_guest);
			w->g = g;
			w->assembly = a;
			guest_park(g, w, err);
			return;
		}
	}
	if (err && err != -ESRCH)
		undelivered(g, r, page, 1, err);
	assembly_free(a);
}

static void assemble(struct guest *g, const struct guest_region *r, uint64_t page, bool ahead)
{
	struct feed *f = g->feed;
	struct assembly *a = calloc(1, sizeof(*a));
	uint64_t offset = page_offset(r, page), end = offset + r->page_size;

	if (a)
		a->buf = buffer_get(g->e, r->page_size);
	if (!a || !a->buf) {
		free(a);
		undelivered(g, r, page, 1, -ENOMEM);
		return;
	}
	a->g = g;
	a->page = page;
	a->size = r->page_size;
	a->ahead = ahead;
	g->e->in_flight += a->size;
	page_fetching(g, page, 1);
	for (uint64_t at = offset; at < end;) {
		uint64_t len = end - at, room = f->s->chunk - at % f->s->chunk;
		char *to = (char *)a->buf + (at - offset);
		struct chunk *c;
		struct want *w;

		if (contents_at(f, at, &len) == SOURCE_ZERO) {
			memset(to, 0, len);
			at += len;
			continue;
		}
		len = len < room ? len : room;
		c = chunk_get(f, at, ahead);
		w = c ? want_new(g, c, page, 1, at, len, ahead) : NULL;
		if (!w) {
			assembly_drop(a);
			undelivered(g, r, page, 1, -ENOMEM);
			return;
		}
		w->assembly = a;
		w->into = (uint32_t)(at - offset);
		a->missing++;
		at += len;
	}
	if (!a->missing)
		assembly_done(a);
}

/* Missing pages, within a region. */
void fetch_pages(struct guest *g, const struct guest_region *r, uint64_t page, uint64_t n,
		 bool ahead)
{
	uint32_t chunk = g->feed->s->chunk;

	while (n) {
		uint64_t offset = page_offset(r, page), room = (chunk - offset % chunk);
		uint64_t run = room / r->page_size < n ? room / r->page_size : n;
		struct chunk *c;

		if (!run) {
			assemble(g, r, page, ahead);
			page++;
			n--;
			continue;
		}
		c = chunk_get(g->feed, offset, ahead);
		if (!c || !want_new(g, c, page, run, offset, run * r->page_size, ahead)) {
			undelivered(g, r, page, run, -ENOMEM);
			return;
		}
		page_fetching(g, page, run);
		page += run;
		n -= run;
	}
}

/* A page that faulted, and if that is wanted what else its chunk has for its neighbours. */
void fetch_demand(struct guest *g, const struct guest_region *r, uint64_t page)
{
	uint64_t chunk = g->feed->s->chunk, offset = page_offset(r, page), from = page, n = 1;

	if (r->page_size <= PAGE_4K && ahead_near(g) > 1) {
		uint64_t before = offset % chunk / PAGE_4K, to;

		if (before > page - r->first)
			before = page - r->first;
		to = page + (chunk - offset % chunk) / PAGE_4K;
		to = to < region_end(r) ? to : region_end(r);
		while (before-- && page_state(g, from - 1) == PAGE_MISSING)
			from--;
		n = page - from + 1 + page_missing_run(g, page + 1, to);
	}
	if (g->evict)
		evict_room(g, n);
	fetch_pages(g, r, from, n, false);
}

void fetch_join(struct guest *g, const struct guest_region *r, uint64_t page)
{
	uint64_t offset = page_offset(r, page), end = offset + r->page_size;
	struct feed *f = g->feed;

	for (uint64_t at = offset & ~(uint64_t)(f->s->chunk - 1); at < end; at += f->s->chunk) {
		struct chunk *c = *hash_of(f, at);

		while (c && c->request.offset != at)
			c = c->hash_next;
		if (c)
			chunk_promote(c);
	}
}

/* ---- to the source
 */

static bool submit(struct chunk *c)
{
	struct feed *f = c->feed;
	struct engine *e = f->e;
	int err;

	if (!c->request.buf)
		c->request.buf = buffer_get(e, f->s->chunk);
	if (!c->request.buf) {
		chunk_error(c, -ENOMEM);
		return true;
	}
	list_del(&c->link);
	c->state = CHUNK_FETCHING;
	c->asked = now_ns();
	err = f->s->ops->fetch(f->s, &c->request);
	if (err == -EAGAIN) {
		c->state = CHUNK_QUEUED;
		/* Where it was: at the head. */
		list_add(c->demand ? f->demand.next : f->ahead.next, &c->link);
		f->full = true;
		return false;
	}
	if (err) {
		chunk_error(c, err);
		return true;
	}
	f->under_way++;
	e->in_flight += c->request.len;
	bump(&f->shared->fetches, 1);
	bump(&f->shared->in_flight, 1);
	bump(&f->shared->in_flight_bytes, c->request.len);
	atomic_store_explicit(&e->f->in_flight_bytes, e->in_flight, memory_order_relaxed);
	return true;
}

void fetch_submit(struct engine *e)
{
	for (struct list *l = e->feeds.next; l != &e->feeds; l = l->next) {
		struct feed *f = of(l, struct feed, link);
		uint64_t extra = (uint64_t)f->guests * f->s->chunk;

		while (!f->full && !list_empty(&f->demand) &&
		       e->in_flight < e->in_flight_limit + extra) {
			if (!submit(of(f->demand.next, struct chunk, link)))
				break;
		}
		/* One place is left to those that somebody will wait for. */
		while (!f->full && !list_empty(&f->ahead) && list_empty(&f->demand) &&
		       (f->under_way + 1 < f->s->depth || !f->under_way) &&
		       (e->in_flight + f->s->chunk <= e->in_flight_limit || !f->under_way)) {
			if (!submit(of(f->ahead.next, struct chunk, link)))
				break;
		}
	}
}

bool fetch_ahead_room(const struct engine *e, const struct feed *f)
{
	unsigned depth = f->s->depth > 1 ? f->s->depth : 2;

	return f->nahead < 2 * depth && f->arrived < ARRIVED_MOST &&
	       e->in_flight < e->in_flight_limit;
}

static void arrived(struct source_request *request, int error)
{
	struct chunk *c = of(request, struct chunk, request);
	struct feed *f = c->feed;
	struct engine *e = f->e;
	uint64_t now = now_ns();

	f->under_way--;
	e->in_flight -= request->len;
	bump(&f->shared->in_flight, -1);
	bump(&f->shared->in_flight_bytes, -(int64_t)request->len);
	atomic_store_explicit(&e->f->in_flight_bytes, e->in_flight, memory_order_relaxed);
	PROBE(pager_fetch, f->number, request->offset, request->len, error);
	report(e, TRACE_FETCH, 0, f->number, c->asked, request->offset, request->len,
	       now - c->asked, (request->ahead ? TRACE_AHEAD : 0) | (error ? TRACE_FAILED : 0));
	ahead_room(f);
	if (c->forgotten) {
		chunk_free(c);
		return;
	}
	if (error) {
		chunk_error(c, error);
		return;
	}
	if (f->failures >= UNHEALTHY)
		engine_say(e, ENGINE_WARNING, "%s: answers again, after %.1f s", f->s->spec,
			   (double)(now - f->failing_since) / NS_PER_S);
	f->failures = 0;
	atomic_store_explicit(&f->shared->healthy, 1, memory_order_relaxed);
	bump(&f->shared->bytes, request->len);
	histogram_add(&f->shared->latency, now - c->asked);
	timer_clear(&c->deadline);
	c->state = CHUNK_READY;
	c->counted = true;
	f->arrived += request->len;
	if (!c->demand)
		f->nahead--;
	list_add(c->demand ? &e->ready : &e->ready_ahead, &c->link);
}

static void feed_ready(void *arg, uint32_t events)
{
	struct feed *f = arg;

	(void)events;
	f->full = false;
	f->s->ops->process(f->s);
}

/* ---- errors
 */

/* Those that nobody waits for are missing again; those that somebody does, cannot be had. */
static void chunk_fail(struct chunk *c, int error)
{
	c->failing = true;
	while (!list_empty(&c->wants)) {
		struct want *w = of(c->wants.next, struct want, of_chunk);
		struct guest *g = w->g;
		uint64_t page = w->page, n = w->n;
		struct assembly *a = w->assembly;

		if (a)
			assembly_drop(a);
		else
			want_free(w);
		for (uint64_t i = page; i < page + n; i++) {
			const struct guest_region *r = region_of(g, i);

			if (r && page_state(g, i) == PAGE_FETCHING)
				pages_given_up(g, r, i, 1, error);
		}
	}
	chunk_forget(c);
}

static uint64_t backoff(struct engine *e, const struct chunk *c, bool late)
{
	uint64_t ns = RETRY_NS << (c->tries < 13 ? c->tries : 13);
	uint64_t max = late ? RETRY_SLOW_NS : RETRY_MAX_NS;

	ns = ns < max ? ns : max;
	/* Of many that failed together, not all are to come back together. */
	return ns / 2 + engine_random(e) % (ns / 2 + 1);
}

/* Once, when it has begun to fail; how it ended is said when something arrives. */
static void count_failure(struct feed *f, int error)
{
	if (!f->failures)
		f->failing_since = now_ns();
	if (++f->failures != UNHEALTHY)
		return;
	atomic_store_explicit(&f->shared->healthy, 0, memory_order_relaxed);
	if (error == -ENOTCONN)
		engine_say(f->e, ENGINE_WARNING,
			   "%s: the connection is lost; it is made anew as soon as that succeeds",
			   f->s->spec);
	else
		engine_say(f->e, ENGINE_WARNING,
			   "%s: %u fetches in a row have failed, the last with: %s", f->s->spec,
			   f->failures, strerror(-error));
}

static void chunk_error(struct chunk *c, int error)
{
	struct feed *f = c->feed;
	struct engine *e = f->e;
	bool late = now_ns() - c->begun > deadline_ns(e);
	bool wait = e->o.on_failure == FAILURE_WAIT;

	c->state = CHUNK_DELAYED;
	bump(&f->shared->errors, 1);
	count_failure(f, error);
	c->error = error;
	if (!wait && (late || source_error_lasts(error))) {
		chunk_fail(c, error);
		return;
	}
	if (f->s->ops->repair && !source_error_lasts(error))
		f->s->ops->repair(f->s);
	bump(&f->shared->retries, 1);
	list_del(&c->link);
	timer_set(e, &c->next, backoff(e, c, late && wait));
	c->tries++;
}

/* Whoever has waited for as long as one may; others began later. */
static bool expire_want(struct want *w, uint64_t now, uint64_t *next)
{
	struct guest *g = w->g;
	uint64_t patience = deadline_ns(g->e);
	bool left = false;

	for (uint64_t i = w->page; i < w->page + w->n; i++) {
		const struct guest_region *r = region_of(g, i);
		uint64_t since;

		if (!r || page_state(g, i) != PAGE_FETCHING || !page_has(g, i, PAGE_WAITED))
			continue;
		since = waiter_since(g, i);
		if (since + patience > now) {
			*next = since + patience < *next ? since + patience : *next;
			left = true;
		} else if (!w->assembly) {
			pages_given_up(g, r, i, 1, w->chunk->error ? w->chunk->error : -ETIMEDOUT);
		}
	}
	return left;
}

static void expired(void *arg)
{
	struct chunk *c = arg;
	struct feed *f = c->feed;
	struct engine *e = f->e;
	uint64_t now = now_ns(), next = UINT64_MAX;
	bool left = false;

	if (e->o.on_failure == FAILURE_WAIT) {
		engine_say(e, ENGINE_WARNING,
			   "%s: nothing has come from offset %#llx for %u ms; it goes on trying",
			   f->s->spec, (unsigned long long)c->request.offset, e->o.deadline_ms);
		return;
	}
	for (struct list *l = c->wants.next; l != &c->wants; l = l->next)
		left |= expire_want(of(l, struct want, of_chunk), now, &next);
	if (left)
		timer_set(e, &c->deadline, next - now);
	else
		chunk_fail(c, c->error ? c->error : -ETIMEDOUT);
}

/* ---- to the guests
 */

static void deliver_want(struct want *w)
{
	struct guest *g = w->g;
	struct chunk *c = w->chunk;
	struct assembly *a = w->assembly;
	uint64_t page = w->page, end = w->page + w->n;
	const char *buf = (const char *)c->request.buf + w->at;

	if (a) {
		memcpy((char *)a->buf + w->into, buf, w->bytes);
		want_free(w);
		if (!--a->missing)
			assembly_done(a);
		return;
	}
	while (page < end && !g->ending) {
		const struct guest_region *r = region_of(g, page);
		uint64_t n = 0, done = 0, limit;
		int err;

		if (!r || page_state(g, page) != PAGE_FETCHING) {
			page++;
			continue;
		}
		limit = end < region_end(r) ? end : region_end(r);
		while (page + n < limit && page_state(g, page + n) == PAGE_FETCHING)
			n++;
		err = fill_pages(g, r, page, n, buf + (page - w->page) * r->page_size,
				 w->ahead ? FILL_AHEAD : FILL_DEMAND, &done);
		page += done;
		if (err == -EAGAIN || err == -ENOMEM) {
			w->at += (uint32_t)((page - w->page) * r->page_size);
			w->n = (uint32_t)(end - page);
			w->page = page;
			guest_park(g, w, err);
			return;
		}
		if (err) {
			undelivered(g, r, page, n - done, err);
			break;
		}
	}
	want_free(w);
}

static uint64_t cache_limit(const struct engine *e)
{
	return e->recording && e->o.cache < CACHE_RECORDING ? CACHE_RECORDING : e->o.cache;
}

/* All that wanted it have it: it is kept, or not. */
static void chunk_settle(struct chunk *c)
{
	struct engine *e = c->feed->e;
	uint64_t limit = cache_limit(e);

	if (!list_empty(&c->wants))
		return;
	if (!c->feed->s->costly || c->request.len > limit) {
		chunk_forget(c);
		return;
	}
	c->idle = true;
	list_del(&c->link);
	list_add(&e->cache, &c->link);
	e->cached += c->request.len;
	while (e->cached > limit)
		chunk_forget(of(e->cache.next, struct chunk, link));
	atomic_store_explicit(&e->f->cache_bytes, e->cached, memory_order_relaxed);
}

static void deliver_chunk(struct chunk *c)
{
	struct list todo;

	list_del(&c->link);
	list_init(&todo);
	while (!list_empty(&c->wants)) {
		struct list *l = c->wants.next;

		list_del(l);
		list_add(&todo, l);
	}
	/* Back to the chunk one by one: a want that is parked stays with it. */
	while (!list_empty(&todo)) {
		struct want *w = of(todo.next, struct want, of_chunk);

		list_del(&w->of_chunk);
		list_add(&c->wants, &w->of_chunk);
		if (!w->parked)
			deliver_want(w);
	}
	chunk_given(c);
	chunk_settle(c);
}

/* A want that was parked. */
void fetch_again(struct want *w)
{
	struct chunk *c = w->chunk;
	struct assembly *a = w->assembly;

	w->parked = false;
	if (!c) {
		free(w);
		assembly_done(a);
		return;
	}
	list_add(&w->g->wants, &w->of_guest);
	deliver_want(w);
	if (list_empty(&c->link) && !c->idle)
		chunk_settle(c);
}

bool fetch_deliver(struct engine *e, uint64_t until)
{
	while (!list_empty(&e->ready))
		deliver_chunk(of(e->ready.next, struct chunk, link));
	while (!list_empty(&e->ready_ahead) && now_ns() < until)
		deliver_chunk(of(e->ready_ahead.next, struct chunk, link));
	return !list_empty(&e->ready_ahead);
}

void fetch_forget(struct guest *g)
{
	struct list *lists[] = {&g->wants, &g->parked};

	for (unsigned i = 0; i < LEN(lists); i++) {
		while (!list_empty(lists[i])) {
			struct want *w = of(lists[i]->next, struct want, of_guest);
			struct chunk *c = w->chunk;
			struct assembly *a = w->assembly;

			if (a && c) {
				assembly_drop(a);
				continue;
			}
			want_free(w);
			if (a)
				assembly_free(a);
			if (!c || !list_empty(&c->wants))
				continue;
			if (c->state == CHUNK_READY)
				chunk_settle(c);
			else
				chunk_forget(c);
		}
	}
}

/* ---- feeds
 */

static struct shared_source *shared_place(struct engine *e, uint32_t *number)
{
	for (uint32_t i = 0; i < PAGER_SOURCES; i++) {
		*number = i;
		if (!e->f->source[i].used)
			return &e->f->source[i];
	}
	*number = PAGER_SOURCES;
	return NULL;
}

int feed_open(struct engine *e, struct source *s, struct feed **out)
{
	struct feed *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	f->e = e;
	f->s = s;
	list_init(&f->demand);
	list_init(&f->ahead);
	list_init(&f->starved);
	f->shared = shared_place(e, &f->number);
	if (!f->shared) {
		f->own_shared = true;
		f->shared = calloc(1, sizeof(*f->shared));
		if (!f->shared) {
			free(f);
			return -ENOMEM;
		}
	}
	memset(f->shared, 0, sizeof(*f->shared));
	memcpy(f->shared->spec, s->spec, sizeof(f->shared->spec));
	strncpy(f->shared->kind, s->ops->name, sizeof(f->shared->kind) - 1);
	f->shared->size = s->size;
	f->shared->healthy = 1;
	f->shared->used = 1;
	err = s->ops->fd(s) >= 0 ? engine_watch(e, s->ops->fd(s), EPOLLIN, feed_ready, f) : 0;
	if (err) {
		f->shared->used = 0;
		if (f->own_shared)
			free(f->shared);
		free(f);
		return err;
	}
	list_add(&e->feeds, &f->link);
	*out = f;
	return 0;
}

int engine_add_source(struct engine *e, struct source *s)
{
	struct feed *f;

	return feed_open(e, s, &f);
}

struct feed *feed_find(struct engine *e, const struct source *s)
{
	for (struct list *l = e->feeds.next; l != &e->feeds; l = l->next) {
		struct feed *f = of(l, struct feed, link);

		if (f->s == s)
			return f;
	}
	return NULL;
}

/* No guest is filled from it any more. Waits for what the source still writes to. */
bool feed_quiet(struct feed *f)
{
	for (unsigned i = 0; i < CHUNK_HASH; i++) {
		while (f->hash[i])
			chunk_forget(f->hash[i]);
	}
	return !f->under_way;
}

void feed_close(struct feed *f)
{
	while (!feed_quiet(f)) {
		struct epoll_event ev;

		epoll_wait(f->e->epoll, &ev, 1, 10);
		f->s->ops->process(f->s);
	}
	if (f->s->ops->fd(f->s) >= 0)
		engine_watch(f->e, f->s->ops->fd(f->s), 0, NULL, NULL);
	list_del(&f->link);
	source_close(f->s);
	f->shared->used = 0;
	if (f->own_shared)
		free(f->shared);
	free(f);
}
