/* SPDX-License-Identifier: MIT */
/* Where huge pages are wanted, faults and fills still go by base pages. */
#include "abi.h"

#define SIZE (2ul << 20)

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *area = map(3 * SIZE / PG), *src = map(SIZE / PG);
	char *p = (char *)(((uintptr_t)area + SIZE - 1) & -SIZE);
	madvise(p, 2 * SIZE, MADV_HUGEPAGE);
	memset(src, 7, SIZE);
	EQ(reg(fd, p, 2 * SIZE, MISSING), 0);
	reader(&t, p + SIZE + 9 * PG + 77);
	FAULT(fd, p + SIZE + 9 * PG, 0);
	DONE(copy(fd, p + SIZE + 9 * PG, src, PG, 0), PG);
	join(&t);
	CHECK(!populated(p + SIZE + 8 * PG));
	DONE(copy(fd, p, src, SIZE, 0), SIZE);
	CHECK(all(p, SIZE, 7));
	PARTLY(copy(fd, p + SIZE, src, SIZE, 0), 9 * PG);
	DONE(zeropage(fd, p + SIZE + 10 * PG, SIZE - 10 * PG, 0), SIZE - 10 * PG);
	CHECK(all(p + SIZE, 10 * PG, 7));
	CHECK(all(p + SIZE + 10 * PG, SIZE - 10 * PG, 0));
	CHECK(quiet(fd));
	return 0;
}
