/* SPDX-License-Identifier: MIT */
/* The zero page moves as a page of zeros. */
#include "abi.h"

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MOVE);
	int fd = uffd_open(0);
	char *dst = map(2), *src = map(2);
	EQ(reg(fd, dst, 2 * PG, MISSING), 0);
	/* A read alone maps the zero page. */
	EQ(src[0], 0);
	DONE(move(fd, dst, src, PG, 0), PG);
	CHECK(populated(dst));
	CHECK(!populated(src));
	CHECK(all(dst, PG, 0));
	dst[0] = 1;

	EQ(reg(fd, src, 2 * PG, MISSING), 0);
	DONE(zeropage(fd, src + PG, PG, 0), PG);
	DONE(move(fd, dst + PG, src + PG, PG, 0), PG);
	CHECK(all(dst + PG, PG, 0));
	CHECK(!populated(src + PG));
	CHECK(quiet(fd));
	return 0;
}
