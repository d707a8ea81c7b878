/* SPDX-License-Identifier: MIT */
/* COPY works through any userfaultfd of the process, but wakes only its own waiters. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0), other = uffd_open(0);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	reader(&t, p);
	FAULT(fd, p, 0);
	CHECK(blocked(&t));
	CHECK(quiet(other));
	DONE(copy(other, p, page_of(5), PG, 0), PG);
	EQ(p[1], 5);
	CHECK(blocked(&t));
	EQ(wake(other, p, PG), 0);
	CHECK(blocked(&t));
	EQ(wake(fd, p, PG), 0);
	join(&t);
	EQ(t.byte, 5);
	DONE(zeropage(other, p + PG, PG, 0), PG);
	EQ(p[PG], 0);
	return 0;
}
