/* SPDX-License-Identifier: MIT */
/* A mapping that begins in the middle of its file. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	EQ(munmap(m->p, m->len), 0);
	m->len = 2 * u;
	CHECK(mmap(m->p, m->len, PROT_READ | PROT_WRITE,
		   (m->kind & SHARED ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED, m->file,
		   2 * u) == m->p);
	file_set(m, 0, 1);
	file_set(m, 3, 9);
	REGISTERS(fd, m, MISSING | MINOR);
	reader(&t, m->p);
	FAULT(fd, m->p, 0);
	DONE(copy(fd, m->p, source(m, 1, 7), u, 0), u);
	join(&t);
	EQ(t.byte, 7);
	reader(&t, m->p + u);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_MINOR);
	DONE(cont(fd, m->p + u, u, 0), u);
	join(&t);
	EQ(t.byte, 9);
	if (m->kind & SHARED)
		CHECK(file_is(m, 2, 7));
	CHECK(file_is(m, 0, 1));
	EQ(m->view[u], 0);
	CHECK(quiet(fd));
	close(fd);
	EQ(munmap(m->p, m->len), 0);
	m->p = NULL;
	m->len = 4 * u;
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(WITH_FD, 4, check);
}
