/* SPDX-License-Identifier: MIT */
/* A read-write-protected page keeps its contents, and any access to it waits. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(UFFD_FEATURE_RWP);
	char *p = map(2);
	memset(p, 4, 2 * PG);
	CHECK(reg_out(fd, p, 2 * PG, RWP).out & 1 << _UFFDIO_RWPROTECT);
	p[0] = 5;
	CHECK(quiet(fd));
	EQ(rwprotect(fd, p, 2 * PG, UFFDIO_RWPROTECT_MODE_RWP), 0);
	reader(&t, p);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_RWP);
	CHECK(blocked(&t));
	EQ(rwprotect(fd, p, PG, 0), 0);
	join(&t);
	EQ(t.byte, 5);
	p[1] = 6;
	CHECK(quiet(fd));

	writer(&t, p + PG, 7);
	struct uffd_msg msg = next_msg(fd);
	EQ(msg.event, UFFD_EVENT_PAGEFAULT);
	EQ(msg.pagefault.address, (uintptr_t)p + PG);
	EQ(msg.pagefault.flags & ~UFFD_PAGEFAULT_FLAG_WRITE, UFFD_PAGEFAULT_FLAG_RWP);
	CHECK(blocked(&t));
	EQ(rwprotect(fd, p + PG, PG, UFFDIO_RWPROTECT_MODE_DONTWAKE), 0);
	EQ(p[PG + 1], 4);
	CHECK(blocked(&t));
	EQ(wake(fd, p + PG, PG), 0);
	join(&t);
	EQ(p[PG], 7);
	CHECK(quiet(fd));
	return 0;
}
