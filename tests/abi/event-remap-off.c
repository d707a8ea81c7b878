/* SPDX-License-Identifier: MIT */
/* Without EVENT_REMAP a moved range is no longer registered, and its marks are gone. */
#include "abi.h"

int main(void)
{
	start();
	int fd = uffd_open(UFFD_FEATURE_WP_UNPOPULATED);
	char *p = map(3), *to = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING | WP), 0);
	DONE(copy(fd, p + PG, page_of(5), PG, UFFDIO_COPY_MODE_WP), PG);
	EQ(protect(fd, p + 2 * PG, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ((long)mremap(p, 3 * PG, 3 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, to), (long)to);
	for (int i = 0; i < 3; i++)
		EQ(pagemap(to + i * PG) & PM_UFFD_WP, 0);
	EQ(to[0], 0);
	EQ(to[PG], 5);
	memset(to, 2, 3 * PG);
	CHECK(quiet(fd));
	FAILS(copy(fd, to, page_of(1), PG, 0), ENOENT);
	EQ(try_read(p, NULL), SIGSEGV);
	return 0;
}
