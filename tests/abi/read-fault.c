/* SPDX-License-Identifier: MIT */
/* read into memory that cannot be written: EFAULT, and a wake posts the fault again. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(1), *closed = map_prot(1, PROT_READ);
	EQ(reg(fd, p, PG, MISSING), 0);
	reader(&t, p);
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	EQ(poll(&ready, 1, -1), 1);
	CHECK(blocked(&t));
	ERR(read(fd, closed, 32), EFAULT);
	EQ(wake(fd, p, PG), 0);
	FAULT(fd, p, 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);
	CHECK(quiet(fd));
	return 0;
}
