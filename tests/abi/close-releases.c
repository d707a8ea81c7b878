/* SPDX-License-Identifier: MIT */
/* The last close lets all waiters go on with ordinary memory, message read or not. */
#include "abi.h"

int main(void)
{
	struct thread t[3];

	start();
	int fd = uffd_open(0);
	char *p = map(4);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	DONE(copy(fd, p + 3 * PG, page_of(5), PG, 0), PG);
	reader(&t[0], p);
	FAULT(fd, p, 0);
	writer(&t[1], p + PG, 9);
	FAULT(fd, p + PG, UFFD_PAGEFAULT_FLAG_WRITE);
	reader(&t[2], p + 2 * PG);
	for (int i = 0; i < 3; i++)
		CHECK(blocked(&t[i]));
	close(fd);
	for (int i = 0; i < 3; i++)
		join(&t[i]);
	EQ(t[0].byte, 0);
	EQ(p[PG], 9);
	EQ(t[2].byte, 0);
	CHECK(all(p + 3 * PG, PG, 5));

	/* The range is free again. */
	fd = uffd_open(0);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	FAILS(copy(fd, p, page_of(1), PG, 0), EEXIST);
	return 0;
}
