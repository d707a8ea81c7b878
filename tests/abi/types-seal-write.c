/* SPDX-License-Identifier: MIT */
/* A private mapping of a file that is sealed against writing: filled like any other. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	file_set(m, 1, 4);
	EQ(munmap(m->view, m->len), 0);
	m->view = NULL;
	EQ(fcntl(m->file, F_ADD_SEALS, F_SEAL_WRITE), 0);
	REGISTERS(fd, m, MISSING | MINOR);
	reader(&t, m->p);
	FAULT(fd, m->p, 0);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	join(&t);
	EQ(t.byte, 3);
	writer(&t, m->p + u, 5);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_MINOR);
	DONE(cont(fd, m->p + u, u, 0), u);
	join(&t);
	EQ(m->p[u], 5);
	EQ(m->p[u + 1], 4);
	char byte;
	EQ(pread(m->file, &byte, 1, u), 1);
	EQ(byte, 4);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(MEMFD_PRIVATE | HUGE_MEMFD_PRIVATE, 2, check);
}
