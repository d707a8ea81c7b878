/* SPDX-License-Identifier: MIT */
/* munmap, mprotect and madvise over ranges of which a part is registered. */
#include "abi.h"

static void expect_missing(int fd, char *page)
{
	struct thread t;

	reader(&t, page);
	FAULT(fd, page, 0);
	DONE(copy(fd, page, page_of(0x66), PG, 0), PG);
	join(&t);
	EQ(t.byte, 0x66);
}

int main(void)
{
	start();
	int fd = uffd_open(0);
	char *p = map(12);
	memset(p, 1, 12 * PG);
	/* Unregistered on both sides: 0-3 and 8-11. */
	EQ(reg(fd, p + 4 * PG, 4 * PG, MISSING), 0);

	EQ(madvise(p + 2 * PG, 4 * PG, MADV_DONTNEED), 0);
	CHECK(all(p, 2 * PG, 1));
	CHECK(all(p + 2 * PG, 2 * PG, 0));
	expect_missing(fd, p + 4 * PG);
	CHECK(all(p + 6 * PG, 6 * PG, 1));

	EQ(mprotect(p + 3 * PG, 6 * PG, PROT_READ), 0);
	EQ(try_write(p + 2 * PG, 2, NULL), 0);
	for (int i = 3; i < 9; i++)
		EQ(try_write(p + i * PG, 2, NULL), SIGSEGV);
	EQ(try_write(p + 9 * PG, 2, NULL), 0);
	expect_missing(fd, p + 5 * PG);
	EQ(mprotect(p + 3 * PG, 6 * PG, PROT_READ | PROT_WRITE), 0);
	for (int i = 3; i < 9; i++)
		EQ(try_write(p + i * PG, 3, NULL), 0);
	CHECK(all(p + 7 * PG + 1, PG - 1, 1));

	EQ(munmap(p + 7 * PG, 2 * PG), 0);
	EQ(try_read(p + 7 * PG, NULL), SIGSEGV);
	EQ(try_read(p + 8 * PG, NULL), SIGSEGV);
	EQ(p[6 * PG], 3);
	EQ(p[9 * PG], 2);
	/* Holes: all that is mapped is advised or protected, and the call says ENOMEM. */
	ERR(madvise(p + 6 * PG, 4 * PG, MADV_DONTNEED), ENOMEM);
	expect_missing(fd, p + 6 * PG);
	EQ(p[9 * PG], 0);
	ERR(mprotect(p + 6 * PG, 4 * PG, PROT_READ), ENOMEM);
	EQ(try_write(p + 6 * PG, 2, NULL), SIGSEGV);
	/* munmap does not mind them. */
	EQ(munmap(p + 2 * PG, 9 * PG), 0);
	EQ(p[PG], 1);
	EQ(p[11 * PG], 1);
	EQ(try_read(p + 4 * PG, NULL), SIGSEGV);
	CHECK(quiet(fd));
	return 0;
}
