/* SPDX-License-Identifier: MIT */
/* An epoll instance that watches the descriptor is inherited: the child waits with it and serves.
 */
#include "procs.h"

#include <sys/epoll.h>

static char *p;
static int fd, ep;

static int handler_main(int sock, void *arg)
{
	struct epoll_event event;

	(void)sock;
	(void)arg;
	for (int i = 0; i < 3; i++) {
		EQ(epoll_wait(ep, &event, 1, -1), 1);
		EQ(event.events, EPOLLIN);
		EQ(event.data.u64, 55);
		FAULT(fd, p + i * PG, 0);
		DONE(copy(fd, p + i * PG, page_of(i + 1), PG, 0), PG);
	}
	EQ(epoll_wait(ep, &event, 1, 0), 0);
	return 0;
}

int main(void)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 55};

	start();
	fd = uffd_open(0);
	ep = epoll_create1(EPOLL_CLOEXEC);
	CHECK(ep >= 0);
	EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event), 0);
	p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	struct peer handler = peer_start(handler_main, NULL);
	for (int i = 0; i < 3; i++)
		EQ(get(p + i * PG), i + 1);
	peer_end(&handler);
	EQ(epoll_wait(ep, &event, 1, 0), 0);
	return 0;
}
