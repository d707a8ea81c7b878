/* SPDX-License-Identifier: MIT */
/* What POISON refuses: anything but empty entries of one registered area. */
#include "abi.h"

int main(void)
{
	start();
	need_features(UFFD_FEATURE_POISON);
	int fd = uffd_open(UFFD_FEATURE_WP_UNPOPULATED);
	char *p = map(4);
	FAILS(poison(fd, p, PG, 0), ENOENT);
	EQ(reg(fd, p, 4 * PG, MISSING | WP), 0);
	REFUSED(poison(fd, p + 1, PG, 0), EINVAL);
	REFUSED(poison(fd, p, 0, 0), EINVAL);
	REFUSED(poison(fd, p, PG - 1, 0), EINVAL);
	REFUSED(poison(fd, p, PG, 2), EINVAL);
	FAILS(poison(fd, p, 5 * PG, 0), ENOENT);

	DONE(poison(fd, p, PG, 0), PG);
	FAILS(poison(fd, p, PG, 0), EEXIST);
	DONE(copy(fd, p + 2 * PG, page_of(1), PG, 0), PG);
	FAILS(poison(fd, p + 2 * PG, PG, 0), EEXIST);
	PARTLY(poison(fd, p + PG, 3 * PG, 0), PG);
	/* A write-protect marker is not empty either. */
	EQ(protect(fd, p + 3 * PG, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	FAILS(poison(fd, p + 3 * PG, PG, 0), EEXIST);
	return 0;
}
