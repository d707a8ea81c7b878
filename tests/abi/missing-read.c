/* SPDX-License-Identifier: MIT */
/* A read of a missing page: message 0, the page's address, and what COPY put there is read. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	CHECK(quiet(fd));
	reader(&t, p + PG + 100);
	struct uffd_msg msg = next_msg(fd);
	fault_at(__FILE__, __LINE__, msg, p + PG, 0);
	EQ(msg.pagefault.ptid, 0);
	CHECK(quiet(fd));
	CHECK(blocked(&t));
	DONE(copy(fd, p + PG, page_of(0x61), PG, 0), PG);
	join(&t);
	EQ(t.byte, 0x61);
	CHECK(quiet(fd));
	CHECK(all(p + PG, PG, 0x61));
	CHECK(!populated(p));
	CHECK(!populated(p + 2 * PG));
	return 0;
}
