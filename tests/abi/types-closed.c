/* SPDX-License-Identifier: MIT */
/* The file's descriptor is closed before anything begins: the mapping alone is enough. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	size_t u = m->unit;

	close(m->file);
	m->file = -1;
	int fd = uffd_open(0);
	REGISTERS(fd, m, MISSING | MINOR);
	reader(&t, m->p);
	FAULT(fd, m->p, 0);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	join(&t);
	EQ(t.byte, 3);
	EQ(m->view[0], m->kind & SHARED ? 3 : 0);
	file_set(m, 1, 4);
	reader(&t, m->p + u);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_MINOR);
	DONE(cont(fd, m->p + u, u, 0), u);
	join(&t);
	EQ(t.byte, 4);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(WITH_FD, 2, check);
}
