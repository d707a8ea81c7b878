/* SPDX-License-Identifier: MIT */
/* Minor faults of the child: its page tables start empty where the page cache has the pages. */
#include "procs.h"

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;

	(void)sock;
	EQ(m->p[0], 1);
	put(m->p + m->unit, 3);
	EQ(get(m->p + m->unit + 1), 2);
	return 0;
}

static void check(struct memory *m)
{
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	size_t u = m->unit;
	struct forker f;

	file_set(m, 0, 1);
	file_set(m, 1, 2);
	REGISTERS(fd, m, MINOR);
	int child = fork_with_event(fd, &f, child_main, m);
	FAULT(child, m->p, UFFD_PAGEFAULT_FLAG_MINOR);
	DONE(cont(child, m->p, u, 0), u);
	FAULT(child, m->p + u, UFFD_PAGEFAULT_FLAG_MINOR | UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(cont(child, m->p + u, u, 0), u);
	peer_end(&f.peer);
	EQ(m->view[u], 3);
	CHECK(quiet(fd));
	close(child);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(MEMFD | ANON_SHARED | HUGE_MEMFD, 2, check);
}
