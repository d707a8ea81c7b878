/* SPDX-License-Identifier: MIT */
/* COPY and ZEROPAGE fill areas that are registered for write protection alone. */
#include "abi.h"

int main(void)
{
	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, WP), 0);
	DONE(copy(fd, p, page_of(5), PG, 0), PG);
	DONE(copy(fd, p + PG, page_of(6), PG, UFFDIO_COPY_MODE_WP), PG);
	DONE(zeropage(fd, p + 2 * PG, PG, 0), PG);
	CHECK(all(p, PG, 5));
	CHECK(all(p + PG, PG, 6));
	CHECK(all(p + 2 * PG, PG, 0));
	p[0] = p[2 * PG] = 1;
	CHECK(quiet(fd));
	CHECK(pagemap(p + PG) & PM_UFFD_WP);
	return 0;
}
