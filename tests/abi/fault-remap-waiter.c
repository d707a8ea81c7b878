/* SPDX-License-Identifier: MIT */
/* Other memory mapped over the page that a thread waits for: once woken, it uses that. */
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
	EQ((intptr_t)mmap(p, PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			  -1, 0),
	   (intptr_t)p);
	p[0] = 0x77;
	CHECK(blocked(&t));
	EQ(wake(fd, p, PG), 0);
	join(&t);
	EQ(t.byte, 0x77);
	CHECK(quiet(fd));
	return 0;
}
