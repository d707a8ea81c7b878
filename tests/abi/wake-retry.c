/* SPDX-License-Identifier: MIT */
/* A wake without a fill makes the waiter try again: a second message. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	writer(&t, p, 1);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE);
	for (int i = 0; i < 3; i++) {
		EQ(wake(fd, p, PG), 0);
		FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE);
		CHECK(quiet(fd));
	}
	DONE(copy(fd, p, page_of(0), PG, 0), PG);
	join(&t);
	return 0;
}
