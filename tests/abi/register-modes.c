/* SPDX-License-Identifier: MIT */
/* Which registration modes anonymous memory accepts. */
#include "abi.h"

int main(void)
{
	start();
	int fd = uffd_open(0);
	char *p = map(4);
	EQ(reg(fd, p, PG, 0), EINVAL);
	EQ(reg(fd, p, PG, MINOR), EINVAL);
	EQ(reg(fd, p, PG, MISSING | MINOR), EINVAL);
	EQ(reg(fd, p, PG, RWP), EINVAL);
	EQ(reg(fd, p, PG, MISSING | 1ull << 4), EINVAL);
	EQ(reg(fd, p, PG, MISSING | 1ull << 63), EINVAL);
	EQ(reg(fd, p, PG, MISSING), 0);
	if (!(uffd_features() & UFFD_FEATURE_PAGEFAULT_FLAG_WP))
		return 0;
	EQ(reg(fd, p + PG, PG, WP), 0);
	EQ(reg(fd, p + 2 * PG, PG, MISSING | WP), 0);
	return 0;
}
