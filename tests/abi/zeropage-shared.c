/* SPDX-License-Identifier: MIT */
/* ZEROPAGE, and reading memory that nobody serves, use up no memory: the zero page is shared. */
#include "abi.h"

static bool is_zero_page(char *page)
{
	struct scan_region r;
	struct scan_arg arg = {
		.start = (uintptr_t)page,
		.end = (uintptr_t)page + PG,
		.vec = (uintptr_t)&r,
		.vec_len = 1,
		.category_mask = CAT_PRESENT,
		.return_mask = CAT_PFNZERO,
	};

	EQ(scan(&arg), 1);
	EQ(!(pagemap(page) & PM_EXCLUSIVE), r.categories == CAT_PFNZERO);
	return r.categories == CAT_PFNZERO;
}

int main(void)
{
	start();
	int fd = uffd_open(0);
	char *p = map(3);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	DONE(copy(fd, p + PG, map(1), PG, 0), PG);
	EQ(p[2 * PG], 0);
	CHECK(is_zero_page(p));
	CHECK(!is_zero_page(p + PG));
	CHECK(is_zero_page(p + 2 * PG));
	p[0] = 1;
	CHECK(!is_zero_page(p));
	return 0;
}
