/* SPDX-License-Identifier: MIT */
/* The child keeps the marks of its parent, and each has its own from then on. */
#include "procs.h"

static const uint64_t wp = UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE;

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;
	size_t u = m->unit;

	CHECK(pagemap(m->p) & PM_UFFD_WP);
	CHECK(pagemap(m->p + u) & PM_UFFD_WP);
	CHECK(!(pagemap(m->p + 2 * u) & PM_UFFD_WP));
	EQ(m->p[0], 1);
	m->p[2 * u] = 5;
	tell(sock, 0);
	m->p[0] = 6;
	CHECK(!(pagemap(m->p) & PM_UFFD_WP));
	put(m->p + u, 7);
	EQ(get(m->p + u + 1), 8);
	return 0;
}

static void check(struct memory *m)
{
	uint64_t feature = m->kind & ANON ? UFFD_FEATURE_WP_UNPOPULATED : 0;
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK | feature);
	size_t u = m->unit;
	struct forker f;
	struct thread t;

	need_spare(m->kind, 6);
	REGISTERS(fd, m, MISSING | WP);
	DONE(copy(fd, m->p, source(m, 1, 1), u, UFFDIO_COPY_MODE_WP), u);
	DONE(copy(fd, m->p + 2 * u, source(m, 1, 2), u, 0), u);
	EQ(protect(fd, m->p + u, u, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	int child = fork_with_event(fd, &f, child_main, m);
	hear(f.peer.sock);
	FAULT(child, m->p, wp);
	EQ(protect(child, m->p, u, 0), 0);
	FAULT(child, m->p + u, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(child, m->p + u, source(m, 1, 8), u, UFFDIO_COPY_MODE_WP), u);
	FAULT(child, m->p + u, wp);
	EQ(protect(child, m->p + u, u, 0), 0);
	peer_end(&f.peer);
	CHECK(quiet(fd));
	CHECK(pagemap(m->p) & PM_UFFD_WP);
	EQ(m->p[0], 1);
	EQ(m->p[2 * u], 2);
	writer(&t, m->p, 3);
	FAULT(fd, m->p, wp);
	EQ(protect(fd, m->p, u, 0), 0);
	join(&t);
	close(child);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(ANON | HUGE_PRIVATE, 3, check);
}
