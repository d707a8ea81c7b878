/* SPDX-License-Identifier: MIT */
/* UNREGISTER removes write protection; a write-protect waiter sleeps on until it is woken. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_UNPOPULATED);
	int fd = uffd_open(UFFD_FEATURE_WP_UNPOPULATED);
	char *p = map(2);
	p[0] = 1;
	EQ(reg(fd, p, 2 * PG, WP), 0);
	EQ(protect(fd, p, 2 * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	writer(&t, p, 2);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	CHECK(blocked(&t));
	EQ(unreg(fd, p, 2 * PG), 0);
	EQ(pagemap(p) & PM_UFFD_WP, 0);
	EQ(pagemap(p + PG) & PM_UFFD_WP, 0);
	p[1] = 3;
	p[PG] = 3;
	CHECK(blocked(&t));
	EQ(wake(fd, p, PG), 0);
	join(&t);
	EQ(p[0], 2);
	EQ(p[1], 3);
	CHECK(quiet(fd));
	return 0;
}
