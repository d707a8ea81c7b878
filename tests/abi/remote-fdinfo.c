/* SPDX-License-Identifier: MIT */
/* /proc/self/fdinfo counts the faults, read and unread, in another process as well. */
#include "procs.h"

static void expect(int fd, int pending, int total)
{
	char path[64], text[512], want[64];

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	int info = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(info >= 0);
	ssize_t n = read(info, text, sizeof text - 1);
	CHECK(n > 0);
	text[n] = 0;
	close(info);
	snprintf(want, sizeof want, "pending:\t%d\ntotal:\t%d\n", pending, total);
	CHECK(strstr(text, want));
}

static int handler_main(int sock, void *arg)
{
	int fd = recv_fd(sock);
	char *p = arg;

	expect(fd, 2, 2);
	FAULT(fd, p, 0);
	expect(fd, 1, 2);
	FAULT(fd, p + PG, 0);
	expect(fd, 0, 2);
	DONE(zeropage(fd, p, 2 * PG, 0), 2 * PG);
	expect(fd, 0, 0);
	return 0;
}

int main(void)
{
	struct thread t[2];

	start();
	char *p = map(2);
	struct peer handler = peer_start(handler_main, p);
	int fd = uffd_open(0);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	for (int i = 0; i < 2; i++) {
		reader(&t[i], p + i * PG);
		CHECK(blocked(&t[i]));
	}
	send_fd(handler.sock, fd);
	peer_end(&handler);
	for (int i = 0; i < 2; i++)
		join(&t[i]);
	return 0;
}
