/* SPDX-License-Identifier: MIT */
/* Ranges that REGISTER and UNREGISTER refuse. */
#include "abi.h"

#define TASK_TOP ((char *)0x7ffffffff000)

static void refused(int fd, const char *p, size_t len)
{
	REFUSED(reg_out(fd, p, len, MISSING), EINVAL);
	EQ(unreg(fd, p, len), EINVAL);
	EQ(wake(fd, p, len), EINVAL);
}

int main(void)
{
	start();
	int fd = uffd_open(0);
	char *p = map(4);
	refused(fd, p + 1, PG);
	refused(fd, p + PG / 2, PG);
	refused(fd, p, PG + 1);
	refused(fd, p, PG - 1);
	refused(fd, p, 0);
	refused(fd, p, -PG);
	refused(fd, p, -(uintptr_t)p);
	refused(fd, TASK_TOP, PG);
	refused(fd, TASK_TOP - PG, 2 * PG);
	refused(fd, (char *)-PG, PG);

	/* Nothing mapped at all. */
	EQ(munmap(p, 4 * PG), 0);
	REFUSED(reg_out(fd, p, 4 * PG, MISSING), EINVAL);
	EQ(unreg(fd, p, 4 * PG), EINVAL);
	EQ(wake(fd, p, 4 * PG), 0);
	return 0;
}
