/* SPDX-License-Identifier: MIT */
/*
 * The process that holds the only descriptor is killed: those who wait are released as by a close,
 * and memory is ordinary from then on.
 */
#include "procs.h"

static int handler_main(int sock, void *arg)
{
	int fd = recv_fd(sock);

	tell(sock, 0);
	FAULT(fd, arg, 0);
	tell(sock, 0);
	hear(sock);
	return 0;
}

static void check(struct memory *m)
{
	struct thread t[3];
	struct peer handler = peer_start(handler_main, m->p);
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING | WP);
	DONE(copy(fd, m->p + 2 * u, source(m, 1, 2), u, UFFDIO_COPY_MODE_WP), u);
	send_fd(handler.sock, fd);
	close(fd);
	hear(handler.sock);
	/* One whose message has been read, one whose message has not, and one that writes. */
	reader(&t[0], m->p);
	hear(handler.sock);
	reader(&t[1], m->p + u);
	writer(&t[2], m->p + 2 * u, 3);
	for (int i = 0; i < 3; i++)
		CHECK(blocked(&t[i]));
	peer_kill(&handler);
	for (int i = 0; i < 3; i++)
		join(&t[i]);
	EQ(t[0].byte, 0);
	EQ(t[1].byte, 0);
	CHECK(all(m->p, u, 0));
	EQ(m->p[2 * u], 3);
	EQ(m->p[2 * u + 1], 2);
	EQ(m->p[3 * u], 0);
	CHECK(!(pagemap(m->p + 2 * u) & PM_UFFD_WP));
	/* Free for another. */
	fd = uffd_open(0);
	REGISTERS(fd, m, MISSING);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(ANON | MEMFD | MEMFD_PRIVATE | HUGE, 4, check);
}
