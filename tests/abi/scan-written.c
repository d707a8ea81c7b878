/* SPDX-License-Identifier: MIT */
/* WP_ASYNC and PAGEMAP_SCAN: which pages were written since the last look. */
#include "abi.h"

static struct scan_region r[8];

static long written(char *p, size_t pages, uint64_t flags)
{
	struct scan_arg arg = {
		.flags = flags,
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + pages * PG,
		.vec = (uintptr_t)r,
		.vec_len = 8,
		.category_mask = CAT_WRITTEN,
		.return_mask = CAT_WRITTEN,
	};
	long n = scan(&arg);

	EQ(arg.walk_end, arg.end);
	return n;
}

int main(void)
{
	start();
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);
	char *p = map(8);
	uintptr_t base = (uintptr_t)p;
	p[0] = p[PG] = 1;
	EQ(reg(fd, p, 8 * PG, WP), 0);

	/* All unmarked, empty or not: written. The look marks them. */
	EQ(written(p, 8, SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC), 1);
	EQ(r[0].start, base);
	EQ(r[0].end, base + 8 * PG);
	EQ(written(p, 8, 0), 0);

	EQ(p[4 * PG], 0);
	p[PG] = 2;
	p[5 * PG] = p[6 * PG] = 2;
	EQ(written(p, 8, 0), 2);
	EQ(written(p, 8, SCAN_WP_MATCHING), 2);
	EQ(r[0].start, base + PG);
	EQ(r[0].end, base + 2 * PG);
	EQ(r[1].start, base + 5 * PG);
	EQ(r[1].end, base + 7 * PG);
	EQ(r[1].categories, CAT_WRITTEN);
	EQ(written(p, 8, SCAN_WP_MATCHING), 0);
	CHECK(pagemap(p + PG) & PM_UFFD_WP);
	p[6 * PG] = 3;
	EQ(written(p + 4 * PG, 4, 0), 1);
	EQ(r[0].start, base + 6 * PG);
	EQ(p[PG], 2);
	CHECK(quiet(fd));

	/* A page that is dropped counts as written. */
	EQ(madvise(p, PG, MADV_DONTNEED), 0);
	EQ(written(p, 2, 0), 1);
	EQ(r[0].start, base);
	EQ(r[0].end, base + PG);
	return 0;
}
