/* SPDX-License-Identifier: MIT */
/* CONTINUE in a private mapping: the file's page to read, a copy of it to write. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	file_set(m, 0, 3);
	REGISTERS(fd, m, MINOR);
	DONE(cont(fd, m->p, u, 0), u);
	EQ(m->p[0], 3);
	/* It is the same page: a store through the file shows. */
	m->view[1] = 4;
	EQ(m->p[1], 4);
	EQ(state(m->p), PM_PRESENT | PM_FILE);
	m->p[2] = 5;
	EQ(m->view[2], 3);
	EQ(state(m->p), PM_PRESENT);
	m->view[1] = 6;
	EQ(m->p[1], 4);
	EQ(m->p[0], 3);
	CHECK(quiet(fd));

	/* The copy is dropped: the file's page again, by a minor fault again. */
	struct thread t;
	EQ(madvise(m->p, u, MADV_DONTNEED), 0);
	reader(&t, m->p + 1);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_MINOR);
	DONE(cont(fd, m->p, u, 0), u);
	join(&t);
	EQ(t.byte, 6);
	EQ(m->p[2], 3);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(SHMEM_PRIVATE | HUGE_MEMFD_PRIVATE, 2, check);
}
