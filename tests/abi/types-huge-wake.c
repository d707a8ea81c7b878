/* SPDX-License-Identifier: MIT */
/* WAKE goes by the address in the message: the start of the huge page, not what was touched. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);

	REGISTERS(fd, m, MISSING);
	reader(&t, m->p + 8 * PG);
	FAULT(fd, m->p, 0);
	EQ(wake(fd, m->p + PG, HUGE_PG - PG), 0);
	CHECK(blocked(&t));
	CHECK(quiet(fd));
	EQ(wake(fd, m->p, PG), 0);
	FAULT(fd, m->p, 0);
	CHECK(blocked(&t));
	DONE(copy(fd, m->p, source(m, 1, 3), HUGE_PG, UFFDIO_COPY_MODE_DONTWAKE), HUGE_PG);
	CHECK(blocked(&t));
	EQ(wake(fd, m->p, PG), 0);
	join(&t);
	EQ(t.byte, 3);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(HUGE, 1, check);
}
