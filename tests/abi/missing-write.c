/* SPDX-License-Identifier: MIT */
/* A write to a missing page: message 1; the write lands on top of what COPY put there. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	writer(&t, p + 9, 0x33);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, p, page_of(0x61), PG, 0), PG);
	join(&t);
	CHECK(quiet(fd));
	EQ(p[9], 0x33);
	CHECK(all(p, 9, 0x61));
	CHECK(all(p + 10, PG - 10, 0x61));
	return 0;
}
