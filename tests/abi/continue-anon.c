/* SPDX-License-Identifier: MIT */
/* CONTINUE has nothing to continue on anonymous memory. */
#include "abi.h"

int main(void)
{
	start();
	int fd = uffd_open(0);
	char *p = map(1);
	FAILS(cont(fd, p, PG, 0), ENOENT);
	EQ(reg(fd, p, PG, MISSING), 0);
	FAILS(cont(fd, p, PG, 0), EINVAL);
	REFUSED(cont(fd, p, PG, 4), EINVAL);
	REFUSED(cont(fd, p + 1, PG, 0), EINVAL);
	REFUSED(cont(fd, p, 0, 0), EINVAL);
	CHECK(!populated(p));
	return 0;
}
