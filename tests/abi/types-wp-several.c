/* SPDX-License-Identifier: MIT */
/* WRITEPROTECT on memory that is not registered for it, or only in part. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	memset(m->p, 1, m->len);
	EQ(protect(fd, m->p, u, UFFDIO_WRITEPROTECT_MODE_WP), ENOENT);
	EQ(reg(fd, m->p, m->len, MISSING | MINOR), 0);
	EQ(protect(fd, m->p, u, UFFDIO_WRITEPROTECT_MODE_WP), ENOENT);
	FAILS(copy(fd, m->p, source(m, 1, 1), u, UFFDIO_COPY_MODE_WP), EINVAL);
	EQ(reg(fd, m->p, 2 * u, WP), 0);
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), ENOENT);
	/* As far as it got. */
	CHECK(pagemap(m->p + u) & PM_UFFD_WP);
	EQ(pagemap(m->p + 2 * u) & PM_UFFD_WP, 0);
	EQ(protect(fd, m->p, u, UFFDIO_WRITEPROTECT_MODE_WP | UFFDIO_WRITEPROTECT_MODE_DONTWAKE),
	   EINVAL);
	EQ(protect(fd, m->p, 2 * u, UFFDIO_WRITEPROTECT_MODE_DONTWAKE), 0);
	EQ(pagemap(m->p + u) & PM_UFFD_WP, 0);
	m->p[0] = m->p[u] = m->p[2 * u] = 2;
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_MINOR_SHMEM);
	return each(SHMEM | HUGE, 3, check);
}
