/* SPDX-License-Identifier: MIT */
/* select and pselect: readable while a message is unread. */
#include "abi.h"

#include <sys/select.h>

static int readable(int fd, struct timeval *limit)
{
	fd_set in, out;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(fd, &in);
	FD_SET(fd, &out);
	int n = select(fd + 1, &in, &out, NULL, limit);
	EQ(n, FD_ISSET(fd, &in) != 0);
	CHECK(!FD_ISSET(fd, &out));
	return n;
}

int main(void)
{
	struct timeval now = {0, 0};
	struct timespec instant = {0, 0};
	struct thread t;
	fd_set in;

	start();
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	EQ(readable(fd, &now), 0);
	reader(&t, p);
	EQ(readable(fd, NULL), 1);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	EQ(pselect(fd + 1, &in, NULL, NULL, &instant, NULL), 1);
	CHECK(FD_ISSET(fd, &in));
	FAULT(fd, p, 0);
	EQ(readable(fd, &now), 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);
	return 0;
}
