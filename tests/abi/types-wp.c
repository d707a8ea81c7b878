/* SPDX-License-Identifier: MIT */
/* Write protection of pages that are there: of this mapping's writes alone. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	memset(m->p, 3, m->len);
	REGISTERS(fd, m, WP);
	m->p[0] = 4;
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(m->p[0], 4);
	CHECK(all(m->p + u, u, 3));
	CHECK(pagemap(m->p) & PM_UFFD_WP);
	CHECK(quiet(fd));
	writer(&t, m->p + u + 7, 6);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	CHECK(blocked(&t));
	if (m->view) {
		m->view[u + 8] = 5;
		EQ(m->p[u + 8], m->kind & SHARED ? 5 : 3);
	}
	EQ(m->p[u + 7], 3);
	EQ(protect(fd, m->p + u, u, 0), 0);
	join(&t);
	EQ(m->p[u + 7], 6);
	EQ(pagemap(m->p + u) & PM_UFFD_WP, 0);
	m->p[u] = 1;
	CHECK(quiet(fd));

	writer(&t, m->p, 9);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, m->p, m->len, 0), 0);
	join(&t);
	EQ(m->p[0], 9);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(SHMEM | HUGE, 2, check);
}
