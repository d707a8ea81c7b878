/* SPDX-License-Identifier: MIT */
/* The categories of present, empty and marked pages in a WP_ASYNC area. */
#include "abi.h"

#define LOOKED_AT (CAT_WPALLOWED | CAT_WRITTEN | CAT_FILE | CAT_PRESENT | CAT_SWAPPED)

int main(void)
{
	struct scan_region r[8];

	start();
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);
	char *p = map(6);
	p[0] = p[PG] = 1;
	EQ(p[2 * PG], 0);
	EQ(reg(fd, p, 6 * PG, WP), 0);
	EQ(protect(fd, p + PG, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(protect(fd, p + 4 * PG, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);

	uint64_t want[6] = {
		CAT_WPALLOWED | CAT_WRITTEN | CAT_PRESENT,
		CAT_WPALLOWED | CAT_PRESENT,
		CAT_WPALLOWED | CAT_WRITTEN | CAT_PRESENT,
		CAT_WPALLOWED | CAT_WRITTEN,
		CAT_WPALLOWED | CAT_SWAPPED,
		CAT_WPALLOWED | CAT_WRITTEN,
	};
	struct scan_arg arg = {
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + 6 * PG,
		.vec = (uintptr_t)r,
		.vec_len = 8,
		.return_mask = LOOKED_AT,
	};
	EQ(scan(&arg), 6);
	for (int i = 0; i < 6; i++) {
		EQ(r[i].start, (uintptr_t)p + i * PG);
		EQ(r[i].end, (uintptr_t)p + (i + 1) * PG);
		EQ(r[i].categories, want[i]);
	}

	/* Any of two categories, and only what was asked for in return. */
	static const int start_page[4] = {0, 2, 4, 5}, end_page[4] = {1, 4, 5, 6};
	arg.category_anyof_mask = CAT_SWAPPED | CAT_WRITTEN;
	arg.return_mask = CAT_SWAPPED;
	EQ(scan(&arg), 4);
	for (int i = 0; i < 4; i++) {
		EQ(r[i].start, (uintptr_t)p + start_page[i] * PG);
		EQ(r[i].end, (uintptr_t)p + end_page[i] * PG);
		EQ(r[i].categories, i == 2 ? CAT_SWAPPED : 0);
	}
	return 0;
}
