/* SPDX-License-Identifier: MIT */
/* COPY with MODE_WP: the page arrives protected, and needs an area registered for it. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0);
	char *p = map(4), *src = map(2);
	memset(src, 3, 2 * PG);
	EQ(reg(fd, p, 2 * PG, MISSING | WP), 0);
	EQ(reg(fd, p + 2 * PG, 2 * PG, MISSING), 0);
	FAILS(copy(fd, p + 2 * PG, src, PG, UFFDIO_COPY_MODE_WP), EINVAL);
	CHECK(!populated(p + 2 * PG));

	DONE(copy(fd, p, src, 2 * PG, UFFDIO_COPY_MODE_WP), 2 * PG);
	CHECK(pagemap(p) & PM_UFFD_WP);
	CHECK(all(p, 2 * PG, 3));
	writer(&t, p, 4);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, p, PG, 0), 0);
	join(&t);
	EQ(p[0], 4);
	EQ(pagemap(p) & PM_UFFD_WP, 0);
	CHECK(pagemap(p + PG) & PM_UFFD_WP);
	return 0;
}
