/* SPDX-License-Identifier: MIT */
/* A handler that is stopped keeps its owner waiting, and serves when it is continued. */
#include "procs.h"

static int handler_main(int sock, void *arg)
{
	int fd = recv_fd(sock);

	tell(sock, 0);
	FAULT(fd, arg, 0);
	DONE(copy(fd, arg, page_of(4), PG, 0), PG);
	return 0;
}

int main(void)
{
	struct thread t;
	int status;

	start();
	char *p = map(1);
	struct peer handler = peer_start(handler_main, p);
	int fd = uffd_open(0);
	EQ(reg(fd, p, PG, MISSING), 0);
	send_fd(handler.sock, fd);
	hear(handler.sock);
	EQ(kill(handler.pid, SIGSTOP), 0);
	EQ(waitpid(handler.pid, &status, WUNTRACED), handler.pid);
	CHECK(WIFSTOPPED(status));
	reader(&t, p);
	CHECK(blocked(&t));
	for (int i = 0; i < 1000; i++)
		sched_yield();
	CHECK(blocked(&t));
	EQ(kill(handler.pid, SIGCONT), 0);
	join(&t);
	EQ(t.byte, 4);
	peer_end(&handler);
	return 0;
}
