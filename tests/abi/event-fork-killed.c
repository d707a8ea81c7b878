/* SPDX-License-Identifier: MIT */
/* A process that is killed while its fork waits for the event is gone, and has no child. */
#include "procs.h"

static char *p;
static int pipes[2];
static long flags;

/* Also where it would share the table of descriptors. */
static void fork_other(void)
{
	if (syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0) == 0) {
		EQ(write(pipes[1], "c", 1), 1);
		_exit(0);
	}
}

static int child_main(int sock, void *arg)
{
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);

	(void)arg;
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	send_fd(sock, fd);
	fork_other();
	return 3;
}

static void check(long with)
{
	char byte;

	flags = with;
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
	close(pipes[0]);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_EVENT_FORK);
	check(0);
	check(CLONE_FILES);
	return 0;
}
