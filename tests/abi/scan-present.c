/* SPDX-License-Identifier: MIT */
/* PAGEMAP_SCAN finds present pages, joins neighbours, and stops where it is told to. */
#include "abi.h"

int main(void)
{
	struct scan_region r[8];

	start();
	int fd = uffd_open(0);
	char *p = map(10);
	EQ(reg(fd, p, 8 * PG, MISSING), 0);
	for (int i = 1; i < 7; i++)
		if (i != 4)
			DONE(copy(fd, p + i * PG, page_of(i), PG, 0), PG);
	p[9 * PG] = 1;

	uintptr_t base = (uintptr_t)p;
	struct scan_arg arg = {
		.start = base,
		.end = base + 10 * PG,
		.vec = (uintptr_t)r,
		.vec_len = 8,
		.category_mask = CAT_PRESENT,
		.return_mask = CAT_PRESENT,
	};
	EQ(scan(&arg), 3);
	EQ(arg.walk_end, base + 10 * PG);
	EQ(r[0].start, base + PG);
	EQ(r[0].end, base + 4 * PG);
	EQ(r[0].categories, CAT_PRESENT);
	EQ(r[1].start, base + 5 * PG);
	EQ(r[1].end, base + 7 * PG);
	EQ(r[2].start, base + 9 * PG);
	EQ(r[2].end, base + 10 * PG);

	/* Inverted: the pages that are not present. */
	arg.category_inverted = CAT_PRESENT;
	arg.return_mask = CAT_PRESENT | CAT_SWAPPED;
	EQ(scan(&arg), 3);
	EQ(r[0].start, base);
	EQ(r[0].end, base + PG);
	EQ(r[1].start, base + 4 * PG);
	EQ(r[1].end, base + 5 * PG);
	EQ(r[2].start, base + 7 * PG);
	EQ(r[2].end, base + 9 * PG);
	arg.category_inverted = 0;

	/* At most so many pages; the walk ends after the last of them. */
	arg.max_pages = 4;
	EQ(scan(&arg), 2);
	EQ(arg.walk_end, base + 6 * PG);
	EQ(r[1].start, base + 5 * PG);
	EQ(r[1].end, base + 6 * PG);

	/* At most so many regions. */
	arg.max_pages = 0;
	arg.vec_len = 1;
	EQ(scan(&arg), 1);
	EQ(r[0].start, base + PG);
	EQ(r[0].end, base + 4 * PG);
	CHECK(arg.walk_end >= base + 4 * PG && arg.walk_end <= base + 5 * PG);
	CHECK(quiet(fd));
	return 0;
}
