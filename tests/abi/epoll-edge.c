/* SPDX-License-Identifier: MIT */
/* Edge-triggered epoll reports each new fault. */
#include "abi.h"

#include <sys/epoll.h>

int main(void)
{
	struct epoll_event want = {.events = EPOLLIN | EPOLLET}, got;
	struct thread t[3];

	start();
	int fd = uffd_open(0), ep = epoll_create1(EPOLL_CLOEXEC);
	EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &want), 0);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	for (int i = 0; i < 3; i++) {
		reader(&t[i], p + i * PG);
		EQ(epoll_wait(ep, &got, 1, -1), 1);
		EQ(got.events, EPOLLIN);
		CHECK(blocked(&t[i]));
	}
	EQ(epoll_wait(ep, &got, 1, 0), 0);
	for (int i = 0; i < 3; i++)
		FAULT(fd, p + i * PG, 0);
	DONE(zeropage(fd, p, 3 * PG, 0), 3 * PG);
	for (int i = 0; i < 3; i++)
		join(&t[i]);
	return 0;
}
