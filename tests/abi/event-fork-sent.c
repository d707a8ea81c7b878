/* SPDX-License-Identifier: MIT */
/* The child's descriptor is sent on to another process, and its reader closes it. */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	EQ(p[0], 1);
	return 0;
}

static int handler_main(int sock, void *arg)
{
	(void)arg;
	int child = recv_fd(sock);
	FAULT(child, p, 0);
	DONE(copy(child, p, page_of(1), PG, 0), PG);
	return 0;
}

int main(void)
{
	struct forker f;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	p = map(1);
	struct peer handler = peer_start(handler_main, NULL);
	EQ(reg(fd, p, PG, MISSING), 0);
	int child = fork_with_event(fd, &f, child_main, NULL);
	send_fd(handler.sock, child);
	close(child);
	peer_end(&f.peer);
	peer_end(&handler);
	return 0;
}
