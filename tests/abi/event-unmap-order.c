/* SPDX-License-Identifier: MIT */
/* The event comes after the unmapping, and the call has not returned while it is unread. */
#include "abi.h"

int main(void)
{
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	call_munmap(&c, p, PG);
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	EQ(poll(&ready, 1, -1), 1);
	EQ(try_read(p, NULL), SIGSEGV);
	CHECK(!c.thread.done);
	EQ(poll(&ready, 1, 0), 1);
	EVENT(fd, UFFD_EVENT_UNMAP, p, p + PG, 0);
	EQ(returned(&c), 0);
	return 0;
}
