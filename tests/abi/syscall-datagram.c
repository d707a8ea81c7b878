/* SPDX-License-Identifier: MIT */
/* A datagram received into a missing page arrives whole, once. */
#include "abi.h"

#include <sys/socket.h>

struct job {
	int fd;
	char *to;
};

static void *receive(void *arg)
{
	struct job *job = arg;

	EQ(recv(job->fd, job->to, 500, 0), 200);
	EQ(recv(job->fd, job->to + PG, 500, 0), 300);
	return NULL;
}

int main(void)
{
	struct thread t;
	int pair[2];

	start();
	int fd = uffd_open_full(0);
	char *p = map(2);
	EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	EQ(send(pair[0], page_of(1), 200, 0), 200);
	EQ(send(pair[0], page_of(2), 300, 0), 300);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	struct job job = {pair[1], p};
	run(&t, receive, &job);
	for (int i = 0; i < 2; i++) {
		FAULT(fd, p + i * PG, UFFD_PAGEFAULT_FLAG_WRITE);
		DONE(zeropage(fd, p + i * PG, PG, 0), PG);
	}
	join(&t);
	CHECK(all(p, 200, 1));
	CHECK(all(p + 200, PG - 200, 0));
	CHECK(all(p + PG, 300, 2));
	return 0;
}
