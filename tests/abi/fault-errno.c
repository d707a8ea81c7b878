/* SPDX-License-Identifier: MIT */
/* A fault leaves the thread's errno alone. */
#include "abi.h"

static void *touch(void *arg)
{
	char *p = arg;

	errno = 1234;
	for (int i = 0; i < 4; i++)
		(void)*(volatile char *)(p + i * PG);
	EQ(errno, 1234);
	return NULL;
}

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(4);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	run(&t, touch, p);
	for (int i = 0; i < 4; i++) {
		FAULT(fd, p + i * PG, 0);
		FAILS(copy(fd, p + i * PG, NULL, PG, 0), EFAULT);
		EQ(wake(fd, p + i * PG, PG), 0);
		FAULT(fd, p + i * PG, 0);
		DONE(zeropage(fd, p + i * PG, PG, 0), PG);
	}
	join(&t);
	return 0;
}
