/* SPDX-License-Identifier: MIT */
/* The file is truncated while a thread waits for one of its pages. */
#include "kinds.h"

static void *touch(void *arg)
{
	return (void *)(intptr_t)try_read(arg, NULL);
}

static void check(struct memory *m)
{
	struct thread t;
	void *sig;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	run(&t, touch, m->p + u);
	FAULT(fd, m->p + u, 0);
	wait_asleep(&t);
	EQ(ftruncate(m->file, u), 0);
	CHECK(blocked(&t));
	if (m->kind != HUGE_MEMFD_PRIVATE)
		FAILS(copy(fd, m->p + u, source(m, 1, 3), u, 0), EFAULT);
	CHECK(blocked(&t));
	EQ(wake(fd, m->p + u, u), 0);
	EQ(pthread_join(t.id, &sig), 0);
	EQ((intptr_t)sig, SIGBUS);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(WITH_FD, 2, check);
}
