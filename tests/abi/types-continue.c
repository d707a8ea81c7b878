/* SPDX-License-Identifier: MIT */
/* CONTINUE: what it refuses, and how far it gets. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	FAILS(cont(fd, m->p, u, 0), ENOENT);
	/* Registration for MINOR is not needed. */
	REGISTERS(fd, m, MISSING);
	FAILS(cont(fd, m->p, u, 0), EFAULT);
	EQ(state(m->p), 0);
	file_set(m, 0, 3);
	file_set(m, 1, 4);
	PARTLY(cont(fd, m->p, 3 * u, 0), 2 * u);
	FAILS(cont(fd, m->p, u, 0), EEXIST);
	FAILS(cont(fd, m->p, 2 * u, 0), EEXIST);
	CHECK(all(m->p, u, 3));
	CHECK(all(m->p + u, u, 4));
	file_set(m, 2, 5);
	PARTLY(cont(fd, m->p + 2 * u, 2 * u, 0), u);
	FAILS(cont(fd, m->p + 3 * u, u, UFFDIO_COPY_MODE_WP), EINVAL);
	REFUSED(cont(fd, m->p + 3 * u, u, 4), EINVAL);
	REFUSED(cont(fd, m->p + 3 * u + 1, u, 0), EINVAL);
	REFUSED(cont(fd, m->p + 3 * u, 0, 0), EINVAL);
	FAILS(cont(fd, m->p + 3 * u, 2 * u, 0), ENOENT);
	EQ(state(m->p + 3 * u), 0);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(VIEWED, 4, check);
}
