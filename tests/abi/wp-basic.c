/* SPDX-License-Identifier: MIT */
/* Write protection: reads pass, a write waits with flags 3 until the protection is taken away. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0);
	char *p = map(3);
	memset(p, 4, 3 * PG);
	EQ(reg(fd, p, 3 * PG, WP), 0);
	p[0] = 5;
	CHECK(quiet(fd));

	EQ(protect(fd, p, 3 * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(p[0], 5);
	CHECK(all(p + PG, 2 * PG, 4));
	CHECK(quiet(fd));
	writer(&t, p + PG + 7, 6);
	FAULT(fd, p + PG, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	CHECK(blocked(&t));
	EQ(p[PG + 7], 4);
	EQ(protect(fd, p + PG, PG, 0), 0);
	join(&t);
	EQ(p[PG + 7], 6);
	p[PG] = 1;
	CHECK(quiet(fd));

	/* Its neighbours stay protected. */
	writer(&t, p + 2 * PG, 1);
	FAULT(fd, p + 2 * PG, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, p, 3 * PG, 0), 0);
	join(&t);
	p[0] = 1;
	CHECK(quiet(fd));
	return 0;
}
