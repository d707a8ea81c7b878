/* SPDX-License-Identifier: MIT */
/* A range with unmapped parts is registered where it is mapped. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(5);
	EQ(munmap(p, PG), 0);
	EQ(munmap(p + 2 * PG, PG), 0);
	EQ(munmap(p + 4 * PG, PG), 0);
	EQ(reg(fd, p, 5 * PG, MISSING), 0);
	for (int i = 1; i < 4; i += 2) {
		reader(&t, p + i * PG);
		FAULT(fd, p + i * PG, 0);
		DONE(copy(fd, p + i * PG, page_of(i), PG, 0), PG);
		join(&t);
		EQ(t.byte, i);
	}
	FAILS(copy(fd, p + 2 * PG, page_of(1), PG, 0), ENOENT);

	/* What is mapped there later is not registered. */
	EQ((intptr_t)mmap(p + 2 * PG, PG, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
	   (intptr_t)(p + 2 * PG));
	p[2 * PG] = 1;
	CHECK(quiet(fd));

	/* Nor is anything in a range that holds only holes; unregistering tells the same. */
	EQ(reg(fd, p + 4 * PG, PG, MISSING), EINVAL);
	EQ(unreg(fd, p + 4 * PG, PG), EINVAL);
	EQ(unreg(fd, p, 5 * PG), 0);
	EQ(munmap(p + 2 * PG, PG), 0);
	EQ(p[3 * PG], 3);
	return 0;
}
