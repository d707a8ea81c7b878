/* SPDX-License-Identifier: MIT */
/* Registering a part with other modes makes areas of their own; alike they are one. */
#include "abi.h"

int main(void)
{
	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0);
	char *p = map(8), *src = map(8);
	memset(src, 1, 8 * PG);

	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	EQ(reg(fd, p + 2 * PG, 2 * PG, MISSING), 0);
	DONE(copy(fd, p + PG, src, 2 * PG, 0), 2 * PG);

	EQ(reg(fd, p + 4 * PG, 2 * PG, MISSING | WP), 0);
	FAILS(copy(fd, p + 3 * PG, src, 2 * PG, 0), ENOENT);
	EQ(reg(fd, p, 4 * PG, MISSING | WP), 0);
	DONE(copy(fd, p + 3 * PG, src, 2 * PG, 0), 2 * PG);

	/* A part that already has the modes is not split off. */
	EQ(reg(fd, p + 5 * PG, PG, MISSING), 0);
	DONE(copy(fd, p + 5 * PG, src, PG, 0), PG);
	EQ(reg(fd, p + 6 * PG, 2 * PG, MISSING), 0);
	FAILS(copy(fd, p + 6 * PG, src, 3 * PG, 0), ENOENT);
	DONE(copy(fd, p + 6 * PG, src, 2 * PG, 0), 2 * PG);
	return 0;
}
