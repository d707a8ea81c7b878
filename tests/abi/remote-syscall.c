/* SPDX-License-Identifier: MIT */
/* A system call of the owner waits for a page that another process provides. */
#include "procs.h"

static int handler_main(int sock, void *arg)
{
	char *p = arg;
	int fd = recv_fd(sock);

	FAULT(fd, p, 0);
	wait_state(getppid(), 'S');
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	FAULT(fd, p + PG, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, p + PG, page_of(2), PG, 0), PG);
	return 0;
}

int main(void)
{
	int pipes[2];

	start();
	char *p = map(2);
	struct peer handler = peer_start(handler_main, p);
	int fd = uffd_open_full(0);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	send_fd(handler.sock, fd);
	EQ(pipe(pipes), 0);
	EQ(write(pipes[1], p, 100), 100);
	EQ(read(pipes[0], p + PG, 100), 100);
	CHECK(all(p + PG, 100, 1));
	CHECK(all(p + PG + 100, PG - 100, 2));
	peer_end(&handler);
	CHECK(quiet(fd));
	return 0;
}
