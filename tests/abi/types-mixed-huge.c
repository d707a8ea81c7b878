/* SPDX-License-Identifier: MIT */
/* Huge pages anywhere in the range decide what REGISTER offers for it. */
#include "kinds.h"

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_HUGETLBFS);
	struct memory m = memory_of(HUGE_PRIVATE, 2);
	int fd = uffd_open(0);
	char *p = mmap(m.p + HUGE_PG, HUGE_PG, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(p == m.p + HUGE_PG);
	REGISTERS(fd, &m, MISSING);
	/* Small pages, in spite of that. */
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	DONE(zeropage(fd, p + PG, PG, 0), PG);
	EQ(p[0], 1);
	EQ(unreg(fd, m.p, 2 * HUGE_PG), 0);
	/* The end of the range is in the small pages, and may be anywhere. */
	EQ(reg(fd, m.p, HUGE_PG + PG, MISSING), 0);
	EQ(reg(fd, m.p + PG, HUGE_PG, MISSING), EINVAL);
	CHECK(quiet(fd));
	return 0;
}
