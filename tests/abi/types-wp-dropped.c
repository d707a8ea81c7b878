/* SPDX-License-Identifier: MIT */
/* UNREGISTER and close take the protection away, from pages and from what are only marks. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	memset(m->p, 3, u);
	memset(m->p + 2 * u, 4, u);
	REGISTERS(fd, m, WP);
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(unreg(fd, m->p, 2 * u), 0);
	EQ(pagemap(m->p) & PM_UFFD_WP, 0);
	EQ(state(m->p + u), 0);
	CHECK(pagemap(m->p + 2 * u) & PM_UFFD_WP);
	CHECK(pagemap(m->p + 3 * u) & PM_UFFD_WP);
	m->p[0] = m->p[u] = 5;
	CHECK(quiet(fd));
	close(fd);
	EQ(pagemap(m->p + 2 * u) & PM_UFFD_WP, 0);
	EQ(state(m->p + 3 * u), 0);
	m->p[2 * u] = m->p[3 * u] = 6;
	EQ(m->p[1], 3);
	EQ(m->p[2 * u + 1], 4);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(SHMEM | HUGE, 4, check);
}
