/*
 * raw_io.c - reads of a file that do not hold up the engine: by io_uring, or by threads where
 * io_uring is refused, as in most containers.
 */
#include "raw.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEPTH	64u
#define THREADS 8u

/* What a request's private part is, from fetch to done. */
struct reading {
	struct pool_job job;
	struct raw *raw;
	uint32_t got; /* bytes so far */
	bool canceled;
} __attribute__((may_alias));
_Static_assert(sizeof(struct reading) <= sizeof(((struct source_request *)0)->private), "fits");

static struct reading *reading_of(struct source_request *request)
{
	return (struct reading *)request->private;
}

static struct source_request *request_of(struct reading *reading)
{
	return (struct source_request *)((char *)reading -
					 offsetof(struct source_request, private));
}

/* The bytes of the request that the file has. */
static uint32_t wanted(const struct raw *r, const struct source_request *request)
{
	uint64_t left = r->s.size > request->offset ? r->s.size - request->offset : 0;

	return left < request->len ? (uint32_t)left : request->len;
}

static void finish(struct raw *r, struct source_request *request, int error)
{
	struct reading *reading = reading_of(request);

	if (!error)
		memset((char *)request->buf + reading->got, 0, request->len - reading->got);
	r->under_way--;
	request->done(request, error);
}

/* ---- io_uring
 */

static struct io_uring_sqe *next_entry(struct raw *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);

	if (!sqe) {
		io_uring_submit(&r->ring);
		sqe = io_uring_get_sqe(&r->ring);
	}
	return sqe;
}

/* What cannot be submitted is made nothing, and goes with the next. */
static int submit(struct raw *r, struct io_uring_sqe *sqe)
{
	int n;

	do {
		n = io_uring_submit(&r->ring);
	} while (n == -EINTR);
	if (n > 0)
		return 0;
	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data(sqe, NULL);
	return n && n != -EAGAIN && n != -EBUSY ? n : -ENOMEM;
}

static int begin_read(struct raw *r, struct source_request *request)
{
	struct reading *reading = reading_of(request);
	struct io_uring_sqe *sqe = next_entry(r);

	if (!sqe)
		return -ENOMEM;
	/* With O_DIRECT a read begins and ends at a sector, also the last one. */
	io_uring_prep_read(sqe, r->fd, (char *)request->buf + reading->got,
			   request->len - reading->got, request->offset + reading->got);
	io_uring_sqe_set_data(sqe, request);
	return submit(r, sqe);
}

/* A read has ended. May go on with the rest; true: all is there, or *error. */
static bool advance(struct raw *r, struct source_request *request, int result, int *error)
{
	struct reading *reading = reading_of(request);
	uint32_t want = wanted(r, request);

	*error = 0;
	if (reading->canceled) {
		*error = result < 0 || reading->got + (uint32_t)result < want ? -ECANCELED : 0;
		if (!*error)
			reading->got = want;
		return true;
	}
	if (result == -EINTR || result == -EAGAIN)
		result = 0;
	else if (result < 0)
		*error = result;
	else if (result == 0)
		*error = -ENODATA;
	if (*error)
		return true;
	reading->got += (uint32_t)result;
	if (reading->got >= want) {
		reading->got = want;
		return true;
	}
	if (r->direct)
		reading->got &= ~(SOURCE_PAGE - 1);
	*error = begin_read(r, request);
	return *error != 0;
}

static void ring_process(struct raw *r)
{
	struct io_uring_cqe *cqe;

	while (io_uring_peek_cqe(&r->ring, &cqe) == 0) {
		struct source_request *request = io_uring_cqe_get_data(cqe);
		int result = cqe->res, error;

		io_uring_cqe_seen(&r->ring, cqe);
		/* Of a cancellation: what it canceled answers for itself. */
		if (request && advance(r, request, result, &error))
			finish(r, request, error);
	}
}

static int ring_new(struct raw *r)
{
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	int error = io_uring_queue_init(DEPTH, &r->ring, 0);

	if (error)
		return error;
	/* A filter may let it be made and not used. */
	sqe = io_uring_get_sqe(&r->ring);
	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data(sqe, NULL);
	error = io_uring_submit_and_wait(&r->ring, 1);
	if (error >= 0)
		error = io_uring_peek_cqe(&r->ring, &cqe);
	if (error) {
		io_uring_queue_exit(&r->ring);
		return error;
	}
	io_uring_cqe_seen(&r->ring, cqe);
	r->has_ring = true;
	return 0;
}

/* ---- threads
 */

static int read_some(struct pool_job *job, void *local)
{
	struct reading *reading = (struct reading *)job;
	struct source_request *request = request_of(reading);
	struct raw *r = reading->raw;
	uint32_t want = wanted(r, request);

	(void)local;
	while (reading->got < want) {
		ssize_t n =
			pread(r->fd, (char *)request->buf + reading->got,
			      request->len - reading->got, (off_t)(request->offset + reading->got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		reading->got += (uint32_t)n;
		if (r->direct && reading->got < want)
			reading->got &= ~(SOURCE_PAGE - 1);
	}
	reading->got = want;
	return 0;
}

static void pool_process(struct raw *r)
{
	struct pool_job *job = pool_take(r->pool), *next;

	for (; job; job = next) {
		next = job->next;
		finish(r, request_of((struct reading *)job), job->error);
	}
}

static int threads_new(struct raw *r, const struct source_env *env)
{
	struct pool_options options = {
		.threads = env && env->threads ? env->threads : THREADS,
		.work = read_some,
	};

	return pool_new(&options, &r->pool);
}

/* ---- either
 */

int raw_io_new(struct raw *r, const struct source_env *env, char *why, size_t why_size)
{
	const char *io = source_option(env, "io");
	bool ring = !io || strcmp(io, "uring") == 0, threads = !io || strcmp(io, "threads") == 0;
	int error = -ENOSYS;

	r->s.depth = DEPTH;
	if (!ring && !threads)
		return source_why(why, why_size, -EINVAL,
				  "option io: '%s' is neither uring nor threads", io);
	if (ring) {
		error = ring_new(r);
		if (error && !threads)
			return source_why(why, why_size, error,
					  "io_uring cannot be used here: %s; leave out io=uring",
					  strerror(-error));
	}
	if (error && threads) {
		error = threads_new(r, env);
		if (error)
			return source_why(why, why_size, error, "no thread can be started: %s",
					  strerror(-error));
	}
	return error;
}

void raw_io_free(struct raw *r)
{
	if (r->has_ring)
		io_uring_queue_exit(&r->ring);
	if (r->pool)
		pool_free(r->pool);
}

int raw_fetch(struct source *s, struct source_request *request)
{
	struct raw *r = raw_of(s);
	struct reading *reading = reading_of(request);
	int error = 0;

	if (r->under_way >= DEPTH)
		return -EAGAIN;
	*reading = (struct reading){.raw = r};
	if (r->has_ring)
		error = begin_read(r, request);
	else
		pool_add(r->pool, &reading->job, request->ahead);
	if (!error)
		r->under_way++;
	return error;
}

void raw_cancel(struct source *s, struct source_request *request)
{
	struct raw *r = raw_of(s);
	struct reading *reading = reading_of(request);
	struct io_uring_sqe *sqe;

	if (!r->has_ring) {
		pool_cancel(r->pool, &reading->job);
		return;
	}
	reading->canceled = true;
	sqe = next_entry(r);
	if (!sqe)
		return;
	io_uring_prep_cancel(sqe, request, 0);
	io_uring_sqe_set_data(sqe, NULL);
	(void)submit(r, sqe);
}

int raw_fd(struct source *s)
{
	struct raw *r = raw_of(s);

	return r->has_ring ? r->ring.ring_fd : pool_fd(r->pool);
}

void raw_process(struct source *s)
{
	struct raw *r = raw_of(s);

	if (r->has_ring)
		ring_process(r);
	else
		pool_process(r);
}
