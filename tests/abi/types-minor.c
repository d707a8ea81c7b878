/* SPDX-License-Identifier: MIT */
/* MINOR: the file has the page, this mapping does not; CONTINUE maps it as it is by then. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	file_set(m, 0, 3);
	file_set(m, 1, 4);
	file_set(m, 2, 5);
	REGISTERS(fd, m, MINOR);
	reader(&t, m->p + 77);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_MINOR);
	CHECK(blocked(&t));
	/* The handler may still change the page, without a fault of its own. */
	m->view[77] = 6;
	DONE(cont(fd, m->p, u, 0), u);
	join(&t);
	EQ(t.byte, 6);
	EQ(m->p[0], 3);
	EQ(state(m->p), PM_PRESENT | PM_FILE);

	writer(&t, m->p + u, 8);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_MINOR | UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(cont(fd, m->p + u, u, 0), u);
	join(&t);
	EQ(m->p[u], 8);
	EQ(m->p[u + 1], 4);
	EQ(m->view[u], m->kind & SHARED ? 8 : 4);

	/* A wake alone, and it faults again. */
	reader(&t, m->p + 2 * u);
	FAULT(fd, m->p + 2 * u, UFFD_PAGEFAULT_FLAG_MINOR);
	EQ(wake(fd, m->p + 2 * u, u), 0);
	FAULT(fd, m->p + 2 * u, UFFD_PAGEFAULT_FLAG_MINOR);
	CHECK(blocked(&t));
	DONE(cont(fd, m->p + 2 * u, u, UFFDIO_ZEROPAGE_MODE_DONTWAKE), u);
	CHECK(blocked(&t));
	EQ(wake(fd, m->p + 2 * u, u), 0);
	join(&t);
	EQ(t.byte, 5);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(VIEWED, 3, check);
}
