/* SPDX-License-Identifier: MIT */
/* MADV_POPULATE_READ and _WRITE and mlock touch page by page, a message each. */
#include "kinds.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

static void *lock(void *arg)
{
	struct memory *m = arg;

	EQ(mlock(m->p + 2 * m->unit, m->unit), 0);
	return NULL;
}

static void check(struct memory *m)
{
	struct call c;
	struct thread t;
	int fd = uffd_open_full(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	call_madvise(&c, m->p, u, MADV_POPULATE_READ);
	FAULT(fd, m->p, 0);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	EQ(returned(&c), 0);
	call_madvise(&c, m->p, 2 * u, MADV_POPULATE_WRITE);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, 0), u);
	EQ(returned(&c), 0);
	run(&t, lock, m);
	/* A shared mapping is locked by reading it, a private one by writing. */
	FAULT(fd, m->p + 2 * u, m->kind & SHARED ? 0 : UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, m->p + 2 * u, source(m, 1, 5), u, 0), u);
	join(&t);
	EQ(munlock(m->p, m->len), 0);
	EQ(m->p[0], 3);
	EQ(m->p[u], 4);
	EQ(m->p[2 * u], 5);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(SHMEM | HUGE, 3, check);
}
