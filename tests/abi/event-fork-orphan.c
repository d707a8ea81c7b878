/* SPDX-License-Identifier: MIT */
/* A child waits for a page when the only process that could give it one is killed. */
#include "procs.h"

static char *p;
static bool unread;

static int child_main(int sock, void *arg)
{
	(void)sock;
	tell(*(int *)arg, get(p));
	return 0;
}

static int handler_main(int sock, void *arg)
{
	struct forker f;

	(void)arg;
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	EQ(reg(fd, p, PG, MISSING), 0);
	int child = fork_with_event(fd, &f, child_main, &sock);
	struct pollfd ready = {.fd = child, .events = POLLIN};
	EQ(poll(&ready, 1, -1), 1);
	if (!unread)
		FAULT(child, p, 0);
	tell(sock, f.peer.pid);
	pause();
	return 1;
}

int main(void)
{
	start();
	p = map(1);
	for (int i = 0; i < 6; i++) {
		unread = i % 2;
		struct peer handler = peer_start(handler_main, NULL);
		wait_state((pid_t)hear(handler.sock), 'S');
		EQ(kill(handler.pid, SIGKILL), 0);
		EQ(ends(handler.pid), -SIGKILL);
		EQ(hear(handler.sock), 0);
		close(handler.sock);
	}
	return 0;
}
