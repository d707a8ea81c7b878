/* SPDX-License-Identifier: MIT */
/*
 * A descriptor that is only in the queue of a socket is open: who waits goes on waiting, until it
 * is received and used, or dropped with the socket.
 */
#include "procs.h"

#include <sys/socket.h>

int main(void)
{
	struct thread t;
	int pair[2];

	start();
	for (int dropped = 0; dropped < 2; dropped++) {
		int fd = uffd_open(0);
		char *p = map(1);
		EQ(reg(fd, p, PG, MISSING), 0);
		EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		send_fd(pair[0], fd);
		close(fd);
		reader(&t, p);
		CHECK(blocked(&t));
		if (dropped) {
			close(pair[0]);
			close(pair[1]);
			join(&t);
			EQ(t.byte, 0);
			continue;
		}
		fd = recv_fd(pair[1]);
		FAULT(fd, p, 0);
		DONE(copy(fd, p, page_of(7), PG, 0), PG);
		join(&t);
		EQ(t.byte, 7);
		CHECK(quiet(fd));
		close(fd);
	}
	return 0;
}
