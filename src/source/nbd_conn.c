/*
 * nbd_conn.c - a connection to an NBD server, and the thread that it has.
 */
#include "source/nbd.h"
#include "source/util.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define BACKOFF_FIRST_MS 100u
#define BACKOFF_LAST_MS	 5000u
#define SCAN_STEP	 (1u << 30) /* bytes that one question about holes is about */

uint64_t nbd_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void nbd_wake(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

/* ---- the name
 */

/* The value of name= in the URI's query, or NULL; to be freed. */
static char *query_value(const char *uri, const char *name)
{
	const char *at = strchr(uri, '?');
	size_t len = strlen(name);

	for (; at; at = strchr(at, '&')) {
		at++;
		if (!strncmp(at, name, len) && at[len] == '=')
			return strndup(at + len + 1, strcspn(at + len + 1, "&#"));
	}
	return NULL;
}

static char *option(const struct source_env *env, const char *name)
{
	const char *value = source_option(env, name);

	return value ? strdup(value) : NULL;
}

static int read_connections(struct nbd_target *t, const char *spec, const struct source_env *env,
			    char *why, size_t why_size)
{
	char *text = query_value(spec, "connections"), *end;
	unsigned long n;

	if (!text)
		text = option(env, "connections");
	t->connections = NBD_CONNECTIONS;
	if (!text)
		return 0;
	n = strtoul(text, &end, 10);
	t->connections = (unsigned)n;
	if (n && n <= NBD_CONNECTIONS_MAX && !*end) {
		free(text);
		return 0;
	}
	source_why(why, why_size, 0, "connections=%s is not a number from 1 to %u", text,
		   NBD_CONNECTIONS_MAX);
	free(text);
	return -EINVAL;
}

int nbd_target_read(struct nbd_target *t, const char *spec, const struct source_env *env, char *why,
		    size_t why_size)
{
	const char *verify = source_option(env, "tls-verify-peer");

	t->uri = strdup(spec);
	t->tls_certificates = option(env, "tls-certificates");
	t->tls_psk_file = option(env, "tls-psk-file");
	t->tls_username = option(env, "tls-username");
	t->tls_no_verify = verify && (!strcmp(verify, "false") || !strcmp(verify, "0"));
	return read_connections(t, spec, env, why, why_size);
}

void nbd_target_free(struct nbd_target *t)
{
	free(t->uri);
	free(t->tls_certificates);
	free(t->tls_psk_file);
	free(t->tls_username);
}

/* ---- connecting
 */

/* libnbd's text begins with the name of its function, which says nothing to users. */
int nbd_why(char *why, size_t why_size, const char *uri)
{
	int error = nbd_get_errno();
	const char *text = nbd_get_error();
	const char *colon = text ? strstr(text, ": ") : NULL;
	const char *hint = "";

	if (colon && !strncmp(text, "nbd_", 4))
		text = colon + 2;
	if (text && strstr(text, "TLS") && strncmp(uri, "nbds", 4))
		hint = " (a server that insists on TLS is named with nbds:)";
	return source_why(why, why_size, error > 0 ? -error : -EIO,
			  "the NBD server of %s cannot be used: %s%s", uri,
			  text ? text : "the connection was closed", hint);
}

static int set_up(struct nbd_handle *h, const struct nbd_target *t, bool extents)
{
	if (nbd_set_uri_allow_local_file(h, true) == -1 || nbd_set_pread_initialize(h, false) == -1)
		return -1;
	if (extents && nbd_add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) == -1)
		return -1;
	if (t->tls_certificates && nbd_set_tls_certificates(h, t->tls_certificates) == -1)
		return -1;
	if (t->tls_psk_file && nbd_set_tls_psk_file(h, t->tls_psk_file) == -1)
		return -1;
	if (t->tls_username && nbd_set_tls_username(h, t->tls_username) == -1)
		return -1;
	if (t->tls_no_verify && nbd_set_tls_verify_peer(h, false) == -1)
		return -1;
	return nbd_aio_connect_uri(h, t->uri);
}

static short poll_events(struct nbd_handle *h)
{
	unsigned direction = nbd_aio_get_direction(h);

	return (short)((direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
		       (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
}

/* -1 as libnbd says it. */
static int notify(struct nbd_handle *h, short events)
{
	unsigned direction = nbd_aio_get_direction(h);

	if (events & (POLLIN | POLLHUP) && direction & LIBNBD_AIO_DIRECTION_READ)
		return nbd_aio_notify_read(h);
	if (events & (POLLOUT | POLLHUP | POLLERR) && direction & LIBNBD_AIO_DIRECTION_WRITE)
		return nbd_aio_notify_write(h);
	return events & POLLERR ? nbd_aio_notify_read(h) : 0;
}

/* What else came is looked at after connecting. */
static bool told_to_stop(int wake, const bool *stop, pthread_mutex_t *lock)
{
	uint64_t count;
	bool told;

	(void)!read(wake, &count, sizeof(count));
	pthread_mutex_lock(lock);
	told = *stop;
	pthread_mutex_unlock(lock);
	return told;
}

static int negotiate(struct nbd_handle *h, const char *uri, unsigned ms, int wake, const bool *stop,
		     pthread_mutex_t *lock, char *why, size_t why_size)
{
	uint64_t by = nbd_now() + ms, now;

	while (!nbd_aio_is_ready(h)) {
		struct pollfd p[2] = {{nbd_aio_get_fd(h), poll_events(h), 0}, {wake, POLLIN, 0}};

		if (nbd_aio_is_dead(h) || nbd_aio_is_closed(h) || p[0].fd < 0)
			return nbd_why(why, why_size, uri);
		now = nbd_now();
		if (now >= by)
			return source_why(why, why_size, -ETIMEDOUT,
					  "the NBD server of %s does not answer", uri);
		if (poll(p, 2, (int)(by - now)) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents && told_to_stop(wake, stop, lock))
			return -ECANCELED;
		if (p[0].revents && notify(h, p[0].revents) == -1)
			return nbd_why(why, why_size, uri);
	}
	return 0;
}

/*
 * A connection that dies in this thread must find an error described, or libnbd (1.14) aborts the
 * process; and not all of its ways there describe one. The last description stays until the next:
 * so let there be one from the beginning on, that of a handle which is not connected.
 */
static void describe_some_error(void)
{
	struct nbd_handle *h = nbd_get_error() ? NULL : nbd_create();

	if (!h)
		return;
	(void)nbd_aio_disconnect(h, 0);
	nbd_close(h);
}

int nbd_target_connect(const struct nbd_target *t, bool extents, unsigned ms, int wake,
		       const bool *stop, pthread_mutex_t *lock, struct nbd_handle **out, char *why,
		       size_t why_size)
{
	struct nbd_handle *h = nbd_create();
	int r;

	if (!h)
		return source_why(why, why_size, -ENOMEM, "there is not enough memory");
	describe_some_error();
	r = set_up(h, t, extents) == -1 ? nbd_why(why, why_size, t->uri)
					: negotiate(h, t->uri, ms, wake, stop, lock, why, why_size);
	if (r < 0) {
		nbd_close(h);
		return r;
	}
	*out = h;
	return 0;
}

/* ---- jobs under way: all of this on the connection's thread
 */

static void link_job(struct nbd_conn *c, struct nbd_job *job)
{
	job->before = NULL;
	job->after = c->under_way;
	if (job->after)
		job->after->before = job;
	else
		c->progress = nbd_now();
	c->under_way = job;
}

static void unlink_job(struct nbd_conn *c, struct nbd_job *job)
{
	if (job->before)
		job->before->after = job->after;
	else
		c->under_way = job->after;
	if (job->after)
		job->after->before = job->before;
}

static void finish_job(struct nbd_conn *c, struct nbd_job *job)
{
	struct nbd_source *s = c->s;
	bool first;

	if (job->bounce && !job->error) {
		struct source_request *r = job->request;
		uint64_t skip = r->offset - job->from, have = job->len - skip;

		have = have < r->len ? have : r->len;
		memcpy(r->buf, (char *)job->bounce + skip, have);
		memset((char *)r->buf + have, 0, r->len - have);
	}
	pthread_mutex_lock(&s->lock);
	first = !s->finished.first;
	nbd_queue_put(&s->finished, job);
	pthread_mutex_unlock(&s->lock);
	if (first)
		nbd_wake(s->fd);
}

static int part_done(void *arg, int *error)
{
	struct nbd_job *job = arg;
	struct nbd_conn *c = job->conn;

	/* ESHUTDOWN: of a server that is going, or has closed the connection. */
	if (*error && !job->error)
		job->error = *error == ESHUTDOWN ? -ENOTCONN : -*error;
	if (--job->parts == 0) {
		unlink_job(c, job);
		job->lost = job->error == -ENOTCONN;
		finish_job(c, job);
	}
	return 1; /* libnbd may forget the command */
}

/* Asks for the job's bytes, in as many parts as the server's largest answer makes of them. */
static void begin_job(struct nbd_conn *c, struct nbd_job *job)
{
	char *buf = job->bounce ? job->bounce : job->request->buf;
	uint32_t at = 0, len;

	link_job(c, job);
	/* One for ourselves, so that no answer ends the job before all parts are sent. */
	job->parts = 1;
	while (at < job->len && !job->error) {
		nbd_completion_callback done = {.callback = part_done, .user_data = job};

		len = job->len - at < c->s->largest ? job->len - at : c->s->largest;
		job->parts++;
		if (nbd_aio_pread(c->h, buf + at, len, job->from + at, done, 0) == -1) {
			int error = nbd_aio_is_ready(c->h) || nbd_aio_is_processing(c->h)
					    ? nbd_get_errno()
					    : ENOTCONN;

			part_done(job, &(int){error ? error : EIO});
		}
		at += len;
	}
	part_done(job, &(int){0});
}

/* The connection is of no use any more: whatever was under way is not written to once it is
 * closed. */
static void lose(struct nbd_conn *c)
{
	struct nbd_job *job;

	/* Some end by themselves while it is being closed; the rest here. */
	nbd_close(c->h);
	c->h = NULL;
	while ((job = c->under_way)) {
		unlink_job(c, job);
		job->error = -ENOTCONN;
		job->lost = true;
		finish_job(c, job);
	}
	c->cancel_by = 0;
	c->backoff = 0;
	c->retry_at = 0;
	if (c->number == 0)
		c->s->extents.asking = false;
	pthread_mutex_lock(&c->s->lock);
	c->state = NBD_CONNECTING;
	pthread_mutex_unlock(&c->s->lock);
}

/* ---- where the holes are
 */

/* The whole pages of a hole; beyond the export's end is zero too. */
uint64_t nbd_hole_begin(const struct nbd_hole *hole)
{
	return page_round(hole->offset);
}

uint64_t nbd_hole_end(const struct nbd_source *s, const struct nbd_hole *hole)
{
	return hole->end >= s->base.size ? page_round(hole->end)
					 : hole->end - hole->end % SOURCE_PAGE;
}

static void add_hole(struct nbd_source *s, uint64_t offset, uint64_t end)
{
	struct nbd_extents *x = &s->extents;
	struct nbd_hole *last = x->count ? &x->hole[x->count - 1] : NULL;

	if (last && last->end == offset) {
		last->end = end;
		return;
	}
	if (last && nbd_hole_begin(last) >= nbd_hole_end(s, last)) {
		*last = (struct nbd_hole){offset, end};
		return;
	}
	if (x->count == x->room) {
		size_t room = x->room ? x->room * 2 : 256;
		struct nbd_hole *more =
			room <= NBD_HOLES_MAX ? realloc(x->hole, room * sizeof(*more)) : NULL;

		if (!more) {
			x->ended = true;
			return;
		}
		x->hole = more;
		x->room = room;
	}
	x->hole[x->count++] = (struct nbd_hole){offset, end};
}

static int extent_told(void *arg, const char *context, uint64_t offset, uint32_t *entry,
		       size_t words, int *error)
{
	struct nbd_source *s = arg;
	struct nbd_extents *x = &s->extents;

	if (*error || strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION))
		return 0;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i + 1 < words && offset == x->known && !x->ended; i += 2) {
		uint64_t end = offset + entry[i];

		if (end > s->base.size)
			end = s->base.size;
		if (entry[i + 1] & LIBNBD_STATE_ZERO)
			add_hole(s, offset, end);
		offset = x->known = end;
	}
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static int extents_done(void *arg, int *error)
{
	struct nbd_source *s = arg;
	struct nbd_extents *x = &s->extents;

	pthread_mutex_lock(&s->lock);
	x->asking = false;
	if (*error != ENOTCONN && (*error || x->known >= s->base.size))
		x->ended = true;
	if (x->ended)
		pthread_cond_broadcast(&s->scanned);
	pthread_mutex_unlock(&s->lock);
	return 1;
}

static void scan_on(struct nbd_conn *c)
{
	struct nbd_source *s = c->s;
	struct nbd_extents *x = &s->extents;
	nbd_extent_callback told = {.callback = extent_told, .user_data = s};
	nbd_completion_callback done = {.callback = extents_done, .user_data = s};
	uint64_t from, len;
	bool ask;

	pthread_mutex_lock(&s->lock);
	ask = !x->ended && !x->asking;
	x->asking |= ask;
	from = x->known;
	pthread_mutex_unlock(&s->lock);
	if (!ask)
		return;
	len = s->base.size - from < SCAN_STEP ? s->base.size - from : SCAN_STEP;
	if (nbd_aio_block_status(c->h, len, from, told, done, 0) == -1)
		extents_done(s, &(int){nbd_get_errno() ? nbd_get_errno() : EIO});
}

/* ---- the thread
 */

struct orders {
	struct nbd_job *jobs;
	bool stop, repair, cancels;
};

static void take_orders(struct nbd_conn *c, struct orders *o)
{
	uint64_t count;

	(void)!read(c->wake, &count, sizeof(count));
	pthread_mutex_lock(&c->s->lock);
	o->jobs = nbd_queue_take_all(&c->inbox);
	o->stop = c->stop;
	o->repair = c->repair;
	o->cancels = c->cancels;
	c->repair = c->cancels = false;
	pthread_mutex_unlock(&c->s->lock);
}

static bool is_canceled(struct nbd_conn *c, const struct nbd_job *job)
{
	bool canceled;

	pthread_mutex_lock(&c->s->lock);
	canceled = job->canceled;
	pthread_mutex_unlock(&c->s->lock);
	return canceled;
}

/* error 0: asks the server for them; else they end with it. */
static void begin_jobs(struct nbd_conn *c, struct nbd_job *job, int error)
{
	struct nbd_job *next;

	for (; job; job = next) {
		next = job->next;
		job->error = is_canceled(c, job) ? -ECANCELED : error;
		if (!job->error) {
			begin_job(c, job);
			continue;
		}
		job->lost = job->error == -ENOTCONN;
		finish_job(c, job);
	}
}

static void set_state(struct nbd_conn *c, enum nbd_state state)
{
	pthread_mutex_lock(&c->s->lock);
	c->state = state;
	pthread_mutex_unlock(&c->s->lock);
}

/* Jobs that came meanwhile are in the inbox, and fail when it does. */
static void reconnect(struct nbd_conn *c)
{
	struct nbd_source *s = c->s;
	struct orders o;
	char why[256];
	int r;

	set_state(c, NBD_CONNECTING);
	r = nbd_target_connect(&s->target, c->number == 0, NBD_CONNECT_MS, c->wake, &c->stop,
			       &s->lock, &c->h, why, sizeof(why));
	/* Another image, by all appearances. */
	if (!r && nbd_get_size(c->h) != (int64_t)s->base.size) {
		nbd_close(c->h);
		c->h = NULL;
		r = -ESTALE;
	}
	if (!r) {
		c->backoff = 0;
		set_state(c, NBD_UP);
		nbd_wake(c->wake);
		return;
	}
	c->backoff = c->backoff ? c->backoff * 2 : BACKOFF_FIRST_MS;
	c->backoff = c->backoff < BACKOFF_LAST_MS ? c->backoff : BACKOFF_LAST_MS;
	c->retry_at = nbd_now() + c->backoff;
	set_state(c, NBD_DOWN);
	take_orders(c, &o);
	begin_jobs(c, o.jobs, r == -ESTALE ? -ESTALE : -ENOTCONN);
	/* Asked for since it has failed: whoever did so takes it for being connected. */
	if (o.repair)
		c->retry_at = 0;
	if (o.stop || o.repair)
		nbd_wake(c->wake);
}

static bool any_canceled(struct nbd_conn *c)
{
	for (struct nbd_job *job = c->under_way; job; job = job->after)
		if (is_canceled(c, job))
			return true;
	return false;
}

/* The time of the next thing to do without being told: ms from now, or -1. */
static int next_time(struct nbd_conn *c)
{
	uint64_t at = UINT64_MAX, now = nbd_now();

	if (!c->h)
		at = c->retry_at;
	if (c->under_way)
		at = c->progress + NBD_STALL_MS;
	if (c->cancel_by && c->cancel_by < at)
		at = c->cancel_by;
	return at == UINT64_MAX ? -1 : at <= now ? 0 : (int)(at - now);
}

static void check_times(struct nbd_conn *c, bool cancels)
{
	uint64_t now = nbd_now();

	if (cancels && !c->cancel_by && any_canceled(c))
		c->cancel_by = now + NBD_CANCEL_MS;
	if (c->cancel_by && now >= c->cancel_by) {
		c->cancel_by = 0;
		if (any_canceled(c)) {
			lose(c);
			return;
		}
	}
	if (c->under_way && now >= c->progress + NBD_STALL_MS)
		lose(c);
}

static void wait_and_read(struct nbd_conn *c)
{
	struct pollfd p[2] = {{c->wake, POLLIN, 0}, {-1, 0, 0}};

	if (c->h) {
		p[1].fd = nbd_aio_get_fd(c->h);
		p[1].events = poll_events(c->h);
	}
	if (poll(p, 2, next_time(c)) <= 0 || !p[1].revents)
		return;
	c->progress = nbd_now();
	(void)notify(c->h, p[1].revents);
}

static void *conn_thread(void *arg)
{
	struct nbd_conn *c = arg;
	struct orders o;

	/* The first one's handle was connected by another thread. */
	describe_some_error();
	for (;;) {
		take_orders(c, &o);
		if (o.stop) {
			begin_jobs(c, o.jobs, -ECANCELED);
			break;
		}
		if (!c->h && (o.repair || nbd_now() >= c->retry_at))
			reconnect(c);
		begin_jobs(c, o.jobs, c->h ? 0 : -ENOTCONN);
		if (c->h && c->number == 0)
			scan_on(c);
		if (c->h && (nbd_aio_is_dead(c->h) || nbd_aio_is_closed(c->h)))
			lose(c);
		if (c->h)
			check_times(c, o.cancels);
		wait_and_read(c);
	}
	if (c->h) {
		(void)nbd_aio_disconnect(c->h, 0);
		lose(c);
	}
	return NULL;
}

int nbd_conn_start(struct nbd_conn *c, struct nbd_handle *h)
{
	sigset_t all, before;
	char name[16];
	int r;

	c->h = h;
	c->state = h ? NBD_UP : NBD_CONNECTING;
	nbd_queue_init(&c->inbox);
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake < 0)
		return -errno;
	/* The program's signals are not for this thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&c->thread, NULL, conn_thread, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	c->started = !r;
	if (r)
		return -r;
	snprintf(name, sizeof(name), "nbd %u", c->number);
	pthread_setname_np(c->thread, name);
	return 0;
}

void nbd_conn_stop(struct nbd_conn *c)
{
	if (c->started) {
		pthread_mutex_lock(&c->s->lock);
		c->stop = true;
		pthread_mutex_unlock(&c->s->lock);
		nbd_wake(c->wake);
		pthread_join(c->thread, NULL);
	} else if (c->h) {
		nbd_close(c->h);
	}
	if (c->wake >= 0)
		close(c->wake);
}
