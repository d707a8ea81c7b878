/* SPDX-License-Identifier: MIT */
/* The source of COPY may be registered memory that is present, protected or both. */
#include "abi.h"

int main(void)
{
	start();
	int fd = uffd_open(0), other = uffd_open(0);
	char *p = map(6), *src = map(3);
	EQ(reg(fd, p, 6 * PG, MISSING), 0);
	EQ(reg(other, src, 3 * PG, MISSING | WP), 0);
	DONE(copy(other, src, page_of(1), PG, UFFDIO_COPY_MODE_WP), PG);
	DONE(zeropage(other, src + PG, PG, 0), PG);
	DONE(copy(other, src + 2 * PG, page_of(3), PG, 0), PG);
	DONE(copy(fd, p, src, 3 * PG, 0), 3 * PG);
	CHECK(all(p, PG, 1));
	CHECK(all(p + PG, PG, 0));
	CHECK(all(p + 2 * PG, PG, 3));
	/* From the very area that is filled. */
	DONE(copy(fd, p + 3 * PG, p + PG + 100, PG, 0), PG);
	CHECK(all(p + 3 * PG, PG - 100, 0));
	CHECK(all(p + 4 * PG - 100, 100, 3));
	EQ(mprotect(src, 3 * PG, PROT_READ), 0);
	DONE(copy(fd, p + 4 * PG, src + 2 * PG, PG, 0), PG);
	EQ(mprotect(src, 3 * PG, PROT_NONE), 0);
	FAILS(copy(fd, p + 5 * PG, src, PG, 0), EFAULT);
	CHECK(quiet(fd));
	CHECK(quiet(other));
	return 0;
}
