/* SPDX-License-Identifier: MIT */
/* WRITEPROTECT walks over several areas and holes, up to the first area that is not registered for
 * it. */
#include "abi.h"

static bool is_protected(const char *p)
{
	return pagemap(p) & PM_UFFD_WP;
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0);
	char *p = map(6);
	memset(p, 1, 6 * PG);
	EQ(munmap(p, PG), 0);
	EQ(munmap(p + 2 * PG, PG), 0);
	EQ(mprotect(p + 3 * PG, PG, PROT_READ), 0);
	EQ(reg(fd, p, 5 * PG, WP), 0);

	EQ(protect(fd, p, 5 * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	CHECK(is_protected(p + PG));
	CHECK(is_protected(p + 3 * PG));
	CHECK(is_protected(p + 4 * PG));
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), ENOENT);
	EQ(protect(fd, p, 5 * PG, 0), 0);
	CHECK(!is_protected(p + PG));
	CHECK(!is_protected(p + 3 * PG));

	/* The last page is not registered: what came before it is done all the same. */
	EQ(protect(fd, p, 6 * PG, UFFDIO_WRITEPROTECT_MODE_WP), ENOENT);
	CHECK(is_protected(p + PG));
	CHECK(is_protected(p + 4 * PG));
	CHECK(!is_protected(p + 5 * PG));
	p[5 * PG] = 2;
	CHECK(quiet(fd));
	return 0;
}
