/* SPDX-License-Identifier: MIT */
/* MOVE never replaces anything: EEXIST, and the source keeps its page. */
#include "abi.h"

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MOVE);
	int fd = uffd_open(UFFD_FEATURE_WP_UNPOPULATED);
	char *dst = map(4), *src = map(4);
	memset(src, 5, 4 * PG);
	EQ(reg(fd, dst, 4 * PG, MISSING | WP), 0);
	DONE(copy(fd, dst + PG, page_of(1), PG, 0), PG);
	FAILS(move(fd, dst + PG, src + PG, PG, 0), EEXIST);
	PARTLY(move(fd, dst, src, 4 * PG, 0), PG);
	CHECK(all(dst, PG, 5));
	CHECK(all(dst + PG, PG, 1));
	CHECK(all(src, PG, 0));
	CHECK(all(src + PG, 3 * PG, 5));
	DONE(poison(fd, dst + 2 * PG, PG, 0), PG);
	FAILS(move(fd, dst + 2 * PG, src + 2 * PG, PG, 0), EEXIST);
	EQ(protect(fd, dst + 3 * PG, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	FAILS(move(fd, dst + 3 * PG, src + 3 * PG, PG, 0), EEXIST);
	CHECK(all(src + PG, 3 * PG, 5));
	return 0;
}
