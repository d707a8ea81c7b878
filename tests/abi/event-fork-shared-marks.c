/* SPDX-License-Identifier: MIT */
/* Marks in shared memory are of the address space: the child has its own copy of them. */
#include "procs.h"

static const uint64_t wp = UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE;

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;

	EQ(m->p[0], 1);
	m->p[0] = 2;
	tell(sock, 0);
	hear(sock);
	m->p[m->unit] = 3;
	return 0;
}

static void check(struct memory *m)
{
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	size_t u = m->unit;
	struct forker f;
	struct thread t;

	REGISTERS(fd, m, WP);
	memset(m->p, 1, m->len);
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	int child = fork_with_event(fd, &f, child_main, m);
	FAULT(child, m->p, wp);
	EQ(m->p[0], 1);
	EQ(protect(child, m->p, u, 0), 0);
	hear(f.peer.sock);
	EQ(m->p[0], 2);
	CHECK(quiet(fd));
	/* Still protected here; and what is lifted here stays protected there. */
	writer(&t, m->p, 4);
	FAULT(fd, m->p, wp);
	EQ(protect(fd, m->p, m->len, 0), 0);
	join(&t);
	tell(f.peer.sock, 0);
	FAULT(child, m->p + u, wp);
	EQ(protect(child, m->p + u, u, 0), 0);
	peer_end(&f.peer);
	EQ(m->p[0], 4);
	EQ(m->p[u], 3);
	close(child);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(SHMEM_SHARED | HUGE_MEMFD | HUGE_SHARED, 2, check);
}
