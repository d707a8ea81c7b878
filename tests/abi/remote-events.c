/* SPDX-License-Identifier: MIT */
/* Another process reads the events; the thread that caused one waits in D until then. */
#include "procs.h"

static int handler_main(int sock, void *arg)
{
	char *p = arg;
	int fd = recv_fd(sock);
	struct outcome got;

	tell(sock, 0);
	/* The one thread of the parent is in the call. */
	wait_state(getppid(), 'D');
	FAILS(copy(fd, p + PG, page_of(1), PG, 0), EAGAIN);
	EVENT(fd, UFFD_EVENT_REMOVE, p, p + PG, 0);
	wait_state(getppid(), 'D');
	EVENT(fd, UFFD_EVENT_UNMAP, p, p + PG, 0);
	FAULT(fd, p + PG, 0);
	do
		got = copy(fd, p + PG, page_of(1), PG, 0);
	while (got.err == EAGAIN);
	EQ(got.err, 0);
	return 0;
}

int main(void)
{
	start();
	char *p = map(2);
	struct peer handler = peer_start(handler_main, p);
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMOVE);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	send_fd(handler.sock, fd);
	hear(handler.sock);
	EQ(madvise(p, PG, MADV_DONTNEED), 0);
	EQ(munmap(p, PG), 0);
	EQ(p[PG], 1);
	peer_end(&handler);
	return 0;
}
