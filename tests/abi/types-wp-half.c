/* SPDX-License-Identifier: MIT */
/* Protection over a range with every other page empty: set, checked and taken away page by page. */
#include "kinds.h"

#define UNITS 6

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	for (int i = 0; i < UNITS; i += 2)
		memset(m->p + i * u, i + 1, u);
	REGISTERS(fd, m, WP);
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	for (int i = 0; i < UNITS; i++) {
		CHECK(pagemap(m->p + i * u) & PM_UFFD_WP);
		EQ(populated(m->p + i * u), i % 2 == 0);
	}
	for (int i = 1; i < 3; i++) {
		writer(&t, m->p + i * u, 9);
		FAULT(fd, m->p + i * u, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
		EQ(protect(fd, m->p + i * u, u, 0), 0);
		join(&t);
	}
	EQ(protect(fd, m->p, m->len, 0), 0);
	for (int i = 0; i < UNITS; i++) {
		EQ(pagemap(m->p + i * u) & PM_UFFD_WP, 0);
		m->p[i * u] = 8;
		EQ(m->p[i * u + 1], i % 2 == 0 ? i + 1 : 0);
	}
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(SHMEM | HUGE, UNITS, check);
}
