/* SPDX-License-Identifier: MIT */
/* A write that waits goes on when the descriptor is closed, or after UNREGISTER and WAKE. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	memset(m->p, 3, u);
	REGISTERS(fd, m, WP);
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	writer(&t, m->p, 4);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	CHECK(blocked(&t));
	EQ(unreg(fd, m->p, u), 0);
	CHECK(blocked(&t));
	EQ(wake(fd, m->p, u), 0);
	join(&t);
	EQ(m->p[0], 4);
	/* On a mark without a page. */
	writer(&t, m->p + u, 5);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	close(fd);
	join(&t);
	EQ(m->p[u], 5);
	EQ(m->p[u + 1], 0);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(SHMEM | HUGE, 2, check);
}
