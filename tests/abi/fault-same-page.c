/* SPDX-License-Identifier: MIT */
/* Two threads on one page queue two messages; one fill releases both. */
#include "abi.h"

int main(void)
{
	struct thread t[2];

	start();
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	reader(&t[0], p + 8);
	FAULT(fd, p, 0);
	writer(&t[1], p + 16, 9);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE);
	CHECK(blocked(&t[0]));
	CHECK(blocked(&t[1]));
	CHECK(quiet(fd));
	DONE(copy(fd, p, page_of(3), PG, 0), PG);
	join(&t[0]);
	join(&t[1]);
	EQ(t[0].byte, 3);
	EQ(p[16], 9);
	EQ(p[17], 3);
	CHECK(quiet(fd));
	return 0;
}
