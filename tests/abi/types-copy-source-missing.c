/* SPDX-License-Identifier: MIT */
/* The source of a COPY is missing itself: it is asked for, and the COPY goes on. */
#include "kinds.h"

struct job {
	int fd;
	struct memory *m;
	struct outcome got;
};

static void *work(void *arg)
{
	struct job *job = arg;
	struct memory *m = job->m;

	job->got = copy(job->fd, m->p, m->p + m->unit, m->unit, 0);
	return NULL;
}

static void check(struct memory *m)
{
	struct thread t, waiter;
	int fd = uffd_open_full(0);
	struct job job = {.fd = fd, .m = m};
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	reader(&waiter, m->p);
	FAULT(fd, m->p, 0);
	run(&t, work, &job);
	/* Small pages or large, it is asked for once. */
	FAULT(fd, m->p + u, 0);
	CHECK(!t.done);
	DONE(copy(fd, m->p + u, source(m, 1, 3), u, 0), u);
	join(&t);
	DONE(job.got, u);
	join(&waiter);
	EQ(waiter.byte, 3);
	CHECK(all(m->p, u, 3));
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(SHMEM | HUGE, 2, check);
}
