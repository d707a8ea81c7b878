/* SPDX-License-Identifier: MIT */
/* Unregistering and closing make read-write-protected pages ordinary again. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(UFFD_FEATURE_RWP);
	char *p = map(2);
	memset(p, 1, 2 * PG);
	EQ(reg(fd, p, 2 * PG, RWP), 0);
	EQ(rwprotect(fd, p, 2 * PG, UFFDIO_RWPROTECT_MODE_RWP), 0);
	EQ(mprotect(p, PG, PROT_READ), 0);
	EQ(mprotect(p, PG, PROT_READ | PROT_WRITE), 0);
	reader(&t, p + PG);
	FAULT(fd, p + PG, UFFD_PAGEFAULT_FLAG_RWP);
	EQ(unreg(fd, p, PG), 0);
	EQ(p[0], 1);
	CHECK(quiet(fd));
	CHECK(blocked(&t));
	close(fd);
	join(&t);
	EQ(t.byte, 1);
	p[PG] = 2;
	return 0;
}
