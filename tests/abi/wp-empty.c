/* SPDX-License-Identifier: MIT */
/* Without WP_UNPOPULATED, protecting an empty page of anonymous memory does nothing. */
#include "abi.h"

int main(void)
{
	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, WP), 0);
	EQ(protect(fd, p, 2 * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(pagemap(p) & PM_UFFD_WP, 0);
	p[0] = 1;
	EQ(p[PG], 0);
	p[PG] = 1;
	CHECK(quiet(fd));
	return 0;
}
