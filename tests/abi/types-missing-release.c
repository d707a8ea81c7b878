/* SPDX-License-Identifier: MIT */
/* Who waits for a page gets a fresh one when the range is unregistered or the descriptor closed. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	writer(&t, m->p, 3);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_WRITE);
	EQ(unreg(fd, m->p, u), 0);
	join(&t);
	EQ(m->p[0], 3);
	if (m->view)
		EQ(m->view[0], m->kind & SHARED ? 3 : 0);
	reader(&t, m->p + u);
	FAULT(fd, m->p + u, 0);
	close(fd);
	join(&t);
	EQ(t.byte, 0);
	CHECK(all(m->p + u, u, 0));
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(SHMEM | HUGE, 2, check);
}
