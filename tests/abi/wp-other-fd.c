/* SPDX-License-Identifier: MIT */
/* WRITEPROTECT does not ask whose area it is, but wakes only its own waiters. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0), other = uffd_open(0);
	char *p = page_of(1);
	EQ(reg(fd, p, PG, WP), 0);
	EQ(protect(other, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	writer(&t, p, 2);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	CHECK(blocked(&t));
	EQ(protect(other, p, PG, 0), 0);
	CHECK(blocked(&t));
	EQ(protect(fd, p, PG, 0), 0);
	join(&t);
	EQ(p[0], 2);
	CHECK(quiet(other));
	return 0;
}
