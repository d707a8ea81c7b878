/* SPDX-License-Identifier: MIT */
/* Closing the child's descriptor releases the child: its memory is ordinary from then on. */
#include "procs.h"

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;
	size_t u = m->unit;

	EQ(m->p[0], 0);
	EQ(m->p[u], 0);
	m->p[2 * u] = 5;
	CHECK(!(pagemap(m->p + 2 * u) & PM_UFFD_WP));
	tell(sock, 0);
	return 0;
}

static void check(struct memory *m)
{
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	size_t u = m->unit;
	struct forker f;
	struct thread t;

	need_spare(m->kind, 6);
	REGISTERS(fd, m, MISSING | WP);
	DONE(copy(fd, m->p + 2 * u, source(m, 1, 1), u, UFFDIO_COPY_MODE_WP), u);
	int child = fork_with_event(fd, &f, child_main, m);
	FAULT(child, m->p, 0);
	close(child);
	hear(f.peer.sock);
	peer_end(&f.peer);
	/* Here all is as before. */
	CHECK(pagemap(m->p + 2 * u) & PM_UFFD_WP);
	writer(&t, m->p + 2 * u, 6);
	FAULT(fd, m->p + 2 * u, UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE);
	EQ(protect(fd, m->p + 2 * u, u, 0), 0);
	join(&t);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(ANON | HUGE_PRIVATE, 3, check);
}
