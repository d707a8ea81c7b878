/* SPDX-License-Identifier: MIT */
/* A fault that was resolved before anybody read it is gone from the queue. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(4);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	for (int i = 0; i < 3; i++) {
		reader(&t, p + i * PG);
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		EQ(poll(&ready, 1, -1), 1);
		if (i == 0)
			DONE(copy(fd, p, page_of(1), PG, 0), PG);
		else if (i == 1)
			DONE(zeropage(fd, p + PG, PG, 0), PG);
		else
			EQ(unreg(fd, p + 2 * PG, PG), 0);
		join(&t);
		CHECK(quiet(fd));
	}
	return 0;
}
