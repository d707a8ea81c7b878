/* SPDX-License-Identifier: MIT */
/* epoll: the descriptor is ready while a message is unread, and wakes who waits. */
#include "abi.h"

#include <sys/epoll.h>

static void *wait_ready(void *arg)
{
	struct epoll_event got;

	EQ(epoll_wait(*(int *)arg, &got, 1, -1), 1);
	EQ(got.events, EPOLLIN);
	EQ(got.data.u64, 0x1234);
	return NULL;
}

int main(void)
{
	struct epoll_event want = {.events = EPOLLIN, .data.u64 = 0x1234}, got;
	struct thread waiter, t;

	start();
	int fd = uffd_open(0), ep = epoll_create1(EPOLL_CLOEXEC);
	CHECK(ep >= 0);
	EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &want), 0);
	EQ(epoll_wait(ep, &got, 1, 0), 0);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	run(&waiter, wait_ready, &ep);
	CHECK(blocked(&waiter));
	reader(&t, p);
	join(&waiter);
	EQ(epoll_wait(ep, &got, 1, -1), 1);
	FAULT(fd, p, 0);
	EQ(epoll_wait(ep, &got, 1, 0), 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);

	EQ(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL), 0);
	reader(&t, p + PG);
	FAULT(fd, p + PG, 0);
	EQ(epoll_wait(ep, &got, 1, 0), 0);
	DONE(zeropage(fd, p + PG, PG, 0), PG);
	join(&t);
	return 0;
}
