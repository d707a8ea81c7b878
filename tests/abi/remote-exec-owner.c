/* SPDX-License-Identifier: MIT */
/* The owner of the memory execs: calls of others fail with ESRCH, and there is nothing to read. */
#include "procs.h"

static int owner_main(int sock, void *arg)
{
	struct thread t;
	int fd = uffd_open(0);

	EQ(reg(fd, arg, 2 * PG, MISSING), 0);
	/* Inherited by the new program, too. */
	EQ(fcntl(fd, F_SETFD, 0), 0);
	send_fd(sock, fd);
	reader(&t, arg);
	CHECK(blocked(&t));
	tell(sock, 0);
	hear(sock);
	execl("/bin/sh", "sh", "-c", "read line; exit 8", NULL);
	return 1;
}

int main(void)
{
	struct outcome got;
	int input[2];

	start();
	EQ(pipe2(input, O_CLOEXEC), 0);
	int old = dup(STDIN_FILENO);
	EQ(dup2(input[0], STDIN_FILENO), STDIN_FILENO);
	char *p = map(2);
	struct peer owner = peer_start(owner_main, p);
	EQ(dup2(old, STDIN_FILENO), STDIN_FILENO);
	int fd = recv_fd(owner.sock);
	hear(owner.sock);
	FAULT(fd, p, 0);
	tell(owner.sock, 0);
	/* Until exec has taken the memory away. */
	do
		got = copy(fd, p + PG, page_of(1), PG, 0);
	while (got.err == 0 || got.err == EEXIST);
	REFUSED(got, ESRCH);
	REFUSED(zeropage(fd, p, PG, 0), ESRCH);
	EQ(reg(fd, p, PG, MISSING), ENOMEM);
	EQ(wake(fd, p, PG), 0);
	CHECK(quiet(fd));
	EQ(write(input[1], "x\n", 2), 2);
	EQ(ends(owner.pid), 8);
	REFUSED(copy(fd, p + PG, page_of(1), PG, 0), ESRCH);
	CHECK(quiet(fd));
	return 0;
}
