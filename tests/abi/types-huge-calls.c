/* SPDX-License-Identifier: MIT */
/* What other calls say to a part of a huge page. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	char *p = m->p;

	REGISTERS(fd, m, MISSING);
	DONE(copy(fd, p, source(m, 2, 3), 2 * HUGE_PG, 0), 2 * HUGE_PG);
	ERR(mprotect(p, PG, PROT_READ), EINVAL);
	ERR(mprotect(p + PG, HUGE_PG, PROT_READ), EINVAL);
	ERR(munmap(p, PG), EINVAL);
	ERR(munmap(p + PG, HUGE_PG), EINVAL);
	ERR(madvise(p + PG, HUGE_PG, MADV_DONTNEED), EINVAL);
	/* The length is taken as whole pages, as many as fit. */
	EQ(madvise(p, PG, MADV_DONTNEED), 0);
	EQ(madvise(p, HUGE_PG - PG, MADV_DONTNEED), 0);
	CHECK(populated(p));
	CHECK(all(p, 2 * HUGE_PG, 3));
	EQ(madvise(p, HUGE_PG + PG, MADV_DONTNEED), 0);
	CHECK(!populated(p));
	CHECK(populated(p + HUGE_PG));
	ERR(madvise(p, HUGE_PG, MADV_PAGEOUT), EINVAL);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(HUGE, 2, check);
}
