/* SPDX-License-Identifier: MIT */
/* Arrays of poll, sets of select, events of epoll and their times in missing pages. */
#include "served.h"

#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

int main(void)
{
	struct timespec soon = {0, 1000}, long_time = {100, 0};
	struct timeval tv = {100, 0};
	uint64_t mask = 1ull << (SIGUSR1 - 1);
	int pipes[2];

	serve();
	EQ(pipe(pipes), 0);
	EQ(write(pipes[1], "xy", 2), 2);

	struct pollfd one[2] = {{pipes[0], POLLIN, 0}, {-1, 0, 0}};
	struct pollfd *fds = lend_over(one, sizeof one);
	EQ(SYS(SYS_poll, fds, 2, 1000), 1);
	ASKED(2);
	EQ(fds[0].revents, POLLIN);
	fds = lend(one, sizeof one);
	struct timespec *left = lend(&long_time, sizeof long_time);
	EQ(SYS(SYS_ppoll, fds, 2, left, lend(&mask, 8), 8), 1);
	ASKED(3);
	EQ(fds[0].revents, POLLIN);
	CHECK(left->tv_sec >= 90 && left->tv_sec < 100);

	uint64_t set = 1ull << pipes[0];
	uint64_t *in = lend(&set, 8), *out = lend(&set, 8);
	struct timeval *tv_left = lend(&tv, sizeof tv);
	EQ(SYS(SYS_select, pipes[1] + 1, in, out, NULL, tv_left), 1);
	ASKED(3);
	EQ(*in, set);
	EQ(*out, 0);
	CHECK(tv_left->tv_sec >= 90 && tv_left->tv_sec < 100);
	void *pack[2] = {lend(&mask, 8), (void *)8};
	in = lend(&set, 8);
	EQ(SYS(SYS_pselect6, pipes[1] + 1, in, NULL, NULL, lend(&soon, sizeof soon),
	       lend(pack, sizeof pack)),
	   1);
	ASKED(4);
	EQ(*in, set);

	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {EPOLLIN | EPOLLONESHOT, {.u64 = 0x1234}};
	EQ(SYS(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, pipes[0], lend_over(&event, sizeof event)), 0);
	ASKED(2);
	struct epoll_event *events = lend(NULL, 4 * sizeof *events);
	EQ(SYS(SYS_epoll_wait, ep, events, 4, 1000), 1);
	ASKED(1);
	EQ(events[0].data.u64, 0x1234);
	/* Told once. */
	EQ(SYS(SYS_epoll_pwait, ep, lend(NULL, 64), 4, 0, lend(&mask, 8), 8), 0);
	ASKED(1);
	EQ(epoll_ctl(ep, EPOLL_CTL_MOD, pipes[0], &event), 0);
	events = lend(NULL, 4 * sizeof *events);
	long n = SYS(SYS_epoll_pwait2, ep, events, 4, lend(&soon, sizeof soon), NULL, 0);
	if (n != -ENOSYS) {
		EQ(n, 1);
		ASKED(2);
		EQ(events[0].data.u64, 0x1234);
	}
	return 0;
}
