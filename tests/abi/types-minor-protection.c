/* SPDX-License-Identifier: MIT */
/* What a mapping may be used for is looked at before its faults, and after CONTINUE still. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	file_set(m, 0, 3);
	file_set(m, 1, 4);
	EQ(mprotect(m->p, m->len, PROT_READ), 0);
	REGISTERS(fd, m, MINOR | MISSING);
	EQ(try_write(m->p, 1, NULL), SIGSEGV);
	CHECK(quiet(fd));
	reader(&t, m->p);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_MINOR);
	DONE(cont(fd, m->p, u, 0), u);
	join(&t);
	EQ(t.byte, 3);
	EQ(try_write(m->p, 1, NULL), SIGSEGV);
	DONE(cont(fd, m->p + u, u, 0), u);
	EQ(mprotect(m->p, m->len, PROT_READ | PROT_WRITE), 0);
	m->p[0] = m->p[u] = 5;
	EQ(m->view[0], m->kind & SHARED ? 5 : 3);
	EQ(m->view[u], m->kind & SHARED ? 5 : 4);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(VIEWED, 2, check);
}
