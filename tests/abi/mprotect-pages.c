/* SPDX-License-Identifier: MIT */
/* mprotect of single registered pages: contents stay, and each page follows its own protection. */
#include "abi.h"

int main(void)
{
	start();
	int fd = uffd_open(0);
	char *p = map(8);
	EQ(reg(fd, p, 8 * PG, MISSING), 0);
	for (int i = 0; i < 8; i++)
		DONE(copy(fd, p + i * PG, page_of(i), PG, 0), PG);
	for (int i = 0; i < 8; i += 2)
		EQ(mprotect(p + i * PG, PG, PROT_READ), 0);
	EQ(mprotect(p + 3 * PG, PG, PROT_NONE), 0);
	for (int i = 0; i < 8; i++) {
		EQ(try_read(p + i * PG, NULL), i == 3 ? SIGSEGV : 0);
		EQ(try_write(p + i * PG + 9, 1, NULL), i % 2 == 0 || i == 3 ? SIGSEGV : 0);
		if (i != 3)
			EQ(p[i * PG + 8], i);
	}
	EQ(mprotect(p, 8 * PG, PROT_READ | PROT_WRITE), 0);
	for (int i = 0; i < 8; i++) {
		EQ(p[i * PG], i);
		EQ(p[i * PG + 9], i % 2 == 0 || i == 3 ? i : 1);
		p[i * PG + 9] = 2;
	}
	/* One area again. */
	EQ(madvise(p, 8 * PG, MADV_DONTNEED), 0);
	DONE(zeropage(fd, p, 8 * PG, 0), 8 * PG);
	ERR(mprotect(p, PG, 0x100), EINVAL);
	CHECK(quiet(fd));
	return 0;
}
