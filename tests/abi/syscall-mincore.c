/* SPDX-License-Identifier: MIT */
/* mincore asks for nothing: a missing page is simply not there. */
#include "abi.h"

int main(void)
{
	unsigned char there[3];

	start();
	int fd = uffd_open(0);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	DONE(copy(fd, p + PG, page_of(1), PG, 0), PG);
	EQ(mincore(p, 3 * PG, there), 0);
	EQ(there[0] & 1, 0);
	EQ(there[1] & 1, 1);
	EQ(there[2] & 1, 0);
	CHECK(quiet(fd));
	return 0;
}
