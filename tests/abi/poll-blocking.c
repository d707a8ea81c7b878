/* SPDX-License-Identifier: MIT */
/* A descriptor that blocks cannot be polled, nor can one that is not initialised. */
#include "abi.h"

#include <sys/epoll.h>
#include <sys/select.h>

static int poll_now(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	EQ(poll(&p, 1, -1), 1);
	return p.revents;
}

static int epoll_now(int fd)
{
	struct epoll_event want = {.events = EPOLLIN}, got;
	int ep = epoll_create1(EPOLL_CLOEXEC);

	EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &want), 0);
	EQ(epoll_wait(ep, &got, 1, -1), 1);
	close(ep);
	return got.events;
}

static void select_now(int fd)
{
	fd_set in, out;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(fd, &in);
	FD_SET(fd, &out);
	EQ(select(fd + 1, &in, &out, NULL, NULL), 2);
	CHECK(FD_ISSET(fd, &in));
	CHECK(FD_ISSET(fd, &out));
}

int main(void)
{
	start();
	int fd = uffd_new(O_NONBLOCK);
	EQ(poll_now(fd), POLLERR);
	EQ(epoll_now(fd), EPOLLERR);
	select_now(fd);

	EQ(uffd_api(fd, 0), 0);
	CHECK(quiet(fd));

	fd = uffd_new(0);
	EQ(poll_now(fd), POLLERR);
	EQ(uffd_api(fd, 0), 0);
	EQ(poll_now(fd), POLLERR);
	EQ(epoll_now(fd), EPOLLERR);
	select_now(fd);
	return 0;
}
