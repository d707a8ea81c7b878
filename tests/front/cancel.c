/* SPDX-License-Identifier: MIT */
/* Threads cancelled in read, poll, select and epoll_wait leave the descriptor to the others. */
#include "abi.h"

#include <sys/epoll.h>
#include <sys/select.h>

static int fd, ep;

static void *in_read(void *arg)
{
	struct uffd_msg msg;

	(void)!read(fd, &msg, sizeof(msg));
	return arg;
}

static void *in_poll(void *arg)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = -1}};

	poll(p, 2, -1);
	return arg;
}

static void *in_select(void *arg)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	select(fd + 1, &set, NULL, NULL, NULL);
	return arg;
}

static void *in_epoll(void *arg)
{
	struct epoll_event event;

	epoll_wait(ep, &event, 1, -1);
	return arg;
}

static void cancel(void *(*fn)(void *), int flags)
{
	struct thread waiter[2], t;
	void *result;

	fd = uffd_new(flags);
	EQ(uffd_api(fd, 0), 0);
	ep = epoll_create1(0);
	struct epoll_event want = {.events = EPOLLIN};
	EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &want), 0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	for (int i = 0; i < 2; i++) {
		run(&waiter[i], fn, NULL);
		CHECK(blocked(&waiter[i]));
	}
	EQ(pthread_cancel(waiter[0].id), 0);
	EQ(pthread_join(waiter[0].id, &result), 0);
	CHECK(result == PTHREAD_CANCELED);

	/* The other one is still told. */
	CHECK(blocked(&waiter[1]));
	reader(&t, p);
	EQ(pthread_join(waiter[1].id, NULL), 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);
	close(ep);
	close(fd);
}

int main(void)
{
	start();
	cancel(in_read, 0);
	cancel(in_poll, O_NONBLOCK);
	cancel(in_select, O_NONBLOCK);
	cancel(in_epoll, O_NONBLOCK);
	return 0;
}
