/* SPDX-License-Identifier: MIT */
/* A wake reaches the waiters in its range and no others. */
#include "abi.h"

int main(void)
{
	struct thread t[3];

	start();
	int fd = uffd_open(0);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	for (int i = 0; i < 3; i++) {
		reader(&t[i], p + i * PG);
		FAULT(fd, p + i * PG, 0);
	}
	EQ(wake(fd, p + PG, PG), 0);
	FAULT(fd, p + PG, 0);
	CHECK(blocked(&t[0]));
	CHECK(blocked(&t[2]));
	CHECK(quiet(fd));

	/* Ranges without waiters, registered or not, are fine. */
	EQ(wake(fd, map(4), 4 * PG), 0);
	DONE(zeropage(fd, p, 3 * PG, 0), 3 * PG);
	for (int i = 0; i < 3; i++)
		join(&t[i]);
	return 0;
}
