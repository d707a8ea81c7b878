/* SPDX-License-Identifier: MIT */
/* poll, select and epoll in another process: ready when there is a message, and only then. */
#include "procs.h"

#include <sys/epoll.h>
#include <sys/select.h>

static int handler_main(int sock, void *arg)
{
	char *p = arg;
	int fd = recv_fd(sock);
	struct pollfd ready = {.fd = fd, .events = POLLIN | POLLOUT};
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 77};
	fd_set in;

	EQ(poll(&ready, 1, 0), 0);
	tell(sock, 0);
	EQ(poll(&ready, 1, -1), 1);
	EQ(ready.revents, POLLIN);
	FAULT(fd, p, 0);
	EQ(poll(&ready, 1, 0), 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	tell(sock, 0);
	EQ(select(fd + 1, &in, NULL, NULL, NULL), 1);
	CHECK(FD_ISSET(fd, &in));
	FAULT(fd, p + PG, 0);
	DONE(zeropage(fd, p + PG, PG, 0), PG);
	int ep = epoll_create1(EPOLL_CLOEXEC);
	EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event), 0);
	EQ(epoll_wait(ep, &event, 1, 0), 0);
	tell(sock, 0);
	EQ(epoll_wait(ep, &event, 1, -1), 1);
	EQ(event.events, EPOLLIN);
	EQ(event.data.u64, 77);
	FAULT(fd, p + 2 * PG, 0);
	EQ(epoll_wait(ep, &event, 1, 0), 0);
	DONE(zeropage(fd, p + 2 * PG, PG, 0), PG);
	return 0;
}

int main(void)
{
	start();
	char *p = map(3);
	struct peer handler = peer_start(handler_main, p);
	int fd = uffd_open(0);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	send_fd(handler.sock, fd);
	for (int i = 0; i < 3; i++) {
		hear(handler.sock);
		EQ(p[i * PG], 0);
	}
	peer_end(&handler);
	CHECK(quiet(fd));
	return 0;
}
