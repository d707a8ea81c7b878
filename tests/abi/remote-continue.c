/* SPDX-License-Identifier: MIT */
/* Another process writes a page into the file by a mapping of its own and continues the fault. */
#include "procs.h"

static int handler_main(int sock, void *arg)
{
	struct memory *m = arg;
	size_t u = m->unit;
	int fd = recv_fd(sock);

	for (int i = 0; i < 2; i++) {
		FAULT(fd, m->p + i * u,
		      UFFD_PAGEFAULT_FLAG_MINOR | (i ? UFFD_PAGEFAULT_FLAG_WRITE : 0));
		memset(m->view + i * u, 10 + i, u);
		DONE(cont(fd, m->p + i * u, u, 0), u);
	}
	FAILS(cont(fd, m->p, u, 0), EEXIST);
	FAILS(cont(fd, m->p + 2 * u, u, 0), EFAULT);
	return 0;
}

static void check(struct memory *m)
{
	size_t u = m->unit;
	struct peer handler = peer_start(handler_main, m);
	int fd = uffd_open(0);

	file_set(m, 0, 1);
	file_set(m, 1, 1);
	REGISTERS(fd, m, MINOR | MISSING);
	send_fd(handler.sock, fd);
	CHECK(all(m->p, u, 10));
	put(m->p + u, 5);
	CHECK(all(m->p + u + 1, u - 1, 11));
	EQ(m->view[u], 5);
	peer_end(&handler);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(SHMEM_SHARED | HUGE_MEMFD, 3, check);
}
