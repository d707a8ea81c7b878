/* SPDX-License-Identifier: MIT */
/* MISSING and a mark on one page: first the missing fault; filled with MODE_WP, then the other. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(UFFD_FEATURE_WP_UNPOPULATED);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING | WP), 0);
	EQ(protect(fd, p, 2 * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);

	writer(&t, p, 7);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, p, page_of(1), PG, UFFDIO_COPY_MODE_WP), PG);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, p, PG, 0), 0);
	join(&t);
	EQ(p[0], 7);
	EQ(p[1], 1);

	/* A read of a marked empty page is a missing fault as well. */
	reader(&t, p + PG);
	FAULT(fd, p + PG, 0);
	DONE(copy(fd, p + PG, page_of(2), PG, 0), PG);
	join(&t);
	EQ(t.byte, 2);
	p[PG] = 3;
	CHECK(quiet(fd));
	return 0;
}
