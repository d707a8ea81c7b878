/* SPDX-License-Identifier: MIT */
/* COPY into a private mapping of a file makes a private page; the file does not change. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	reader(&t, m->p + 5);
	FAULT(fd, m->p, 0);
	DONE(copy(fd, m->p, source(m, 1, 7), u, 0), u);
	join(&t);
	EQ(t.byte, 7);
	EQ(state(m->p), PM_PRESENT);
	FAILS(copy(fd, m->p, source(m, 1, 8), u, 0), EEXIST);
	memset(m->p, 9, u);
	if (!m->view) {
		close(fd);
		return;
	}

	/* It matters not whether the file has a page there. */
	file_set(m, 1, 3);
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, 0), u);
	CHECK(all(m->p + u, u, 4));
	CHECK(file_is(m, 1, 3));
	CHECK(all(m->p, u, 9));
	CHECK(!cached(m, 0));
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(SHMEM_PRIVATE | HUGE_MEMFD_PRIVATE | HUGE_PRIVATE, 2, check);
}
