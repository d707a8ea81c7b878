/* SPDX-License-Identifier: MIT */
/* A child makes a userfaultfd of its own for the memory that it inherited. */
#include "procs.h"

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;
	const uint64_t wp = UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE;
	size_t u = m->unit;
	int fd = uffd_open(0);
	struct thread t;

	(void)sock;
	/* It is registered nowhere, so nobody is in the way. */
	REGISTERS(fd, m, MISSING | WP);
	EQ(m->p[0], 1);
	FAILS(copy(fd, m->p, source(m, 1, 5), u, 0), EEXIST);
	writer(&t, m->p + u, 6);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, m->p + u, source(m, 1, 5), u, 0), u);
	join(&t);
	EQ(protect(fd, m->p, u, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	writer(&t, m->p, 7);
	FAULT(fd, m->p, wp);
	EQ(protect(fd, m->p, u, 0), 0);
	join(&t);
	EQ(m->p[0], 7);
	EQ(m->p[1], 1);
	EQ(m->p[u], 6);
	CHECK(quiet(fd));
	EQ(unreg(fd, m->p, m->len), 0);
	return 0;
}

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;
	struct thread t;

	need_spare(m->kind, 4);
	REGISTERS(fd, m, MISSING);
	DONE(copy(fd, m->p, source(m, 1, 1), u, 0), u);
	struct peer child = peer_start(child_main, m);
	peer_end(&child);
	EQ(m->p[0], 1);
	reader(&t, m->p + u);
	FAULT(fd, m->p + u, 0);
	DONE(copy(fd, m->p + u, source(m, 1, 9), u, 0), u);
	join(&t);
	EQ(t.byte, 9);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(ANON | HUGE_PRIVATE, 2, check);
}
