/* SPDX-License-Identifier: MIT */
/* COPY with DONTWAKE fills, and leaves the waiters to UFFDIO_WAKE. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	reader(&t, p);
	FAULT(fd, p, 0);
	CHECK(blocked(&t));
	DONE(copy(fd, p, page_of(8), PG, UFFDIO_COPY_MODE_DONTWAKE), PG);
	EQ(p[5], 8);
	CHECK(blocked(&t));
	EQ(wake(fd, p, PG), 0);
	join(&t);
	EQ(t.byte, 8);
	CHECK(quiet(fd));
	return 0;
}
