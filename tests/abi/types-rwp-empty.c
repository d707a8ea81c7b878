/* SPDX-License-Identifier: MIT */
/* Read-write protection leaves empty entries empty: the page is missing, or minor, as before. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(UFFD_FEATURE_RWP);
	size_t u = m->unit;

	file_set(m, 1, 4);
	EQ(reg(fd, m->p, m->len, MISSING | MINOR | RWP), 0);
	EQ(rwprotect(fd, m->p, m->len, UFFDIO_RWPROTECT_MODE_RWP), 0);
	EQ(state(m->p), 0);
	reader(&t, m->p);
	FAULT(fd, m->p, 0);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	join(&t);
	EQ(t.byte, 3);
	reader(&t, m->p + u);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_MINOR);
	DONE(cont(fd, m->p + u, u, 0), u);
	join(&t);
	EQ(t.byte, 4);
	m->p[0] = m->p[u] = 1;
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_RWP | UFFD_FEATURE_MINOR_SHMEM);
	return each(VIEWED, 2, check);
}
