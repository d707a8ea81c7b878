/* SPDX-License-Identifier: MIT */
/* ZEROPAGE: the waiter reads zeros, and later writes are ordinary ones. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(4);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	reader(&t, p + PG + 1);
	FAULT(fd, p + PG, 0);
	DONE(zeropage(fd, p, 2 * PG, 0), 2 * PG);
	join(&t);
	EQ(t.byte, 0);
	CHECK(all(p, 2 * PG, 0));
	memset(p, 3, 2 * PG);
	CHECK(all(p, 2 * PG, 3));
	CHECK(quiet(fd));

	FAILS(zeropage(fd, p, PG, 0), EEXIST);
	DONE(copy(fd, p + 3 * PG, page_of(1), PG, 0), PG);
	PARTLY(zeropage(fd, p + 2 * PG, 2 * PG, 0), PG);

	/* A write that waits for the page is resolved by it as well. */
	char *q = map(1);
	EQ(reg(fd, q, PG, MISSING), 0);
	writer(&t, q, 7);
	FAULT(fd, q, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(zeropage(fd, q, PG, 0), PG);
	join(&t);
	EQ(q[0], 7);
	CHECK(all(q + 1, PG - 1, 0));
	CHECK(quiet(fd));
	return 0;
}
