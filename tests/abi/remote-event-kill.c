/* SPDX-License-Identifier: MIT */
/* The only reader of events is killed while a call waits for it: the call is released. */
#include "procs.h"

static int handler_main(int sock, void *arg)
{
	(void)arg;
	recv_fd(sock);
	tell(sock, 0);
	hear(sock);
	return 0;
}

int main(void)
{
	struct call c;

	start();
	char *p = map(2);
	struct peer handler = peer_start(handler_main, p);
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	send_fd(handler.sock, fd);
	hear(handler.sock);
	close(fd);
	call_munmap(&c, p, PG);
	while (!c.thread.tid || task_state(c.thread.tid) != 'D')
		sched_yield();
	peer_kill(&handler);
	EQ(returned(&c), 0);
	EQ(p[PG], 0);
	return 0;
}
