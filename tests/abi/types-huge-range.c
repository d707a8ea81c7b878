/* SPDX-License-Identifier: MIT */
/* In huge pages every range must consist of whole ones. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	char *p = m->p, *src = source(m, 2, 1);

	REFUSED(reg_out(fd, p + PG, 2 * HUGE_PG, MISSING), EINVAL);
	REFUSED(reg_out(fd, p, PG, MISSING), EINVAL);
	REFUSED(reg_out(fd, p, HUGE_PG + PG, MISSING), EINVAL);
	REFUSED(reg_out(fd, p + HUGE_PG - PG, PG, MISSING), EINVAL);
	REGISTERS(fd, m, MISSING | WP | MINOR);

	FAILS(copy(fd, p, src, PG, 0), EINVAL);
	FAILS(copy(fd, p + PG, src, HUGE_PG, 0), EINVAL);
	FAILS(copy(fd, p, src, HUGE_PG + PG, 0), EINVAL);
	FAILS(cont(fd, p, PG, 0), EINVAL);
	FAILS(cont(fd, p + PG, HUGE_PG, 0), EINVAL);
	FAILS(poison(fd, p, PG, 0), EINVAL);
	FAILS(poison(fd, p + PG, HUGE_PG, 0), EINVAL);
	REFUSED(copy(fd, p + 1, src, HUGE_PG, 0), EINVAL);
	REFUSED(copy(fd, p, src, HUGE_PG + 1, 0), EINVAL);
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), EINVAL);
	EQ(protect(fd, p + PG, HUGE_PG, UFFDIO_WRITEPROTECT_MODE_WP), EINVAL);
	EQ(protect(fd, p, HUGE_PG + PG, 0), EINVAL);
	EQ(unreg(fd, p + PG, HUGE_PG), EINVAL);
	EQ(unreg(fd, p, HUGE_PG + PG), EINVAL);
	EQ(unreg(fd, p, PG), EINVAL);
	/* WAKE knows nothing of it. */
	EQ(wake(fd, p + PG, PG), 0);
	for (int i = 0; i < 3; i++)
		EQ(state(p + i * HUGE_PG), 0);
	EQ(unreg(fd, p, HUGE_PG), 0);
	DONE(copy(fd, p + HUGE_PG, src, 2 * HUGE_PG, 0), 2 * HUGE_PG);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(HUGE, 3, check);
}
