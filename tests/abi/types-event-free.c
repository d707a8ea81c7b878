/* SPDX-License-Identifier: MIT */
/* MADV_FREE is not for file memory; the event comes before the refusal. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct call c;
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMOVE);

	REGISTERS(fd, m, MISSING);
	DONE(copy(fd, m->p, source(m, 1, 3), m->unit, 0), m->unit);
	call_madvise(&c, m->p, m->unit, MADV_FREE);
	if (m->unit == PG)
		EVENT(fd, UFFD_EVENT_REMOVE, m->p, m->p + m->unit, 0);
	EQ(returned(&c), -EINVAL);
	CHECK(all(m->p, m->unit, 3));
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_EVENT_REMOVE);
	return each(SHMEM | HUGE, 1, check);
}
