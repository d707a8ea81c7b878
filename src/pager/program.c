/*
 * program.c - a source that is a function of the program's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "pager/internal.h"
#include "source/util.h"

#define THREADS_MOST 64u
#define STACK	     ((size_t)1 << 20) /* of threads that run code which is not ours */

struct program {
	struct source s;
	struct pool *pool;
	int (*read)(void *arg, uint64_t offset, void *buf, size_t len);
	void *arg;
};

struct program_job {
	struct pool_job job;
	struct program *p;
	struct source_request *request;
};
_Static_assert(sizeof(struct program_job) <= sizeof(((struct source_request *)0)->private),
	       "a job fits into its request");

static struct program_job *job_of(struct source_request *r)
{
	return (struct program_job *)r->private;
}

static int work(struct pool_job *job, void *local)
{
	struct program_job *j = of(job, struct program_job, job);
	struct source_request *r = j->request;
	uint64_t end = page_round(j->p->s.size), len = r->len;
	int error;

	(void)local;
	if (r->offset + len > end)
		len = end - r->offset;
	error = j->p->read(j->p->arg, r->offset, r->buf, len);
	if (error)
		return error < 0 ? error : -EIO;
	/* Beyond its end is zero, whatever it has written there. */
	if (r->offset + r->len > j->p->s.size)
		memset((char *)r->buf + (j->p->s.size - r->offset), 0,
		       r->offset + r->len - j->p->s.size);
	return 0;
}

static int program_fetch(struct source *s, struct source_request *request)
{
	struct program *p = of(s, struct program, s);
	struct program_job *j = job_of(request);

	memset(j, 0, sizeof(*j));
	j->p = p;
	j->request = request;
	pool_add(p->pool, &j->job, request->ahead);
	return 0;
}

static void program_cancel(struct source *s, struct source_request *request)
{
	pool_cancel(of(s, struct program, s)->pool, &job_of(request)->job);
}

static int program_fd(struct source *s)
{
	return pool_fd(of(s, struct program, s)->pool);
}

static void program_process(struct source *s)
{
	struct pool_job *job = pool_take(of(s, struct program, s)->pool), *next;

	for (; job; job = next) {
		struct program_job *j = of(job, struct program_job, job);

		next = job->next;
		j->request->done(j->request, job->error);
	}
}

static void program_close(struct source *s)
{
	struct program *p = of(s, struct program, s);

	pool_free(p->pool);
	free(p);
}

static const struct source_ops program_ops = {
	.name = "program",
	.close = program_close,
	.fetch = program_fetch,
	.cancel = program_cancel,
	.fd = program_fd,
	.process = program_process,
};

int program_source(uint64_t size, uint32_t chunk, unsigned threads,
		   int (*read)(void *arg, uint64_t offset, void *buf, size_t len), void *arg,
		   struct source **out)
{
	struct program *p;
	int error;

	if (!size || !read || chunk < PAGE_4K || chunk > PAGE_2M || (chunk & (chunk - 1)))
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	threads = !threads ? 1 : threads < THREADS_MOST ? threads : THREADS_MOST;
	error = pool_new(&(struct pool_options){.threads = threads, .work = work, .stack = STACK},
			 &p->pool);
	if (error) {
		free(p);
		return error;
	}
	p->read = read;
	p->arg = arg;
	p->s.ops = &program_ops;
	p->s.size = size;
	p->s.chunk = chunk;
	p->s.depth = 2 * threads;
	p->s.costly = true;
	snprintf(p->s.spec, sizeof(p->s.spec), "function");
	*out = &p->s;
	return 0;
}
