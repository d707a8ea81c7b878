/* SPDX-License-Identifier: MIT */
/* Write protection of pages that are not mapped: a mark waits for the page, in every file memory.
 */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, WP);
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(state(m->p), u == PG ? PM_SWAP | PM_UFFD_WP : PM_UFFD_WP);
	/* Read: the page comes, protected. */
	EQ(m->p[0], 0);
	CHECK(pagemap(m->p) & PM_UFFD_WP);
	CHECK(pagemap(m->p) & PM_PRESENT);
	writer(&t, m->p, 1);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, m->p, u, 0), 0);
	join(&t);
	EQ(m->p[0], 1);

	/* Write: the same message. */
	writer(&t, m->p + u + 3, 2);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	CHECK(blocked(&t));
	EQ(protect(fd, m->p + u, u, 0), 0);
	join(&t);
	EQ(m->p[u + 3], 2);

	/* The mark is taken away before any page comes. */
	EQ(protect(fd, m->p + 2 * u, u, 0), 0);
	EQ(state(m->p + 2 * u), 0);
	m->p[2 * u] = 3;
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(SHMEM | HUGE, 3, check);
}
