/* SPDX-License-Identifier: MIT */
/* What ZEROPAGE refuses, and what its output field then holds; its DONTWAKE. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(2);
	FAILS(zeropage(fd, p, PG, 0), ENOENT);
	EQ(reg(fd, p, PG, MISSING), 0);
	REFUSED(zeropage(fd, p + 1, PG, 0), EINVAL);
	REFUSED(zeropage(fd, p, PG - 1, 0), EINVAL);
	REFUSED(zeropage(fd, p, 0, 0), EINVAL);
	REFUSED(zeropage(fd, p, PG, 2), EINVAL);
	FAILS(zeropage(fd, p, 2 * PG, 0), ENOENT);
	FAILS(zeropage(fd, p + PG, PG, 0), ENOENT);
	CHECK(!populated(p));

	reader(&t, p);
	FAULT(fd, p, 0);
	CHECK(blocked(&t));
	DONE(zeropage(fd, p, PG, UFFDIO_ZEROPAGE_MODE_DONTWAKE), PG);
	CHECK(blocked(&t));
	EQ(wake(fd, p, PG), 0);
	join(&t);
	return 0;
}
