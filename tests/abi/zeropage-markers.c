/* SPDX-License-Identifier: MIT */
/* ZEROPAGE fills only what is empty: marks are in its way. */
#include "abi.h"

int main(void)
{
	start();
	int fd = uffd_open(UFFD_FEATURE_WP_UNPOPULATED);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING | WP), 0);
	EQ(protect(fd, p + PG, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	FAILS(zeropage(fd, p + PG, PG, 0), EEXIST);
	PARTLY(zeropage(fd, p, 2 * PG, 0), PG);
	CHECK(pagemap(p + PG) & PM_UFFD_WP);
	/* COPY overwrites the mark, and does not keep it. */
	DONE(copy(fd, p + PG, page_of(1), PG, 0), PG);
	EQ(pagemap(p + PG) & PM_UFFD_WP, 0);
	p[PG] = 2;

	if (uffd_features() & UFFD_FEATURE_POISON) {
		DONE(poison(fd, p + 2 * PG, PG, 0), PG);
		FAILS(zeropage(fd, p + 2 * PG, PG, 0), EEXIST);
	}
	CHECK(quiet(fd));
	return 0;
}
