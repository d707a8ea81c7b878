/*
 * nbd.c - pages from an NBD server: the operations, on the engine's thread.
 */
#include "source/nbd.h"
#include "source/util.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static const struct source_ops operations;

static struct nbd_source *source_of(struct source *s)
{
	return (struct nbd_source *)s;
}

void nbd_queue_init(struct nbd_queue *q)
{
	q->first = NULL;
	q->last = &q->first;
}

void nbd_queue_put(struct nbd_queue *q, struct nbd_job *job)
{
	job->next = NULL;
	*q->last = job;
	q->last = &job->next;
}

struct nbd_job *nbd_queue_take_all(struct nbd_queue *q)
{
	struct nbd_job *first = q->first;

	nbd_queue_init(q);
	return first;
}

/* ---- which connection
 */

static struct nbd_conn *least_busy(struct nbd_source *s, unsigned from, enum nbd_state state)
{
	struct nbd_conn *best = NULL;

	for (unsigned i = from; i < s->connections; i++) {
		struct nbd_conn *c = &s->conn[i];

		if (c->state == state && (!best || c->in_flight < best->in_flight))
			best = c;
	}
	return best;
}

/*
 * The first connection is for those who wait, so that they never queue behind prefetches; when it
 * has much to do the others help. NULL: the server is gone. The lock is held.
 */
static struct nbd_conn *choose(struct nbd_source *s, bool ahead)
{
	struct nbd_conn *first = &s->conn[0], *c;

	if (!ahead && first->state == NBD_UP && first->in_flight < NBD_AHEAD_EACH / 2)
		return first;
	c = least_busy(s, ahead && s->connections > 1, NBD_UP);
	if (!c)
		c = least_busy(s, 0, NBD_UP);
	/* Being connected: it will be sent as soon as that has succeeded. */
	return c ? c : least_busy(s, 0, NBD_CONNECTING);
}

/* Those that are down are made anew at once, not when their time has come. The lock is held. */
static void connect_all(struct nbd_source *s)
{
	for (unsigned i = 0; i < s->connections; i++) {
		struct nbd_conn *c = &s->conn[i];

		if (c->state != NBD_DOWN)
			continue;
		c->repair = true;
		c->state = NBD_CONNECTING;
		nbd_wake(c->wake);
	}
}

/* Gives the job to a connection, or ends it with -ENOTCONN. */
static void send_job(struct nbd_source *s, struct nbd_job *job)
{
	struct nbd_conn *c;

	pthread_mutex_lock(&s->lock);
	c = choose(s, job->request->ahead);
	if (!c && !job->sent) {
		/* The server may be back: what is asked for is what finds out. */
		connect_all(s);
		c = choose(s, job->request->ahead);
	}
	job->conn = c;
	job->error = 0;
	job->lost = false;
	job->parts = 0;
	job->sent++;
	if (c) {
		c->in_flight++;
		nbd_queue_put(&c->inbox, job);
	} else {
		job->error = -ENOTCONN;
		nbd_queue_put(&s->finished, job);
	}
	pthread_mutex_unlock(&s->lock);
	nbd_wake(c ? c->wake : s->fd);
}

/* ---- requests
 */

static void free_job(struct nbd_source *s, struct nbd_job *job)
{
	free(job->bounce);
	job->bounce = NULL;
	job->next = s->unused;
	s->unused = job;
}

/* What to ask of the server: whole blocks of its own, and nothing beyond its end. */
static int shape_job(struct nbd_source *s, struct nbd_job *job)
{
	struct source_request *r = job->request;
	uint64_t end = r->offset + r->len;

	job->from = r->offset - r->offset % s->align;
	end += (s->align - end % s->align) % s->align;
	if (end > s->base.size)
		end = s->base.size;
	job->len = (uint32_t)(end - job->from);
	if (job->from == r->offset && job->len <= r->len)
		return 0;
	job->bounce = malloc(job->len);
	return job->bounce ? 0 : -ENOMEM;
}

static int nbd_fetch(struct source *base, struct source_request *request)
{
	struct nbd_source *s = source_of(base);
	struct nbd_job *job = s->unused;
	int r;

	if (!job || (request->ahead && s->ahead >= s->window.now))
		return -EAGAIN;
	if (request->offset >= base->size)
		return -EINVAL;
	job->request = request;
	job->canceled = false;
	job->sent = 0;
	r = shape_job(s, job);
	if (r < 0)
		return r;
	s->unused = job->next;
	s->ahead += request->ahead;
	request->private[0] = (uint64_t)(uintptr_t)job;
	request->private[1] = request->ahead ? window_clock() : 0;
	send_job(s, job);
	return 0;
}

static bool take_out(struct nbd_queue *q, struct nbd_job *job)
{
	struct nbd_job **at = &q->first;

	while (*at && *at != job)
		at = &(*at)->next;
	if (!*at)
		return false;
	*at = job->next;
	if (!*at)
		q->last = at;
	return true;
}

/*
 * What the server was asked for it may still write to the request's memory: the thread waits a
 * little for that, and else closes the connection.
 */
static void nbd_cancel(struct source *base, struct source_request *request)
{
	struct nbd_source *s = source_of(base);
	struct nbd_job *job = (struct nbd_job *)(uintptr_t)request->private[0];
	struct nbd_conn *c = job->conn;
	bool waited;

	pthread_mutex_lock(&s->lock);
	job->canceled = true;
	waited = c && take_out(&c->inbox, job);
	if (waited) {
		job->error = -ECANCELED;
		nbd_queue_put(&s->finished, job);
	} else if (c) {
		c->cancels = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (c)
		nbd_wake(waited ? s->fd : c->wake);
}

static int nbd_source_fd(struct source *base)
{
	return source_of(base)->fd;
}

static void end_job(struct nbd_source *s, struct nbd_job *job)
{
	struct source_request *request = job->request;
	int error = job->error;

	if (request->private[1]) {
		s->ahead--;
		if (!error)
			window_took(&s->window, request->private[1]);
	}
	/* What the server sends no more than its size of is zero. */
	if (!error && !job->bounce)
		memset((char *)request->buf + job->len, 0, request->len - job->len);
	free_job(s, job);
	request->done(request, error);
}

static void nbd_process(struct source *base)
{
	struct nbd_source *s = source_of(base);
	struct nbd_job *job, *next;
	uint64_t count;

	(void)!read(s->fd, &count, sizeof(count));
	pthread_mutex_lock(&s->lock);
	job = nbd_queue_take_all(&s->finished);
	pthread_mutex_unlock(&s->lock);
	for (; job; job = next) {
		next = job->next;
		if (job->conn)
			job->conn->in_flight--;
		if (job->canceled && job->error)
			job->error = -ECANCELED;
		/* Once for each connection, and once more for one that was made anew. */
		if (job->lost && !job->canceled && job->sent <= s->connections)
			send_job(s, job);
		else
			end_job(s, job);
	}
}

static void nbd_repair(struct source *base)
{
	struct nbd_source *s = source_of(base);

	pthread_mutex_lock(&s->lock);
	connect_all(s);
	pthread_mutex_unlock(&s->lock);
}

static enum source_contents nbd_extent(struct source *base, uint64_t offset, uint64_t *len)
{
	struct nbd_source *s = source_of(base);
	const struct nbd_extents *x = &s->extents;
	enum source_contents what = SOURCE_DATA;
	size_t low = 0, high;
	uint64_t end = offset + *len;

	pthread_mutex_lock(&s->lock);
	/* The first hole that ends after offset. */
	for (high = x->count; low < high;) {
		size_t middle = low + (high - low) / 2;

		if (nbd_hole_end(s, &x->hole[middle]) > offset)
			high = middle;
		else
			low = middle + 1;
	}
	/* Only the last one may be without a whole page. */
	if (low < x->count && nbd_hole_begin(&x->hole[low]) <= offset) {
		uint64_t to = nbd_hole_end(s, &x->hole[low]);

		what = SOURCE_ZERO;
		end = to < end ? to : end;
	} else if (low < x->count && nbd_hole_begin(&x->hole[low]) < end) {
		end = nbd_hole_begin(&x->hole[low]);
	} else if (!x->ended && x->known > offset && x->known < end) {
		/* What is not known yet may be asked for again. */
		end = x->known - x->known % SOURCE_PAGE;
		end = end > offset ? end : offset + SOURCE_PAGE;
	}
	pthread_mutex_unlock(&s->lock);
	*len = end - offset;
	return what;
}

/* ---- open and close
 */

static void nbd_source_free(struct nbd_source *s)
{
	for (unsigned i = 0; i < NBD_CONNECTIONS_MAX; i++)
		if (s->conn[i].s)
			nbd_conn_stop(&s->conn[i]);
	if (s->fd >= 0)
		close(s->fd);
	free(s->extents.hole);
	free(s->job);
	nbd_target_free(&s->target);
	pthread_cond_destroy(&s->scanned);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void nbd_source_close(struct source *base)
{
	nbd_source_free(source_of(base));
}

static struct nbd_source *new_source(void)
{
	struct nbd_source *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;

	if (!s)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->scanned, &attr);
	pthread_condattr_destroy(&attr);
	nbd_queue_init(&s->finished);
	s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return s;
}

static uint32_t power_below(uint64_t value)
{
	uint32_t power = SOURCE_PAGE;

	while (power < (2u << 20) && 2ull * power <= value)
		power *= 2;
	return power;
}

/* What the server told of itself. */
static int learn(struct nbd_source *s, struct nbd_handle *h, char *why, size_t why_size)
{
	int64_t size = nbd_get_size(h);
	int64_t least = nbd_get_block_size(h, LIBNBD_SIZE_MINIMUM);
	int64_t likes = nbd_get_block_size(h, LIBNBD_SIZE_PREFERRED);
	int64_t most = nbd_get_block_size(h, LIBNBD_SIZE_MAXIMUM);
	uint64_t chunk = NBD_CHUNK;

	if (size <= 0)
		return source_why(why, why_size, -EINVAL, "the NBD export %s is empty",
				  s->target.uri);
	s->base.size = (uint64_t)size;
	s->align = least > 1 ? (uint32_t)least : 1;
	/* 32 MiB: what servers take that do not say. */
	s->largest = most > 0 && most < (32 << 20) ? (uint32_t)most : 32u << 20;
	s->largest -= s->largest % s->align;
	if (!s->largest)
		return source_why(
			why, why_size, -EPROTO,
			"the NBD server of %s wants blocks of at least %u and at most %lld "
			"bytes",
			s->target.uri, s->align, (long long)most);
	if (likes > (int64_t)chunk)
		chunk = (uint64_t)likes;
	s->base.chunk = power_below(chunk < s->largest ? chunk : s->largest);
	s->connections = nbd_can_multi_conn(h) == 1 ? s->target.connections : 1;
	return 0;
}

static int start(struct nbd_source *s, struct nbd_handle *h)
{
	unsigned ahead =
		s->connections > 1 ? (s->connections - 1) * NBD_AHEAD_EACH : NBD_AHEAD_SHARED;
	unsigned jobs = ahead + NBD_DEMAND;
	int r = 0;

	window_init(&s->window, NBD_AHEAD_LEAST, ahead);
	s->base.depth = ahead;
	s->base.costly = true;
	s->job = calloc(jobs, sizeof(*s->job));
	if (!s->job || s->fd < 0) {
		nbd_close(h);
		return s->job ? -EMFILE : -ENOMEM;
	}
	for (unsigned i = jobs; i-- > 0;)
		free_job(s, &s->job[i]);
	for (unsigned i = 0; i < s->connections && !r; i++) {
		s->conn[i].s = s;
		s->conn[i].number = i;
		r = nbd_conn_start(&s->conn[i], i ? NULL : h);
	}
	return r;
}

/* Most servers tell of all holes in one answer, and to know them at once saves reading them. */
static void await_scan(struct nbd_source *s)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += NBD_SCAN_MS / 1000;
	pthread_mutex_lock(&s->lock);
	while (!s->extents.ended)
		if (pthread_cond_timedwait(&s->scanned, &s->lock, &until))
			break;
	pthread_mutex_unlock(&s->lock);
}

static int nbd_source_open(const char *spec, const struct source_env *env, struct source **out,
			   char *why, size_t why_size)
{
	struct nbd_source *s = new_source();
	struct nbd_handle *h;
	int r;

	if (!s)
		return source_why(why, why_size, -ENOMEM, "there is not enough memory");
	r = nbd_target_read(&s->target, spec, env, why, why_size);
	if (!r)
		r = nbd_target_connect(&s->target, true, NBD_OPEN_MS, -1, NULL, NULL, &h, why,
				       why_size);
	if (r < 0)
		goto fail;
	r = learn(s, h, why, why_size);
	if (r < 0) {
		nbd_close(h);
		goto fail;
	}
	s->extents.ended = nbd_can_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) != 1;
	r = start(s, h);
	if (r < 0) {
		source_why(why, why_size, r, "the threads for %s cannot be started: %s", spec,
			   strerror(-r));
		goto fail;
	}
	await_scan(s);
	s->base.ops = &operations;
	snprintf(s->base.spec, sizeof(s->base.spec), "%s", spec);
	*out = &s->base;
	return 0;
fail:
	nbd_source_free(s);
	return r;
}

static const char *const schemes[] = {
	"nbd:", "nbds:", "nbd+unix:", "nbds+unix:", "nbd+vsock:", "nbds+vsock:", NULL};

static const struct source_ops operations = {
	.name = "nbd",
	.schemes = schemes,
	.open = nbd_source_open,
	.close = nbd_source_close,
	.extent = nbd_extent,
	.fetch = nbd_fetch,
	.cancel = nbd_cancel,
	.fd = nbd_source_fd,
	.process = nbd_process,
	.repair = nbd_repair,
	.writer = &nbd_writer_ops,
};

extern const struct source_ops *const userfault_source;
extern const uint32_t userfault_source_version;
__attribute__((visibility("default"))) const struct source_ops *const userfault_source =
	&operations;
__attribute__((visibility("default"))) const uint32_t userfault_source_version = SOURCE_VERSION;
