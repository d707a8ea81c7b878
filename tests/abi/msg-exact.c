/* SPDX-License-Identifier: MIT */
/* EXACT_ADDRESS: messages carry the address itself, and a wake must hit it. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(UFFD_FEATURE_EXACT_ADDRESS);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	reader(&t, p + PG + 0x123);
	FAULT(fd, p + PG + 0x123, 0);
	CHECK(blocked(&t));
	EQ(wake(fd, p, PG), 0);
	CHECK(blocked(&t));
	EQ(wake(fd, p + PG, PG), 0);
	FAULT(fd, p + PG + 0x123, 0);
	DONE(copy(fd, p + PG, page_of(4), PG, 0), PG);
	join(&t);
	EQ(t.byte, 4);

	if (uffd_features() & UFFD_FEATURE_PAGEFAULT_FLAG_WP) {
		EQ(reg(fd, p, 2 * PG, MISSING | WP), 0);
		EQ(protect(fd, p + PG, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
		writer(&t, p + 2 * PG - 1, 1);
		FAULT(fd, p + 2 * PG - 1, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
		EQ(protect(fd, p + PG, PG, 0), 0);
		join(&t);
	}
	return 0;
}
