/* SPDX-License-Identifier: MIT */
/* Memory that fork has shared is registered and protected afterwards, on one side. */
#include "procs.h"

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;

	CHECK(all(m->p, m->len, 1));
	tell(sock, 0);
	hear(sock);
	CHECK(all(m->p, m->len, 1));
	m->p[0] = 3;
	return 0;
}

static void check(struct memory *m)
{
	size_t u = m->unit;
	struct thread t;

	need_spare(m->kind, 4);
	memset(m->p, 1, m->len);
	struct peer child = peer_start(child_main, m);
	int fd = uffd_open(0);
	REGISTERS(fd, m, MISSING | WP);
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	hear(child.sock);
	for (int i = 0; i < 2; i++) {
		writer(&t, m->p + i * u + i, 4);
		FAULT(fd, m->p + i * u, UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE);
		EQ(protect(fd, m->p + i * u, u, 0), 0);
		join(&t);
	}
	tell(child.sock, 0);
	peer_end(&child);
	EQ(m->p[0], 4);
	EQ(m->p[1], 1);
	EQ(m->p[u], 1);
	EQ(m->p[u + 1], 4);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(ANON | MEMFD_PRIVATE | HUGE_PRIVATE, 2, check);
}
