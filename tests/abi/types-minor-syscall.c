/* SPDX-License-Identifier: MIT */
/* A system call that touches the memory faults like the program itself. */
#include "kinds.h"

static int ends[2];

static void *receive(void *arg)
{
	EQ(read(ends[0], arg, 100), 100);
	return NULL;
}

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open_full(0);
	size_t u = m->unit;

	EQ(pipe2(ends, O_CLOEXEC), 0);
	EQ(write(ends[1], page_of('r'), 100), 100);
	file_set(m, 0, 3);
	REGISTERS(fd, m, MISSING | MINOR);
	run(&t, receive, m->p + 50);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_MINOR | UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(cont(fd, m->p, u, 0), u);
	join(&t);
	EQ(m->p[49], 3);
	CHECK(all(m->p + 50, 100, 'r'));

	EQ(write(ends[1], page_of('s'), 100), 100);
	run(&t, receive, m->p + u);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, 0), u);
	join(&t);
	CHECK(all(m->p + u, 100, 's'));
	EQ(m->p[u + 100], 4);
	CHECK(quiet(fd));
	close(ends[0]);
	close(ends[1]);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(VIEWED, 2, check);
}
