/* SPDX-License-Identifier: MIT */
/* The last close takes write protection away, and releases who waits for it. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_UNPOPULATED);
	int fd = uffd_open(UFFD_FEATURE_WP_UNPOPULATED);
	char *p = map(3);
	memset(p, 1, 2 * PG);
	EQ(reg(fd, p, 3 * PG, WP), 0);
	EQ(protect(fd, p, 3 * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	CHECK(pagemap(p) & PM_UFFD_WP);
	writer(&t, p, 2);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	CHECK(blocked(&t));
	close(fd);
	join(&t);
	EQ(p[0], 2);
	for (int i = 0; i < 3; i++)
		EQ(pagemap(p + i * PG) & PM_UFFD_WP, 0);
	EQ(p[PG], 1);
	memset(p + PG, 3, 2 * PG);
	return 0;
}
