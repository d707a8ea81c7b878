/* SPDX-License-Identifier: MIT */
/* A huge page is one fault: its message has the address of the huge page. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread a, b;
	int fd = uffd_open(0);

	REGISTERS(fd, m, MISSING | WP);
	reader(&a, m->p + HUGE_PG + 5 * PG + 9);
	FAULT(fd, m->p + HUGE_PG, 0);
	writer(&b, m->p + 2 * HUGE_PG - 1, 4);
	FAULT(fd, m->p + HUGE_PG, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, m->p + HUGE_PG, source(m, 1, 3), HUGE_PG, 0), HUGE_PG);
	join(&a);
	join(&b);
	EQ(a.byte, 3);
	EQ(m->p[2 * HUGE_PG - 1], 4);
	CHECK(all(m->p + HUGE_PG, HUGE_PG - 1, 3));
	EQ(protect(fd, m->p + HUGE_PG, HUGE_PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	writer(&b, m->p + HUGE_PG + 9 * PG + 9, 5);
	FAULT(fd, m->p + HUGE_PG, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, m->p + HUGE_PG, HUGE_PG, 0), 0);
	join(&b);
	EQ(m->p[HUGE_PG + 9 * PG + 9], 5);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(HUGE, 2, check);
}
