/* SPDX-License-Identifier: MIT */
/* UNREGISTER of the middle leaves both sides registered. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(5);
	EQ(reg(fd, p, 5 * PG, MISSING), 0);
	EQ(unreg(fd, p + 2 * PG, PG), 0);
	p[2 * PG] = 1;
	CHECK(quiet(fd));
	FAILS(copy(fd, p + PG, p, 2 * PG, 0), ENOENT);
	FAILS(copy(fd, p + 2 * PG, page_of(1), PG, 0), ENOENT);
	for (int i = 1; i < 5; i += 2) {
		writer(&t, p + i * PG, 1);
		FAULT(fd, p + i * PG, UFFD_PAGEFAULT_FLAG_WRITE);
		DONE(zeropage(fd, p + i * PG, PG, 0), PG);
		join(&t);
	}
	EQ(reg(fd, p + 2 * PG, PG, MISSING), 0);
	EQ(p[2 * PG], 1);
	DONE(zeropage(fd, p, PG, 0), PG);
	DONE(zeropage(fd, p + 4 * PG, PG, 0), PG);
	return 0;
}
