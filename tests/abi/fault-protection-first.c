/* SPDX-License-Identifier: MIT */
/* What the area's protection forbids is SIGSEGV at once, not a message. */
#include "abi.h"

int main(void)
{
	siginfo_t info;
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map_prot(2, PROT_NONE);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	EQ(try_read(p + 5, &info), SIGSEGV);
	EQ(info.si_code, SEGV_ACCERR);
	EQ((uintptr_t)info.si_addr, (uintptr_t)p + 5);
	EQ(mprotect(p, PG, PROT_READ), 0);
	EQ(try_write(p + 6, 1, &info), SIGSEGV);
	EQ(info.si_code, SEGV_ACCERR);
	EQ((uintptr_t)info.si_addr, (uintptr_t)p + 6);
	CHECK(quiet(fd));
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);
	EQ(mprotect(p, 2 * PG, PROT_READ | PROT_WRITE), 0);
	p[0] = 1;
	CHECK(quiet(fd));
	return 0;
}
