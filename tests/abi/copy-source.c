/* SPDX-License-Identifier: MIT */
/* The source of COPY: any alignment, and EFAULT where it cannot be read. */
#include "abi.h"

int main(void)
{
	start();
	int fd = uffd_open(0);
	char *p = map(8), *src = map(3);
	for (size_t i = 0; i < 3 * PG; i++)
		src[i] = i % 251;
	EQ(reg(fd, p, 8 * PG, MISSING), 0);

	DONE(copy(fd, p, src + 123, 2 * PG, 0), 2 * PG);
	EQ(memcmp(p, src + 123, 2 * PG), 0);
	/* The last byte falls out of the source. */
	PARTLY(copy(fd, p + 2 * PG, src + PG + 1, 2 * PG, 0), PG);
	EQ(memcmp(p + 2 * PG, src + PG + 1, PG), 0);

	p += 4 * PG;
	FAILS(copy(fd, p, NULL, PG, 0), EFAULT);
	FAILS(copy(fd, p, map_prot(1, PROT_NONE), PG, 0), EFAULT);
	CHECK(!populated(p));
	/* Read-only is enough, and so is memory that was never written. */
	EQ(mprotect(src, 3 * PG, PROT_READ), 0);
	DONE(copy(fd, p, src, PG, 0), PG);
	DONE(copy(fd, p + PG, map(1), PG, 0), PG);
	CHECK(all(p + PG, PG, 0));
	return 0;
}
