/* SPDX-License-Identifier: MIT */
/* A userfaultfd in an epoll set through its states: uninitialised, blocking, idle, ready, closed.
 */
#include "abi.h"

#include <sys/epoll.h>

static int ep;

static void expect(int line, uint32_t events, uint64_t data)
{
	struct epoll_event got[4];
	int n = epoll_wait(ep, got, 4, 0);

	if (n != (events ? 1 : 0))
		fail_at(__FILE__, line, "epoll_wait", events ? 1 : 0, n);
	if (events && (got[0].events != events || got[0].data.u64 != data))
		fail_at(__FILE__, line, "events", events, got[0].events);
}
#define EVENTS(events, data) expect(__LINE__, events, data)

static void set(int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event want = {.events = events, .data.u64 = data};

	EQ(epoll_ctl(ep, op, fd, &want), 0);
}

int main(void)
{
	struct epoll_event want = {.events = EPOLLIN};
	struct thread t;
	int fd, second, pipes[2];

	start();
	ep = epoll_create1(EPOLL_CLOEXEC);
	fd = uffd_new(O_NONBLOCK);
	set(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT, 7);
	ERR(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &want), EEXIST);
	EVENTS(EPOLLERR, 7);
	EVENTS(EPOLLERR, 7);
	EQ(uffd_api(fd, 0), 0);
	EVENTS(0, 0);
	/* A set does not notice by itself that a descriptor has begun to block. */
	EQ(fcntl(fd, F_SETFL, 0), 0);
	EVENTS(0, 0);
	set(EPOLL_CTL_MOD, fd, EPOLLIN, 7);
	EVENTS(EPOLLERR, 7);
	EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	EVENTS(0, 0);

	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	reader(&t, p);
	struct pollfd nested = {.fd = ep, .events = POLLIN};
	EQ(poll(&nested, 1, -1), 1);
	EVENTS(EPOLLIN, 7);

	/* Beside another descriptor, and twice. */
	EQ(pipe(pipes), 0);
	EQ(write(pipes[1], "x", 1), 1);
	set(EPOLL_CTL_ADD, pipes[0], EPOLLIN, 8);
	struct epoll_event got[4];
	EQ(epoll_wait(ep, got, 4, 0), 2);
	EQ(got[0].data.u64 + got[1].data.u64, 15);
	EQ(epoll_ctl(ep, EPOLL_CTL_DEL, pipes[0], NULL), 0);
	second = dup(fd);
	set(EPOLL_CTL_ADD, second, EPOLLIN, 9);
	EQ(epoll_wait(ep, got, 4, 0), 2);
	EQ(got[0].data.u64 + got[1].data.u64, 16);
	EQ(epoll_ctl(ep, EPOLL_CTL_DEL, second, NULL), 0);

	set(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT, 10);
	EVENTS(EPOLLIN, 10);
	EVENTS(0, 0);
	set(EPOLL_CTL_MOD, fd, EPOLLIN, 11);
	EVENTS(EPOLLIN, 11);
	FAULT(fd, p, 0);
	EVENTS(0, 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);

	/* A fault that is resolved unread leaves nothing. */
	reader(&t, p + PG);
	EQ(epoll_wait(ep, got, 4, -1), 1);
	DONE(zeropage(fd, p + PG, PG, 0), PG);
	EVENTS(0, 0);
	join(&t);

	close(second);
	close(fd);
	EVENTS(0, 0);
	fd = uffd_new(0);
	EVENTS(0, 0);
	return 0;
}
