/*
 * packed_cache.c - chunks of a packed image. Threads read and decompress them; the engine's thread
 * hands out their pages. A request that needs several chunks has them loaded side by side.
 */
#include "packed.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#define CACHE	      (UINT64_C(4) << 20)
#define ENTRIES_LEAST 16u
#define THREADS_MOST  8u
/* Chunks that are loaded ahead of somebody who takes them in their order. */
#define AHEAD 4u

struct packed_want {
	struct packed_want *next;
	struct source_request *request;
};

struct packed_entry {
	struct pool_job job; /* first */
	struct packed *p;
	uint64_t chunk;
	unsigned char *buf; /* its own; NULL: never used */
	unsigned char *to;  /* that, or of the one request that wants exactly this */
	enum {
		ENTRY_FREE,
		ENTRY_LOADING,
		ENTRY_READY
	} state;
	bool asked; /* for one of its pages, by somebody */
	struct packed_want *wants;
	struct packed_entry *newer, *older;
};

/* What a request's private part is, from fetch to done. */
struct taking {
	struct source_request *next;
	uint32_t cursor;  /* pages before it are there, or wanted */
	uint32_t pending; /* wants of it */
	int error;
	bool canceled;
} __attribute__((may_alias));
_Static_assert(sizeof(struct taking) <= sizeof(((struct source_request *)0)->private), "fits");

static struct taking *taking_of(struct source_request *request)
{
	return (struct taking *)request->private;
}

static uint32_t pages_of(const struct source_request *request)
{
	return request->len / SOURCE_PAGE;
}

/* ---- on the threads
 */

struct worker {
	ZSTD_DCtx *zstd;
	unsigned char *raw;
};

static void worker_end(void *local)
{
	struct worker *w = local;

	ZSTD_freeDCtx(w->zstd);
	free(w->raw);
}

/* *from: where in w->raw it begins. */
static int read_chunk(const struct packed *p, struct worker *w, uint64_t at, uint32_t len,
		      const unsigned char **from)
{
	uint32_t skip = p->direct ? at % SOURCE_PAGE : 0;
	size_t want = p->direct ? page_round(skip + len) : len;
	ssize_t n;

	*from = w->raw + skip;
	if (!p->direct)
		return read_all(p->fd, w->raw, want, at);
	/* What is behind it may be the end of the file. */
	do {
		n = pread(p->fd, w->raw, want, (off_t)(at - skip));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n < skip + len ? -ENODATA : 0;
}

static int load(struct pool_job *job, void *local)
{
	struct packed_entry *e = (struct packed_entry *)job;
	struct packed *p = e->p;
	struct worker *w = local;
	uint32_t len = (uint32_t)(p->at[e->chunk + 1] - p->at[e->chunk]);
	uint32_t size = packed_chunk_len(&p->h, e->chunk);
	const unsigned char *from;
	int error;

	if (!w->zstd)
		w->zstd = ZSTD_createDCtx();
	if (!w->raw)
		w->raw = aligned_alloc(SOURCE_PAGE, p->h.chunk_size + 2 * SOURCE_PAGE);
	if (!w->zstd || !w->raw)
		return -ENOMEM;
	error = read_chunk(p, w, p->at[e->chunk], len, &from);
	if (error)
		return error;
	if (len == size)
		memcpy(e->to, from, size);
	else if (ZSTD_decompressDCtx(w->zstd, e->to, size, from, len) != size)
		return -EBADMSG;
	return XXH3_64bits(e->to, size) == p->sum[e->chunk] ? 0 : -EBADMSG;
}

/* ---- entries
 */

static void unlink_entry(struct packed *p, struct packed_entry *e)
{
	*(e->newer ? &e->newer->older : &p->newest) = e->older;
	*(e->older ? &e->older->newer : &p->oldest) = e->newer;
}

static void make_newest(struct packed *p, struct packed_entry *e)
{
	if (p->newest == e)
		return;
	unlink_entry(p, e);
	e->newer = NULL;
	e->older = p->newest;
	*(p->newest ? &p->newest->newer : &p->oldest) = e;
	p->newest = e;
}

static struct packed_entry *find(const struct packed *p, uint64_t chunk)
{
	return p->where[chunk] ? &p->entry[p->where[chunk] - 1] : NULL;
}

static struct packed_entry *take_entry(struct packed *p)
{
	struct packed_entry *e = p->oldest;

	while (e && e->state == ENTRY_LOADING)
		e = e->newer;
	if (e && e->state == ENTRY_READY)
		p->where[e->chunk] = 0;
	if (e)
		e->state = ENTRY_FREE;
	return e;
}

/* To where, or NULL: it is kept. NULL: all entries are loading. */
static struct packed_entry *begin_load(struct packed *p, uint64_t chunk, bool ahead,
				       unsigned char *to)
{
	struct packed_entry *e = take_entry(p);

	if (e && !to && !e->buf)
		e->buf = aligned_alloc(SOURCE_PAGE, p->h.chunk_size);
	if (!e || (!to && !e->buf))
		return NULL;
	e->to = to ? to : e->buf;
	e->chunk = chunk;
	e->state = ENTRY_LOADING;
	e->asked = false;
	p->where[chunk] = (uint32_t)(e - p->entry) + 1;
	p->loading++;
	make_newest(p, e);
	pool_add(p->pool, &e->job, ahead);
	return e;
}

/* Somebody who had the chunk before will have the next ones. */
static void load_ahead(struct packed *p, uint64_t chunk)
{
	if (!chunk || !find(p, chunk - 1))
		return;
	for (uint64_t next = chunk + 1; next <= chunk + AHEAD && next < p->h.chunks; next++) {
		if (p->loading >= p->nentries / 2)
			break;
		if (!find(p, next) && !begin_load(p, next, true, NULL))
			break;
	}
}

/* NULL: there is no room now. */
static struct packed_entry *ask(struct packed *p, uint64_t chunk, bool ahead)
{
	struct packed_entry *e = find(p, chunk);

	if (!e)
		e = begin_load(p, chunk, ahead, NULL);
	else if (e->state == ENTRY_LOADING && !ahead)
		pool_hurry(p->pool, &e->job);
	if (e && !e->asked) {
		e->asked = true;
		make_newest(p, e);
		load_ahead(p, chunk);
	} else if (e && p->newest != e) {
		make_newest(p, e);
	}
	return e;
}

/* ---- pages
 */

/* Pages from `first` on that lie one behind the other in their chunk: how many, to `most`. */
static uint32_t run_of(const struct packed *p, uint64_t first, uint32_t most)
{
	uint32_t slot = p->page[first] - 1, per_chunk = packed_slots_of(&p->h), n = 1;

	if (most > per_chunk - slot % per_chunk)
		most = per_chunk - slot % per_chunk;
	while (n < most && p->page[first + n] == slot + 1 + n)
		n++;
	return n;
}

static const unsigned char *contents(const struct packed *p, const struct packed_entry *e,
				     uint64_t page)
{
	return e->to + (size_t)((p->page[page] - 1) % packed_slots_of(&p->h)) * SOURCE_PAGE;
}

static uint64_t chunk_of(const struct packed *p, uint64_t page)
{
	return (p->page[page] - 1) / packed_slots_of(&p->h);
}

/* All pages of the request that are in e. */
static void give(const struct packed *p, const struct packed_entry *e,
		 struct source_request *request)
{
	uint64_t first = request->offset / SOURCE_PAGE;
	uint32_t n = pages_of(request), run;

	for (uint32_t i = 0; i < n; i += run) {
		run = 1;
		if (first + i >= p->npages || !p->page[first + i])
			continue;
		run = run_of(p, first + i, n - i);
		if (chunk_of(p, first + i) == e->chunk && e->to != request->buf)
			memcpy((char *)request->buf + (size_t)i * SOURCE_PAGE,
			       contents(p, e, first + i), (size_t)run * SOURCE_PAGE);
	}
}

/* So that want() cannot fail once a thread is at work for the request. */
static bool have_want(struct packed *p)
{
	struct packed_want *w = p->free_wants ? NULL : malloc(sizeof(*w));

	if (w) {
		w->next = NULL;
		p->free_wants = w;
	}
	return p->free_wants;
}

static void want(struct packed *p, struct packed_entry *e, struct source_request *request)
{
	struct packed_want *w = p->free_wants;

	if (e->wants && e->wants->request == request)
		return;
	p->free_wants = w->next;
	*w = (struct packed_want){e->wants, request};
	e->wants = w;
	taking_of(request)->pending++;
}

static void put_ready(struct packed *p, struct source_request *request)
{
	taking_of(request)->next = NULL;
	*p->last_ready = request;
	p->last_ready = &taking_of(request)->next;
}

/* Is the request exactly a chunk, that is not there yet? Then it is decompressed where it goes. */
static bool is_chunk(const struct packed *p, const struct source_request *request)
{
	uint64_t first = request->offset / SOURCE_PAGE, chunk;
	uint32_t n = pages_of(request);

	if (first + n > p->npages || !p->page[first])
		return false;
	chunk = chunk_of(p, first);
	return request->len == packed_chunk_len(&p->h, chunk) && run_of(p, first, n) == n &&
	       !find(p, chunk);
}

/* Goes on until all pages are there or wanted; false: there is no room for a chunk now. */
static bool advance(struct packed *p, struct source_request *request)
{
	struct taking *t = taking_of(request);
	uint64_t first = request->offset / SOURCE_PAGE;
	uint32_t n = pages_of(request), run;

	for (; t->cursor < n && !t->error; t->cursor += run) {
		uint64_t page = first + t->cursor;
		char *to = (char *)request->buf + (size_t)t->cursor * SOURCE_PAGE;
		struct packed_entry *e;

		run = 1;
		if (page >= p->npages || !p->page[page]) {
			memset(to, 0, SOURCE_PAGE);
			continue;
		}
		if (!have_want(p)) {
			t->error = -ENOMEM;
			break;
		}
		if (is_chunk(p, request))
			e = begin_load(p, chunk_of(p, page), request->ahead, request->buf);
		else
			e = ask(p, chunk_of(p, page), request->ahead);
		if (!e && p->loading)
			return false;
		if (!e) {
			t->error = -ENOMEM;
			break;
		}
		run = run_of(p, page, n - t->cursor);
		if (e->state == ENTRY_READY)
			memcpy(to, contents(p, e, page), (size_t)run * SOURCE_PAGE);
		else
			want(p, e, request);
	}
	t->cursor = n;
	if (!t->pending)
		put_ready(p, request);
	return true;
}

static void stall(struct packed *p, struct source_request *request)
{
	taking_of(request)->next = NULL;
	*p->last_stalled = request;
	p->last_stalled = &taking_of(request)->next;
}

/* In their order: there may be room again. */
static void resume_stalled(struct packed *p)
{
	while (p->stalled) {
		struct source_request *request = p->stalled;
		struct source_request *next = taking_of(request)->next;

		if (taking_of(request)->canceled && !taking_of(request)->error)
			taking_of(request)->error = -ECANCELED;
		if (!advance(p, request))
			break;
		p->stalled = next;
		if (!next)
			p->last_stalled = &p->stalled;
	}
}

/* What somebody still wants goes on. */
static bool wanted(const struct packed_want *w)
{
	for (; w; w = w->next) {
		if (!taking_of(w->request)->canceled)
			return true;
	}
	return false;
}

static void loaded(struct packed *p, struct packed_entry *e)
{
	struct packed_want *w = e->wants, *next;
	int error = e->job.error;

	if (error == -ECANCELED && wanted(w)) {
		pool_add(p->pool, &e->job, false);
		return;
	}
	p->loading--;
	e->wants = NULL;
	e->state = error || e->to != e->buf ? ENTRY_FREE : ENTRY_READY;
	if (e->state == ENTRY_FREE)
		p->where[e->chunk] = 0;
	for (; w; w = next) {
		struct taking *t = taking_of(w->request);

		next = w->next;
		if (!error)
			give(p, e, w->request);
		else if (!t->error)
			t->error = error;
		if (!--t->pending && t->cursor == pages_of(w->request))
			put_ready(p, w->request);
		w->next = p->free_wants;
		p->free_wants = w;
	}
}

/* ---- the operations
 */

const void *packed_peek(struct source *s, uint64_t offset, uint64_t len)
{
	struct packed *p = packed_of(s);
	uint64_t first = offset / SOURCE_PAGE;
	uint32_t n = (uint32_t)(len / SOURCE_PAGE), run;
	struct packed_entry *e, *last = NULL;

	if (len > PACKED_CHUNK_MOST || first + n > p->npages)
		return NULL;
	/* Nothing is copied before all of it is known to be there. */
	for (uint32_t i = 0; i < n; i += run) {
		run = 1;
		if (!p->page[first + i])
			continue;
		e = find(p, chunk_of(p, first + i));
		if (!e || e->state != ENTRY_READY)
			return NULL;
		run = run_of(p, first + i, n - i);
		if (run == n) {
			ask(p, e->chunk, true);
			return contents(p, e, first);
		}
	}
	if (!p->assembled)
		p->assembled = aligned_alloc(SOURCE_PAGE, PACKED_CHUNK_MOST);
	if (!p->assembled)
		return NULL;
	for (uint32_t i = 0; i < n; i += run) {
		unsigned char *to = p->assembled + (size_t)i * SOURCE_PAGE;

		run = 1;
		if (!p->page[first + i]) {
			memset(to, 0, SOURCE_PAGE);
			continue;
		}
		e = find(p, chunk_of(p, first + i));
		run = run_of(p, first + i, n - i);
		memcpy(to, contents(p, e, first + i), (size_t)run * SOURCE_PAGE);
		last = e;
	}
	if (last)
		ask(p, last->chunk, true);
	return p->assembled;
}

int packed_fetch(struct source *s, struct source_request *request)
{
	struct packed *p = packed_of(s);
	bool first = !p->ready;

	if (p->under_way >= s->depth)
		return -EAGAIN;
	p->under_way++;
	*taking_of(request) = (struct taking){0};
	if (!advance(p, request))
		stall(p, request);
	if (first && p->ready)
		pool_wake(p->pool);
	return 0;
}

/* Chunks that nobody else wants are not loaded, unless they are being. */
void packed_cancel(struct source *s, struct source_request *request)
{
	struct packed *p = packed_of(s);
	uint64_t first = request->offset / SOURCE_PAGE;

	taking_of(request)->canceled = true;
	for (uint32_t i = 0; i < pages_of(request) && first + i < p->npages; i++) {
		struct packed_entry *e =
			p->page[first + i] ? find(p, chunk_of(p, first + i)) : NULL;

		if (e && e->wants && !wanted(e->wants))
			pool_cancel(p->pool, &e->job);
	}
}

int packed_fd(struct source *s)
{
	return pool_fd(packed_of(s)->pool);
}

void packed_process(struct source *s)
{
	struct packed *p = packed_of(s);
	struct pool_job *job = pool_take(p->pool), *next_job;
	struct source_request *request, *next;

	for (; job; job = next_job) {
		next_job = job->next;
		loaded(p, (struct packed_entry *)job);
	}
	resume_stalled(p);
	request = p->ready;
	p->ready = NULL;
	p->last_ready = &p->ready;
	for (; request; request = next) {
		next = taking_of(request)->next;
		p->under_way--;
		request->done(request, taking_of(request)->error);
	}
}

int packed_load_all(struct packed *p, uint64_t *bad,
		    int (*tell)(void *arg, uint64_t done, uint64_t all), void *arg)
{
	struct pollfd fd = {.fd = pool_fd(p->pool), .events = POLLIN};
	uint64_t next = 0, done = 0;
	int error = 0;

	*bad = 0;
	while (p->loading || (next < p->h.chunks && !error)) {
		while (!error && next < p->h.chunks && p->loading < p->nentries / 2 &&
		       begin_load(p, next, false, NULL))
			next++;
		if (poll(&fd, 1, 100) < 0 && errno != EINTR)
			return -errno;
		for (struct pool_job *job = pool_take(p->pool), *after; job; job = after) {
			struct packed_entry *e = (struct packed_entry *)job;

			after = job->next;
			loaded(p, e);
			done += p->at[e->chunk + 1] - p->at[e->chunk];
			if (job->error == -EBADMSG || job->error == -ENODATA)
				++*bad;
			else if (job->error && !error)
				error = job->error;
		}
		if (!error && tell)
			error = tell(arg, done, p->at[p->h.chunks] - PACKED_DATA_AT);
	}
	return error ? error : *bad ? -EBADMSG : 0;
}

/* ---- its making and its end
 */

static unsigned default_threads(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 2 ? 2 : n > (long)THREADS_MOST ? THREADS_MOST : (unsigned)n;
}

int packed_cache_new(struct packed *p, const struct source_env *env, char *why, size_t why_size)
{
	struct pool_options options = {
		.threads = env && env->threads ? env->threads : default_threads(),
		.local_size = sizeof(struct worker),
		.work = load,
		.end = worker_end,
	};
	uint64_t cache = CACHE;
	int error = source_size_option(env, "cache", &cache, why, why_size);

	if (error)
		return error;
	p->last_ready = &p->ready;
	p->last_stalled = &p->stalled;
	p->nentries = cache / p->h.chunk_size < UINT32_MAX / 2 ? (unsigned)(cache / p->h.chunk_size)
							       : UINT32_MAX / 2;
	if (p->nentries > p->h.chunks)
		p->nentries = (unsigned)p->h.chunks;
	if (p->nentries < ENTRIES_LEAST)
		p->nentries = ENTRIES_LEAST;
	p->where = calloc(p->h.chunks + 1, sizeof(*p->where));
	p->entry = calloc(p->nentries, sizeof(*p->entry));
	error = p->where && p->entry ? pool_new(&options, &p->pool) : -ENOMEM;
	if (error)
		return source_why(why, why_size, error, "no thread can be started: %s",
				  strerror(-error));
	for (unsigned i = 0; i < p->nentries; i++) {
		struct packed_entry *e = &p->entry[i];

		e->p = p;
		e->newer = p->oldest;
		*(p->oldest ? &p->oldest->older : &p->newest) = e;
		p->oldest = e;
	}
	return 0;
}

/* What is loaded ahead may still be. */
static void end_loads(struct packed *p)
{
	for (unsigned i = 0; i < p->nentries; i++) {
		if (p->entry[i].state == ENTRY_LOADING)
			pool_cancel(p->pool, &p->entry[i].job);
	}
	pool_free(p->pool);
}

void packed_cache_free(struct packed *p)
{
	struct packed_want *w, *next;

	if (p->pool)
		end_loads(p);
	for (unsigned i = 0; p->entry && i < p->nentries; i++)
		free(p->entry[i].buf);
	for (w = p->free_wants; w; w = next) {
		next = w->next;
		free(w);
	}
	free(p->entry);
	free(p->where);
	free(p->assembled);
}
