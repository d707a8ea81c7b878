/* SPDX-License-Identifier: MIT */
/* MOVE over a hole in the source: ENOENT, or counted as moved when that is allowed. */
#include "abi.h"

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MOVE);
	int fd = uffd_open(0);
	char *dst = map(4), *src = map(4);
	src[PG] = 2;
	src[3 * PG] = 4;
	EQ(reg(fd, dst, 4 * PG, MISSING), 0);
	FAILS(move(fd, dst, src, 4 * PG, 0), ENOENT);
	PARTLY(move(fd, dst + PG, src + PG, 3 * PG, 0), PG);
	EQ(dst[PG], 2);
	DONE(move(fd, dst + 2 * PG, src + 2 * PG, 2 * PG, UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES),
	     2 * PG);
	EQ(dst[3 * PG], 4);
	CHECK(!populated(dst + 2 * PG));
	DONE(move(fd, dst, src, PG, UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES), PG);
	CHECK(!populated(dst));
	CHECK(quiet(fd));
	return 0;
}
