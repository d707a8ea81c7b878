/* SPDX-License-Identifier: MIT */
/* One COPY of many pages serves all that wait for them, and stops where there is one already. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t[3];
	int fd = uffd_open(0);
	size_t u = m->unit;
	char *src = source(m, 4, 0);

	for (int i = 0; i < 4; i++)
		memset(src + i * u, i + 1, u);
	REGISTERS(fd, m, MISSING);
	DONE(copy(fd, m->p + 3 * u, src, u, 0), u);
	for (int i = 0; i < 3; i++) {
		reader(&t[i], m->p + i * u);
		FAULT(fd, m->p + i * u, 0);
	}
	PARTLY(copy(fd, m->p, src, 4 * u, 0), 3 * u);
	for (int i = 0; i < 3; i++) {
		join(&t[i]);
		EQ(t[i].byte, i + 1);
		CHECK(all(m->p + i * u, u, i + 1));
	}
	CHECK(all(m->p + 3 * u, u, 1));
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(SHMEM | HUGE, 4, check);
}
