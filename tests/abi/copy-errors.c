/* SPDX-License-Identifier: MIT */
/* What COPY refuses before it begins, and that the output field then is left alone. */
#include "abi.h"

#define TASK_TOP ((char *)0x7ffffffff000)

int main(void)
{
	start();
	int fd = uffd_open(0);
	char *p = map(4), *src = page_of(1);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	REFUSED(copy(fd, p + 1, src, PG, 0), EINVAL);
	REFUSED(copy(fd, p, src, PG + 1, 0), EINVAL);
	REFUSED(copy(fd, p, src, 0, 0), EINVAL);
	REFUSED(copy(fd, p, src, -PG, 0), EINVAL);
	REFUSED(copy(fd, TASK_TOP, src, PG, 0), EINVAL);
	REFUSED(copy(fd, p, TASK_TOP, PG, 0), EINVAL);
	REFUSED(copy(fd, p, (char *)-PG, PG, 0), EINVAL);
	REFUSED(copy(fd, p, src, PG, 4), EINVAL);
	REFUSED(copy(fd, p, src, PG, 1ull << 63), EINVAL);
	/* The range comes before the mode, and both before the operation. */
	REFUSED(copy(fd, map(1), src, PG, 4), EINVAL);
	CHECK(!populated(p));
	DONE(copy(fd, p, src, PG, 0), PG);
	return 0;
}
