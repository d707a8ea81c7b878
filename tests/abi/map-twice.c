/* SPDX-License-Identifier: MIT */
/* A range that is mapped over again and again is registered anew each time. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(3);
	for (int i = 1; i <= 5; i++) {
		EQ(reg(fd, p, 3 * PG, MISSING), 0);
		DONE(copy(fd, p, page_of(i), PG, 0), PG);
		reader(&t, p + PG);
		FAULT(fd, p + PG, 0);
		DONE(copy(fd, p + PG, page_of(-i), PG, 0), PG);
		join(&t);
		EQ(t.byte, 256 - i);
		EQ((long)mmap(p, 3 * PG, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		   (long)p);
		CHECK(all(p, 3 * PG, 0));
		memset(p + 2 * PG, i, PG);
		CHECK(quiet(fd));
		EQ((long)mmap(p, 3 * PG, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		   (long)p);
		EQ((long)mmap(p, PG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			      -1, 0),
		   -1);
		EQ(errno, EEXIST);
	}
	return 0;
}
