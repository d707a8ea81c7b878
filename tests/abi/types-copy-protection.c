/* SPDX-License-Identifier: MIT */
/* COPY does not ask what the mapping may be used for at the moment. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	EQ(mprotect(m->p, u, PROT_READ), 0);
	EQ(mprotect(m->p + u, u, PROT_NONE), 0);
	REGISTERS(fd, m, MISSING);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, 0), u);
	CHECK(all(m->p, u, 3));
	EQ(try_write(m->p, 1, NULL), SIGSEGV);
	EQ(try_read(m->p + u, NULL), SIGSEGV);
	EQ(mprotect(m->p, 2 * u, PROT_READ | PROT_WRITE), 0);
	CHECK(all(m->p + u, u, 4));
	m->p[0] = m->p[u] = 1;
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(SHMEM | HUGE, 2, check);
}
