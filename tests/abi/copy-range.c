/* SPDX-License-Identifier: MIT */
/* The destination of COPY is one registered area: everything else is ENOENT. */
#include "abi.h"

int main(void)
{
	start();
	int fd = uffd_open(0);
	char *p = map(6), *src = map(6);
	memset(src, 5, 6 * PG);

	FAILS(copy(fd, p, src, PG, 0), ENOENT);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	FAILS(copy(fd, p + 2 * PG, src, PG, 0), ENOENT);
	/* Past the end of the area: nothing at all is done. */
	FAILS(copy(fd, p, src, 3 * PG, 0), ENOENT);
	CHECK(!populated(p));
	/* Across two areas that differ in protection. */
	EQ(reg(fd, p, 6 * PG, MISSING), 0);
	EQ(mprotect(p + 3 * PG, PG, PROT_READ), 0);
	FAILS(copy(fd, p, src, 4 * PG, 0), ENOENT);
	CHECK(!populated(p));
	/* Alike again, they are one again. */
	EQ(mprotect(p + 3 * PG, PG, PROT_READ | PROT_WRITE), 0);
	DONE(copy(fd, p, src, 4 * PG, 0), 4 * PG);
	/* A hole at the end, and nothing mapped. */
	EQ(munmap(p + 5 * PG, PG), 0);
	FAILS(copy(fd, p + 4 * PG, src, 2 * PG, 0), ENOENT);
	FAILS(copy(fd, p + 5 * PG, src, PG, 0), ENOENT);
	DONE(copy(fd, p + 4 * PG, src, PG, 0), PG);
	return 0;
}
