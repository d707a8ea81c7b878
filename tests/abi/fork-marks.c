/* SPDX-License-Identifier: MIT */
/* Without EVENT_FORK the child's marks are gone and the parent's stay. */
#include "procs.h"

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;
	size_t u = m->unit;

	(void)sock;
	CHECK(!(pagemap(m->p) & PM_UFFD_WP));
	CHECK(!(pagemap(m->p + u) & PM_UFFD_WP));
	EQ(m->p[0], 1);
	m->p[0] = 11;
	EQ(m->p[u], 0);
	m->p[u] = 12;
	EQ(m->p[0], 11);
	EQ(m->p[u], 12);
	return 0;
}

static void check(struct memory *m)
{
	uint64_t feature = m->kind & ANON ? UFFD_FEATURE_WP_UNPOPULATED : 0;
	const uint64_t wp = UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE;
	int fd = uffd_open(feature);
	size_t u = m->unit;
	struct thread t;

	need_spare(m->kind, 4);
	REGISTERS(fd, m, MISSING | WP);
	DONE(copy(fd, m->p, source(m, 1, 1), u, UFFDIO_COPY_MODE_WP), u);
	EQ(protect(fd, m->p + u, u, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	struct peer child = peer_start(child_main, m);
	peer_end(&child);
	CHECK(quiet(fd));
	CHECK(pagemap(m->p) & PM_UFFD_WP);
	CHECK(pagemap(m->p + u) & PM_UFFD_WP);
	EQ(m->p[0], 1);
	writer(&t, m->p, 3);
	FAULT(fd, m->p, wp);
	EQ(protect(fd, m->p, u, 0), 0);
	join(&t);
	EQ(m->p[0], 3);
	writer(&t, m->p + u, 4);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, m->p + u, source(m, 1, 5), u, UFFDIO_COPY_MODE_WP), u);
	FAULT(fd, m->p + u, wp);
	EQ(protect(fd, m->p + u, u, 0), 0);
	join(&t);
	EQ(m->p[u], 4);
	EQ(m->p[u + 1], 5);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(ANON | HUGE_PRIVATE, 2, check);
}
