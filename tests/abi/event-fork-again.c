/* SPDX-License-Identifier: MIT */
/* While the event of a fork is unread, filling fails with EAGAIN; registering and waking do not. */
#include "procs.h"

static int child_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	return 0;
}

int main(void)
{
	struct forker f;
	struct outcome got;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	char *p = map(2), *q = map(1);
	EQ(reg(fd, p, 2 * PG, MISSING | WP), 0);
	fork_start(&f, child_main, NULL);
	while (!f.thread.tid || task_state(f.thread.tid) != 'D')
		sched_yield();
	FAILS(copy(fd, p, page_of(1), PG, 0), EAGAIN);
	FAILS(zeropage(fd, p, PG, 0), EAGAIN);
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), EAGAIN);
	EQ(wake(fd, p, PG), 0);
	EQ(reg(fd, q, PG, MISSING), 0);
	EQ(unreg(fd, q, PG), 0);
	int child = next_fork(fd);
	fork_join(&f);
	do
		got = copy(fd, p, page_of(1), PG, 0);
	while (got.err == EAGAIN);
	EQ(got.err, 0);
	EQ(p[0], 1);
	peer_end(&f.peer);
	close(child);
	return 0;
}
