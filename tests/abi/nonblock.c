/* SPDX-License-Identifier: MIT */
/* O_NONBLOCK may be changed at any time, by F_SETFL and by FIONBIO. */
#include "abi.h"

static void *read_msg(void *arg)
{
	struct uffd_msg msg;

	EQ(read(*(int *)arg, &msg, sizeof msg), sizeof msg);
	return NULL;
}

int main(void)
{
	struct thread waiter, t;
	struct uffd_msg msg;
	int on = 1, off = 0;

	start();
	int fd = uffd_new(0);
	EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	EQ(uffd_api(fd, 0), 0);
	CHECK(quiet(fd));
	ERR(read(fd, &msg, sizeof msg), EAGAIN);

	struct pollfd p = {.fd = fd, .events = POLLIN};
	EQ(ioctl(fd, FIONBIO, &off), 0);
	EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	EQ(poll(&p, 1, 0), 1);
	EQ(p.revents, POLLERR);

	char *q = map(1);
	EQ(reg(fd, q, PG, MISSING), 0);
	run(&waiter, read_msg, &fd);
	CHECK(blocked(&waiter));
	reader(&t, q);
	join(&waiter);
	EQ(ioctl(fd, FIONBIO, &on), 0);
	CHECK(quiet(fd));
	ERR(read(fd, &msg, sizeof msg), EAGAIN);
	DONE(zeropage(fd, q, PG, 0), PG);
	join(&t);
	return 0;
}
