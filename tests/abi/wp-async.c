/* SPDX-License-Identifier: MIT */
/* WP_ASYNC: a write takes the mark away by itself, without a message. */
#include "abi.h"

int main(void)
{
	start();
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);
	char *p = map(4);
	memset(p, 1, 2 * PG);
	EQ(reg(fd, p, 4 * PG, WP), 0);
	EQ(protect(fd, p, 4 * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	for (int i = 0; i < 4; i++)
		CHECK(pagemap(p + i * PG) & PM_UFFD_WP);
	EQ(p[0], 1);
	EQ(p[2 * PG], 0);
	for (int i = 0; i < 4; i++)
		CHECK(pagemap(p + i * PG) & PM_UFFD_WP);
	p[PG] = 2;
	p[2 * PG] = 2;
	CHECK(quiet(fd));
	CHECK(pagemap(p) & PM_UFFD_WP);
	EQ(pagemap(p + PG) & PM_UFFD_WP, 0);
	EQ(pagemap(p + 2 * PG) & PM_UFFD_WP, 0);
	CHECK(pagemap(p + 3 * PG) & PM_UFFD_WP);
	p[3 * PG] = 2;
	EQ(pagemap(p + 3 * PG) & PM_UFFD_WP, 0);
	CHECK(all(p + 3 * PG + 1, PG - 1, 0));

	/* Armed again. */
	EQ(protect(fd, p, 4 * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	CHECK(pagemap(p + PG) & PM_UFFD_WP);
	p[PG + 1] = 3;
	EQ(pagemap(p + PG) & PM_UFFD_WP, 0);
	EQ(p[PG], 2);
	return 0;
}
