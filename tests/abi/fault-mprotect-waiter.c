/* SPDX-License-Identifier: MIT */
/* mprotect under a waiter: it does not wake it, and decides when the access is tried again. */
#include "abi.h"

static void *forbidden(void *arg)
{
	siginfo_t info;

	EQ(try_read(arg, &info), SIGSEGV);
	EQ(info.si_code, SEGV_ACCERR);
	EQ((uintptr_t)info.si_addr, (uintptr_t)arg);
	return NULL;
}

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	run(&t, forbidden, p + 8);
	FAULT(fd, p, 0);
	CHECK(blocked(&t));
	EQ(mprotect(p, PG, PROT_NONE), 0);
	CHECK(blocked(&t));
	EQ(wake(fd, p, PG), 0);
	join(&t);
	CHECK(quiet(fd));
	return 0;
}
