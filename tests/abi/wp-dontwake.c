/* SPDX-License-Identifier: MIT */
/* Taking protection away with DONTWAKE leaves the waiter asleep. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0);
	char *p = page_of(1);
	EQ(reg(fd, p, PG, WP), 0);
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	writer(&t, p, 2);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	CHECK(blocked(&t));
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_DONTWAKE), 0);
	p[1] = 3;
	CHECK(blocked(&t));
	EQ(wake(fd, p, PG), 0);
	join(&t);
	EQ(p[0], 2);

	/* A wake alone does not help: the page is still protected. */
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	writer(&t, p, 4);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(wake(fd, p, PG), 0);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, p, PG, 0), 0);
	join(&t);
	EQ(p[0], 4);
	return 0;
}
