/* SPDX-License-Identifier: MIT */
/* System calls that write to protected pages wait for the protection to be lifted. */
#include "served.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define WP_WRITE (UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE)

static int told;

#define GUARDED(n)                                                                                 \
	do {                                                                                       \
		ASKED(n);                                                                          \
		for (int i_ = 0; i_ < (n); i_++)                                                   \
			EQ(asked_flags(told++), WP_WRITE);                                         \
	} while (0)

int main(void)
{
	int pair[2], pipes[2];
	char mark[2 * PG];

	memset(mark, '.', sizeof mark);
	serve();
	EQ(pipe(pipes), 0);
	EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);

	/* What is only read needs nobody. */
	EQ(SYS(SYS_access, guard("/dev/null", 10), R_OK), 0);
	EQ(SYS(SYS_write, pipes[1], guard("content", 7), 7), 7);
	EQ(SYS(SYS_sendto, pair[0], guard("datagram", 8), 8, 0, NULL, 0), 8);
	GUARDED(0);

	struct stat *st = guard(mark, sizeof *st);
	EQ(SYS(SYS_fstat, pipes[0], st), 0);
	GUARDED(1);
	CHECK(S_ISFIFO(st->st_mode));
	char *text = guard(mark, 100);
	EQ(SYS(SYS_read, pipes[0], text, 100), 7);
	GUARDED(1);
	CHECK(memcmp(text, "content.....", 12) == 0);
	text = guard(mark, 100);
	EQ(SYS(SYS_recvfrom, pair[1], text, 100, 0, NULL, NULL), 8);
	GUARDED(1);
	CHECK(memcmp(text, "datagram....", 12) == 0);

	struct pollfd one = {pipes[1], POLLOUT, 0}, *fds = guard(&one, sizeof one);
	EQ(SYS(SYS_poll, fds, 1, 1000), 1);
	GUARDED(1);
	EQ(fds->revents, POLLOUT);
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {EPOLLOUT | EPOLLET, {.u32 = 5}};
	EQ(epoll_ctl(ep, EPOLL_CTL_ADD, pipes[1], &event), 0);
	struct epoll_event *events = guard(mark, sizeof event);
	EQ(SYS(SYS_epoll_wait, ep, events, 1, 1000), 1);
	GUARDED(1);
	EQ(events->data.u32, 5);
	text = guard(mark, 2 * PG);
	struct iovec local = {mark, 2 * PG}, remote = {text, 2 * PG};
	memset(mark, '!', sizeof mark);
	EQ(SYS(SYS_process_vm_writev, getpid(), &local, 1, &remote, 1, 0), 2 * PG);
	GUARDED(2);
	CHECK(all(text, 2 * PG, '!'));
	return 0;
}
