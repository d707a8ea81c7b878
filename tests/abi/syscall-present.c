/* SPDX-License-Identifier: MIT */
/* System calls on registered memory whose pages are there need nobody. */
#include "abi.h"

#include <sys/socket.h>
#include <sys/uio.h>

#define PAGES 24

int main(void)
{
	int sockets[2], pipes[2];

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0);
	char *p = map(PAGES);
	for (int i = 0; i < PAGES; i++)
		memset(p + i * PG, 'a' + i, PG);
	EQ(reg(fd, p, PAGES * PG, MISSING | WP), 0);
	EQ(protect(fd, p, PAGES * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);

	/* Read by the kernel: contents from before the registration, write-protected. */
	EQ(pipe(pipes), 0);
	EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets), 0);
	char back[2 * PG];
	EQ(write(pipes[1], p + 100, PG), PG);
	EQ(read(pipes[0], back, PG), PG);
	CHECK(all(back, PG - 100, 'a'));
	EQ(back[PG - 1], 'b');
	struct iovec iov[2] = {{p + 2 * PG, PG}, {p + 9 * PG, 10}};
	EQ(writev(pipes[1], iov, 2), PG + 10);
	EQ(read(pipes[0], back, sizeof back), PG + 10);
	EQ(back[0], 'c');
	EQ(back[PG], 'j');
	EQ(send(sockets[0], p + 20 * PG, PG, 0), PG);
	EQ(recv(sockets[1], back, sizeof back, 0), PG);
	CHECK(all(back, PG, 'u'));

	/* Written by the kernel, once nothing is protected. */
	EQ(protect(fd, p, PAGES * PG, 0), 0);
	EQ(write(pipes[1], back, PG), PG);
	EQ(read(pipes[0], p + 5 * PG - 50, PG), PG);
	CHECK(all(p + 5 * PG - 50, PG, 'u'));
	EQ(send(sockets[0], back, PG, 0), PG);
	EQ(recv(sockets[1], p + 12 * PG, PG, 0), PG);
	CHECK(all(p + 12 * PG, PG, 'u'));
	CHECK(quiet(fd));
	return 0;
}
