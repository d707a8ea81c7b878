/* SPDX-License-Identifier: MIT */
/* COPY in a MINOR range: it fills holes; over a page of the file only a private one can be put. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	file_set(m, 1, 4);
	REGISTERS(fd, m, MINOR);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	CHECK(all(m->p, u, 3));
	reader(&t, m->p + u);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_MINOR);
	if (m->kind & SHARED) {
		FAILS(copy(fd, m->p + u, source(m, 1, 5), u, 0), EEXIST);
		CHECK(blocked(&t));
		DONE(cont(fd, m->p + u, u, 0), u);
	} else {
		DONE(copy(fd, m->p + u, source(m, 1, 5), u, 0), u);
	}
	join(&t);
	EQ(t.byte, m->kind & SHARED ? 4 : 5);
	CHECK(file_is(m, 1, 4));
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(VIEWED, 2, check);
}
