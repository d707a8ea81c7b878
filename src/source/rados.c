/*
 * rados.c - pages from a Ceph cluster. librados has threads of its own; on one of them each read
 * ends, is checked there, and is put where the engine's thread finds it.
 *
 * A lost connection needs no repair: librados makes it anew, and meanwhile reads time out.
 */
#include "source/rados.h"
#include "source/util.h"
#include "source/window.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define AHEAD_LEAST 4u
#define AHEAD_MAX   48u
#define DEMAND_MAX  64u

static const struct source_ops operations;

struct rados_source;

struct read_job {
	struct rados_source *s;
	struct source_request *request;
	struct read_job *next;
	rados_completion_t completion;
	uint64_t chunk;
	uint32_t len;	/* of what is there; zeros follow */
	uint64_t begun; /* when, if it is ahead; else 0 */
	int error;
};

struct rados_source {
	struct source base;
	struct rados_image image;
	int fd; /* eventfd: finished is not empty */
	pthread_mutex_t lock;
	struct read_job *finished; /* under the lock */

	/* The engine's. */
	unsigned ahead;
	struct window window;
	struct read_job job[AHEAD_MAX + DEMAND_MAX], *unused;
};

static struct rados_source *source_of(struct source *s)
{
	return (struct rados_source *)s;
}

/* ---- a read's end, on a thread of librados
 */

/* What the cluster has of a chunk is checked if all of it was read. */
static int check(struct read_job *job, int got)
{
	struct rados_image *m = &job->s->image;
	struct source_request *r = job->request;
	uint64_t start = job->chunk * m->header.chunk;
	uint64_t stored = m->header.size - start;

	if (got < 0)
		return got;
	if ((uint32_t)got < job->len)
		return -EBADMSG;
	stored = stored < m->header.chunk ? stored : m->header.chunk;
	if (r->offset == start && job->len == stored &&
	    rados_chunk_sum(r->buf, job->len) != m->word[job->chunk])
		return -EBADMSG;
	memset((char *)r->buf + job->len, 0, r->len - job->len);
	return 0;
}

static void finish(struct read_job *job, int error)
{
	struct rados_source *s = job->s;
	uint64_t one = 1;
	bool first;

	job->error = error;
	pthread_mutex_lock(&s->lock);
	first = !s->finished;
	job->next = s->finished;
	s->finished = job;
	pthread_mutex_unlock(&s->lock);
	if (first)
		(void)!write(s->fd, &one, sizeof(one));
}

static void read_done(rados_completion_t completion, void *arg)
{
	struct read_job *job = arg;

	finish(job, check(job, rados_aio_get_return_value(completion)));
}

/* ---- requests
 */

static int rados_source_fetch(struct source *base, struct source_request *r)
{
	struct rados_source *s = source_of(base);
	struct rados_header *h = &s->image.header;
	struct read_job *job = s->unused;
	char name[RADOS_NAME_MAX];
	int error;

	if (!job || (r->ahead && s->ahead >= s->window.now))
		return -EAGAIN;
	if (r->offset >= h->size || r->offset % h->chunk + r->len > h->chunk)
		return -EINVAL;
	job->request = r;
	job->chunk = r->offset / h->chunk;
	job->len = h->size - r->offset < r->len ? (uint32_t)(h->size - r->offset) : r->len;
	job->begun = r->ahead ? window_clock() : 0;
	job->completion = NULL;
	if (s->image.word[job->chunk] == 0) {
		memset(r->buf, 0, r->len);
		error = 0;
	} else {
		error = rados_aio_create_completion2(job, read_done, &job->completion);
		if (error < 0)
			return error;
	}
	s->unused = job->next;
	s->ahead += r->ahead;
	r->private[0] = (uint64_t)(uintptr_t)job;
	if (job->completion) {
		rados_object_name(name, &s->image, h->generation, r->offset / h->object_size);
		error = rados_aio_read(s->image.io, name, job->completion, r->buf, job->len,
				       r->offset % h->object_size);
	}
	/* What was not begun has no end to wait for. */
	if (!job->completion || error < 0)
		finish(job, error);
	return 0;
}

/* read_done follows, with -ECANCELED or what came. */
static void rados_source_cancel(struct source *base, struct source_request *r)
{
	struct read_job *job = (struct read_job *)(uintptr_t)r->private[0];

	if (job->completion)
		(void)rados_aio_cancel(source_of(base)->image.io, job->completion);
}

static int rados_source_fd(struct source *base)
{
	return source_of(base)->fd;
}

static void rados_source_process(struct source *base)
{
	struct rados_source *s = source_of(base);
	struct read_job *job, *next, *in_order = NULL;
	uint64_t count;

	(void)!read(s->fd, &count, sizeof(count));
	pthread_mutex_lock(&s->lock);
	job = s->finished;
	s->finished = NULL;
	pthread_mutex_unlock(&s->lock);
	for (; job; job = next) {
		next = job->next;
		job->next = in_order;
		in_order = job;
	}
	for (job = in_order; job; job = next) {
		struct source_request *r = job->request;
		int error = job->error;

		next = job->next;
		if (job->completion)
			rados_aio_release(job->completion);
		if (job->begun) {
			s->ahead--;
			if (!error && job->completion)
				window_took(&s->window, job->begun);
		}
		job->next = s->unused;
		s->unused = job;
		r->done(r, error);
	}
}

static enum source_contents rados_source_extent(struct source *base, uint64_t offset, uint64_t *len)
{
	struct rados_image *m = &source_of(base)->image;
	uint64_t chunk = m->header.chunk, i = offset / chunk, end = offset + *len;
	bool zero = m->word[i] == 0;

	while (++i < m->header.chunks && i * chunk < end)
		if ((m->word[i] == 0) != zero)
			break;
	if (i < m->header.chunks && i * chunk < end)
		*len = i * chunk - offset;
	return zero ? SOURCE_ZERO : SOURCE_DATA;
}

/* ---- open and close
 */

static void rados_source_close(struct source *base)
{
	struct rados_source *s = source_of(base);

	rados_image_close(&s->image);
	if (s->fd >= 0)
		close(s->fd);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static int rados_source_open(const char *spec, const struct source_env *env, struct source **out,
			     char *why, size_t why_size)
{
	struct rados_source *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return source_why(why, why_size, -ENOMEM, "there is not enough memory");
	pthread_mutex_init(&s->lock, NULL);
	s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = s->fd < 0 ? source_why(why, why_size, -errno, "there are no descriptors left") : 0;
	if (!r)
		r = rados_image_open(&s->image, spec, env, why, why_size);
	if (!r)
		r = rados_image_load(&s->image, why, why_size);
	if (r < 0) {
		rados_source_close(&s->base);
		return r;
	}
	for (unsigned i = 0; i < AHEAD_MAX + DEMAND_MAX; i++) {
		s->job[i].s = s;
		s->job[i].next = s->unused;
		s->unused = &s->job[i];
	}
	window_init(&s->window, AHEAD_LEAST, AHEAD_MAX);
	s->base.ops = &operations;
	snprintf(s->base.spec, sizeof(s->base.spec), "%s", spec);
	s->base.size = s->image.header.size;
	s->base.chunk = s->image.header.chunk;
	s->base.depth = AHEAD_MAX;
	s->base.costly = true;
	*out = &s->base;
	return 0;
}

static const char *const schemes[] = {"rados:", NULL};

static const struct source_ops operations = {
	.name = "rados",
	.schemes = schemes,
	.open = rados_source_open,
	.close = rados_source_close,
	.extent = rados_source_extent,
	.fetch = rados_source_fetch,
	.cancel = rados_source_cancel,
	.fd = rados_source_fd,
	.process = rados_source_process,
	.writer = &rados_writer_ops,
};

extern const struct source_ops *const userfault_source;
extern const uint32_t userfault_source_version;
__attribute__((visibility("default"))) const struct source_ops *const userfault_source =
	&operations;
__attribute__((visibility("default"))) const uint32_t userfault_source_version = SOURCE_VERSION;
