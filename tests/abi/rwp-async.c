/* SPDX-License-Identifier: MIT */
/* RWP_ASYNC: any access takes the protection away by itself, without a message. */
#include "abi.h"

int main(void)
{
	struct scan_region r[4];

	start();
	int fd = uffd_open(UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC);
	char *p = map(4);
	memset(p, 1, 4 * PG);
	EQ(reg(fd, p, 4 * PG, RWP), 0);
	EQ(rwprotect(fd, p, 4 * PG, UFFDIO_RWPROTECT_MODE_RWP), 0);

	/* The inverse of what was accessed is what is cold. */
	struct scan_arg arg = {
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + 4 * PG,
		.vec = (uintptr_t)r,
		.vec_len = 4,
		.category_mask = CAT_ACCESSED,
		.return_mask = CAT_ACCESSED,
	};
	EQ(scan(&arg), 0);
	EQ(p[PG], 1);
	p[2 * PG] = 2;
	CHECK(quiet(fd));
	EQ(scan(&arg), 1);
	EQ(r[0].start, (uintptr_t)p + PG);
	EQ(r[0].end, (uintptr_t)p + 3 * PG);
	EQ(r[0].categories, CAT_ACCESSED);
	arg.category_inverted = CAT_ACCESSED;
	EQ(scan(&arg), 2);
	EQ(r[0].start, (uintptr_t)p);
	EQ(r[1].start, (uintptr_t)p + 3 * PG);
	EQ(p[2 * PG], 2);
	return 0;
}
