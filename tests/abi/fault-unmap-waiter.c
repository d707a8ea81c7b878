/* SPDX-License-Identifier: MIT */
/* munmap under a waiter: at the latest when it is woken, the access is an ordinary SIGSEGV. */
#include "abi.h"

static void *gone(void *arg)
{
	siginfo_t info;

	EQ(try_read(arg, &info), SIGSEGV);
	EQ(info.si_code, SEGV_MAPERR);
	EQ((uintptr_t)info.si_addr, (uintptr_t)arg);
	return NULL;
}

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	run(&t, gone, p + 8);
	FAULT(fd, p, 0);
	CHECK(blocked(&t));
	EQ(munmap(p, PG), 0);
	FAILS(copy(fd, p, page_of(1), PG, 0), ENOENT);
	EQ(wake(fd, p, PG), 0);
	join(&t);
	CHECK(quiet(fd));

	/* Closing does the same. */
	run(&t, gone, p + PG + 8);
	FAULT(fd, p + PG, 0);
	EQ(munmap(p + PG, PG), 0);
	close(fd);
	join(&t);
	return 0;
}
