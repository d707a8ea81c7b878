/* SPDX-License-Identifier: MIT */
/* read(2) into memory and write(2) from it wait like the program itself would. */
#include "kinds.h"

static int ends[2];

static void *receive(void *arg)
{
	EQ(read(ends[0], arg, 100), 100);
	return NULL;
}

static void *send(void *arg)
{
	EQ(write(ends[1], arg, 100), 100);
	return NULL;
}

static void check(struct memory *m)
{
	struct thread t;
	char text[100];
	int fd = uffd_open_full(0);
	size_t u = m->unit;

	EQ(pipe2(ends, O_CLOEXEC), 0);
	REGISTERS(fd, m, MISSING | WP);
	run(&t, send, m->p + 9);
	FAULT(fd, m->p, 0);
	DONE(copy(fd, m->p, source(m, 1, 3), u, UFFDIO_COPY_MODE_WP), u);
	join(&t);
	run(&t, receive, m->p + u);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, 0), u);
	join(&t);
	CHECK(all(m->p + u, 100, 3));
	EQ(m->p[u + 100], 4);

	/* Into a protected page. */
	EQ(write(ends[1], page_of(7), 100), 100);
	run(&t, receive, m->p + 1);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, m->p, u, 0), 0);
	join(&t);
	EQ(m->p[0], 3);
	CHECK(all(m->p + 1, 100, 7));

	/* A poisoned page. */
	DONE(poison(fd, m->p + 2 * u, u, 0), u);
	ERR(write(ends[1], m->p + 2 * u, 100), EFAULT);
	EQ(write(ends[1], page_of(8), 100), 100);
	ERR(read(ends[0], m->p + 2 * u, 100), EFAULT);
	EQ(read(ends[0], text, 100), 100);
	CHECK(quiet(fd));
	close(ends[0]);
	close(ends[1]);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_POISON);
	return each(SHMEM | HUGE, 3, check);
}
