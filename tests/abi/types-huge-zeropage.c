/* SPDX-License-Identifier: MIT */
/* There is no ZEROPAGE in huge pages. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);

	REGISTERS(fd, m, MISSING);
	FAILS(zeropage(fd, m->p, HUGE_PG, 0), EINVAL);
	FAILS(zeropage(fd, m->p, PG, 0), EINVAL);
	REFUSED(zeropage(fd, m->p + 1, HUGE_PG, 0), EINVAL);
	REFUSED(zeropage(fd, m->p, HUGE_PG, 2), EINVAL);
	EQ(state(m->p), 0);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(HUGE, 1, check);
}
