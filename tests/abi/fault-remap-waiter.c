/* SPDX-License-Identifier: MIT */
/* Other memory moved over the page that a thread waits for: once woken, it uses that. */
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
	/* Filled elsewhere and put in place whole, so that it does not matter when the waiter
	 * looks. */
	char *other = page_of(0x77);
	EQ((intptr_t)mremap(other, PG, PG, MREMAP_MAYMOVE | MREMAP_FIXED, p), (intptr_t)p);
	EQ(wake(fd, p, PG), 0);
	join(&t);
	EQ(t.byte, 0x77);
	CHECK(quiet(fd));
	return 0;
}
