/* SPDX-License-Identifier: MIT */
/* CHECK_WPASYNC insists on WP_ASYNC areas; without it others are left alone. */
#include "abi.h"

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_ASYNC);
	int fd = uffd_open(0), async = uffd_open(UFFD_FEATURE_WP_ASYNC);
	char *p = map(3);
	memset(p, 1, 3 * PG);
	EQ(reg(fd, p, PG, WP), 0);
	EQ(reg(async, p + PG, PG, WP), 0);

	struct scan_arg arg = {
		.flags = SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC,
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + 3 * PG,
		.category_mask = CAT_PRESENT,
		.return_mask = CAT_PRESENT,
	};
	EQ(scan(&arg), -EPERM);
	CHECK(!(pagemap(p) & PM_UFFD_WP));
	arg.flags = SCAN_WP_MATCHING;
	EQ(scan(&arg), 0);
	CHECK(!(pagemap(p) & PM_UFFD_WP));
	CHECK(pagemap(p + PG) & PM_UFFD_WP);
	CHECK(!(pagemap(p + 2 * PG) & PM_UFFD_WP));
	arg.start += PG;
	arg.end -= PG;
	arg.flags |= SCAN_CHECK_WPASYNC;
	EQ(scan(&arg), 0);
	memset(p, 2, 3 * PG);
	CHECK(quiet(fd));
	CHECK(quiet(async));
	return 0;
}
