/*
 * snapshot.c - writes what memory in use contained at one instant, while it is in use.
 *
 * Two threads: that of the freeze (freeze.h) copies pages, those first that somebody is about to
 * change; another writes the copies to the target, which may take its time. Between them is a queue
 * of limited size: when it is full, the pages that nobody wants wait first, and writers last.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pager/api.h"
#include "pager/freeze.h"
#include "pager/library.h"
#include "pager/source.h"

enum {
	PIECE = 256 << 10,    /* copied at a time: some 30 us */
	QUEUE = 64 << 20,     /* bytes that are copied and not written */
	QUEUE_IDLE = 8 << 20, /* of pages that nobody has asked for */
};

struct copy {
	struct copy *next;
	uint64_t offset;
	size_t len;
	char bytes[];
};

struct uf_snapshot {
	struct freeze *freeze;
	struct source_writer *writer;
	uint64_t len, at; /* the copying is there */
	uint64_t bandwidth;

	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct copy *first, **last;
	size_t queued;
	bool complete; /* there will be no more copies */
	int error;     /* of writing */
};

/* ---- the freeze's thread
 */

static int take(void *arg, uint64_t offset, const void *bytes, size_t len)
{
	struct uf_snapshot *s = arg;
	struct copy *c = malloc(sizeof(*c) + len);
	int error;

	if (!c)
		return -ENOMEM;
	c->next = NULL;
	c->offset = offset;
	c->len = len;
	memcpy(c->bytes, bytes, len);
	pthread_mutex_lock(&s->lock);
	while (s->queued >= QUEUE && !s->error)
		pthread_cond_wait(&s->changed, &s->lock);
	error = s->error;
	if (!error) {
		*s->last = c;
		s->last = &c->next;
		s->queued += len;
		pthread_cond_broadcast(&s->changed);
	}
	pthread_mutex_unlock(&s->lock);
	if (error)
		free(c);
	return error;
}

static int work(void *arg, struct freeze *f)
{
	struct uf_snapshot *s = arg;
	uint64_t len = s->len - s->at < PIECE ? s->len - s->at : PIECE;
	bool full;
	int error;

	if (!len)
		return FREEZE_DONE;
	pthread_mutex_lock(&s->lock);
	full = s->queued >= QUEUE_IDLE;
	error = s->error;
	pthread_mutex_unlock(&s->lock);
	if (error || full)
		return error;
	error = freeze_take(f, s->at, len);
	s->at += len;
	return error ? error : 1;
}

/* ---- the writing one
 */

static bool is_zero(const char *page)
{
	return !page[0] && memcmp(page, page + 1, SOURCE_PAGE - 1) == 0;
}

/* The image is zero where nothing is written. */
static int write_runs(struct uf_snapshot *s, const struct copy *c)
{
	size_t at = 0, end;
	int error = 0;

	while (!error && at < c->len) {
		if (is_zero(c->bytes + at)) {
			at += SOURCE_PAGE;
			continue;
		}
		for (end = at + SOURCE_PAGE; end < c->len && !is_zero(c->bytes + end);)
			end += SOURCE_PAGE;
		error = s->writer->ops->write(s->writer, c->offset + at, c->bytes + at, end - at);
		at = end;
	}
	return error;
}

/* Bandwidth: so many bytes take so long, from `since` on. */
static void keep_pace(const struct uf_snapshot *s, struct timespec since, uint64_t bytes)
{
	uint64_t ns;

	if (!s->bandwidth)
		return;
	ns = (uint64_t)since.tv_nsec +
	     (uint64_t)((long double)bytes * 1000000000 / (long double)s->bandwidth);
	since.tv_sec += (time_t)(ns / 1000000000);
	since.tv_nsec = (long)(ns % 1000000000);
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &since, NULL) == EINTR)
		;
}

static void *writer_main(void *arg)
{
	struct uf_snapshot *s = arg;
	struct timespec since;
	uint64_t written = 0;
	struct copy *c;
	int error = 0;

	clock_gettime(CLOCK_MONOTONIC, &since);
	pthread_mutex_lock(&s->lock);
	while (!s->error) {
		c = s->first;
		if (!c && s->complete)
			break;
		if (!c) {
			pthread_cond_wait(&s->changed, &s->lock);
			continue;
		}
		s->first = c->next;
		if (!s->first)
			s->last = &s->first;
		pthread_mutex_unlock(&s->lock);
		error = write_runs(s, c);
		keep_pace(s, since, written += c->len);
		pthread_mutex_lock(&s->lock);
		s->queued -= c->len;
		if (error)
			s->error = error;
		pthread_cond_broadcast(&s->changed);
		pthread_mutex_unlock(&s->lock);
		free(c);
		freeze_wake(s->freeze);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- the library's calls
 */

static void release(struct uf_snapshot *s)
{
	for (struct copy *c = s->first, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void set_error(struct uf_snapshot *s, int error)
{
	pthread_mutex_lock(&s->lock);
	if (!s->error)
		s->error = error;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

/* Both threads have ended when this returns. */
static int join(struct uf_snapshot *s, bool stop)
{
	int error;

	if (stop)
		set_error(s, -ECANCELED);
	/* The writing one wakes the freeze, which therefore is released after it. */
	error = freeze_join(s->freeze, stop);
	if (error)
		set_error(s, error);
	pthread_mutex_lock(&s->lock);
	s->complete = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	freeze_free(s->freeze);
	return s->error;
}

static bool sensible(const struct uf_snapshot_options *o)
{
	return !o || (o->size >= sizeof(size_t) && o->size <= sizeof(*o));
}

int uf_snapshot_begin(struct uf_pager *pager, void *addr, size_t len, const char *target,
		      const struct uf_snapshot_options *options, struct uf_snapshot **snapshot,
		      uint64_t *pause_ns)
{
	const struct freeze_client client = {.take = take, .work = work, .fd = -1};
	const struct source_env env = {.options = NULL};
	struct uf_snapshot_options o = UF_SNAPSHOT_OPTIONS;
	struct freeze_client c = client;
	struct uf_snapshot *s;
	char why[256];
	int error;

	if (!target || !sensible(options))
		return library_fail(-EINVAL,
				    "uf_snapshot_begin: no target, or options of another size");
	error = pager_not_served(pager, addr, len);
	if (error)
		return error;
	if (options)
		memcpy(&o, options, options->size);
	s = calloc(1, sizeof(*s));
	if (!s)
		return library_fail(-ENOMEM, "there is no memory left");
	s->len = len;
	s->bandwidth = o.bandwidth;
	s->last = &s->first;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	c.arg = s;
	error = source_create(target, o.kind, len, &env, &s->writer, why, sizeof(why));
	if (error) {
		release(s);
		return library_fail(error, "%s", why);
	}
	error = freeze_begin(addr, len, &c, &s->freeze, pause_ns, why, sizeof(why));
	if (!error) {
		error = library_thread(&s->thread, writer_main, s);
		if (error) {
			snprintf(why, sizeof(why), "no thread can be started");
			set_error(s, error);
			freeze_end(s->freeze, true);
		}
	}
	if (error) {
		s->writer->ops->abandon(s->writer);
		release(s);
		return library_fail(error, "%s", why);
	}
	*snapshot = s;
	return 0;
}

int uf_snapshot_finish(struct uf_snapshot *s)
{
	int error = join(s, false);

	if (error)
		s->writer->ops->abandon(s->writer);
	else
		error = s->writer->ops->commit(s->writer);
	release(s);
	return error ? library_fail(error, "the snapshot could not be written: %s",
				    strerror(-error))
		     : 0;
}

void uf_snapshot_cancel(struct uf_snapshot *s)
{
	join(s, true);
	s->writer->ops->abandon(s->writer);
	release(s);
}
