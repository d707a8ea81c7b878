/* SPDX-License-Identifier: MIT */
/* Without the features nothing is reported and nothing waits. */
#include "abi.h"

int main(void)
{
	start();
	int fd = uffd_open(0);
	char *p = map(5), *src = page_of(5);
	EQ(reg(fd, p, 5 * PG, MISSING), 0);
	for (int i = 0; i < 5; i++)
		DONE(copy(fd, p + i * PG, src, PG, 0), PG);
	EQ(madvise(p, PG, MADV_DONTNEED), 0);
	EQ(munmap(p + PG, PG), 0);
	EQ((long)mmap(p + 2 * PG, PG, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
	   (long)(p + 2 * PG));
	EQ(madvise(p + 3 * PG, PG, MADV_FREE), 0);
	CHECK(quiet(fd));
	EQ(p[2 * PG], 0);
	EQ(try_read(p + PG, NULL), SIGSEGV);
	EQ(p[4 * PG], 5);
	DONE(copy(fd, p, src, PG, 0), PG);
	return 0;
}
