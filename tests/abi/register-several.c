/* SPDX-License-Identifier: MIT */
/* One REGISTER may cover areas of different protection; each faults by its own rules. */
#include "abi.h"

int main(void)
{
	siginfo_t info;
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(4);
	EQ(mprotect(p + PG, PG, PROT_READ), 0);
	EQ(mprotect(p + 2 * PG, PG, PROT_NONE), 0);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);

	writer(&t, p, 1);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);

	EQ(try_write(p + PG, 1, &info), SIGSEGV);
	EQ(info.si_code, SEGV_ACCERR);
	EQ((uintptr_t)info.si_addr, (uintptr_t)p + PG);
	CHECK(quiet(fd));
	reader(&t, p + PG);
	FAULT(fd, p + PG, 0);
	DONE(copy(fd, p + PG, page_of(2), PG, 0), PG);
	join(&t);
	EQ(t.byte, 2);
	EQ(try_write(p + PG, 1, NULL), SIGSEGV);

	EQ(try_read(p + 2 * PG, NULL), SIGSEGV);
	DONE(copy(fd, p + 2 * PG, page_of(3), PG, 0), PG);
	EQ(try_read(p + 2 * PG, NULL), SIGSEGV);
	EQ(mprotect(p + 2 * PG, PG, PROT_READ), 0);
	EQ(p[2 * PG], 3);

	reader(&t, p + 3 * PG);
	FAULT(fd, p + 3 * PG, 0);
	DONE(zeropage(fd, p + 3 * PG, PG, 0), PG);
	join(&t);
	CHECK(quiet(fd));
	return 0;
}
