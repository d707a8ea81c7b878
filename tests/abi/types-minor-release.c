/* SPDX-License-Identifier: MIT */
/* Who waits for CONTINUE goes on when the descriptor is closed; UNREGISTER alone does not wake. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	file_set(m, 0, 3);
	file_set(m, 1, 4);
	REGISTERS(fd, m, MINOR);
	reader(&t, m->p);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_MINOR);
	CHECK(blocked(&t));
	EQ(unreg(fd, m->p, u), 0);
	CHECK(blocked(&t));
	EQ(wake(fd, m->p, u), 0);
	join(&t);
	EQ(t.byte, 3);

	writer(&t, m->p + u, 5);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_MINOR | UFFD_PAGEFAULT_FLAG_WRITE);
	close(fd);
	join(&t);
	EQ(m->p[u], 5);
	EQ(m->view[u], m->kind & SHARED ? 5 : 4);
	EQ(m->p[u + 1], 4);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(VIEWED, 2, check);
}
