/* SPDX-License-Identifier: MIT */
/* Poison and protection on one page: the first mark stays, and poison is above protection. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING | WP);
	EQ(protect(fd, m->p, u, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	FAILS(poison(fd, m->p, 2 * u, 0), EEXIST);
	CHECK(pagemap(m->p) & PM_UFFD_WP);
	EQ(state(m->p + u), 0);
	DONE(poison(fd, m->p + u, u, 0), u);
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(try_read(m->p + u, NULL), SIGBUS);
	EQ(try_write(m->p + u, 1, NULL), SIGBUS);
	EQ(protect(fd, m->p, m->len, 0), 0);
	EQ(try_write(m->p + u, 1, NULL), SIGBUS);
	EQ(state(m->p), 0);
	CHECK(quiet(fd));
	close(fd);
	EQ(try_read(m->p + u, NULL), SIGBUS);
	m->p[0] = 1;
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_POISON);
	return each(SHMEM | HUGE, 2, check);
}
