/* SPDX-License-Identifier: MIT */
/* A process that is killed while its fork waits for the event is gone, and has no child. */
#include "procs.h"

static char *p;
static int pipes[2];

static int grandchild_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	EQ(write(pipes[1], "c", 1), 1);
	return 0;
}

static int child_main(int sock, void *arg)
{
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);

	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	send_fd(sock, fd);
	peer_start(grandchild_main, arg);
	return 3;
}

int main(void)
{
	char byte;

	start();
	need_features(UFFD_FEATURE_EVENT_FORK);
	EQ(pipe(pipes), 0);
	p = map(2);
	struct peer child = peer_start(child_main, NULL);
	close(pipes[1]);
	int fd = recv_fd(child.sock);
	wait_state(child.pid, 'D');
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	EQ(poll(&ready, 1, -1), 1);
	peer_kill(&child);
	/* Nobody has the pipe any more, and nobody wrote into it. */
	EQ(read(pipes[0], &byte, 1), 0);
	CHECK(quiet(fd));
	REFUSED(copy(fd, p, page_of(1), PG, 0), ESRCH);
	return 0;
}
