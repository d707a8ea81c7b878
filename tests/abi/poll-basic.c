/* SPDX-License-Identifier: MIT */
/* poll tells of an unread message, and no longer when it has been read. */
#include "abi.h"

static int events(int fd, int timeout)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI};

	EQ(poll(&p, 1, timeout) == 1, p.revents != 0);
	return p.revents;
}

int main(void)
{
	struct uffd_msg msg;
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	EQ(events(fd, 0), 0);
	EQ(events(fd, 1), 0);
	reader(&t, p);
	EQ(events(fd, -1), POLLIN);
	EQ(events(fd, 0), POLLIN);

	struct timespec second = {1, 0};
	struct pollfd two[2] = {{.fd = -1, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
	EQ(ppoll(two, 2, &second, NULL), 1);
	EQ(two[0].revents, 0);
	EQ(two[1].revents, POLLIN);

	EQ(read(fd, &msg, sizeof msg), sizeof msg);
	EQ(events(fd, 0), 0);
	ERR(read(fd, &msg, sizeof msg), EAGAIN);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);
	EQ(events(fd, 0), 0);
	return 0;
}
