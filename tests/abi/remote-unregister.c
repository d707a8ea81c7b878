/* SPDX-License-Identifier: MIT */
/* Another process unregisters a range that is in use: no message comes once the call returned. */
#include "procs.h"

#define ROUNDS 60

static _Atomic bool *stop;
static _Atomic unsigned *written;

static int handler_main(int sock, void *arg)
{
	char *p = arg;
	int fd = recv_fd(sock);
	struct uffd_msg msg;

	for (int i = 0; i < ROUNDS; i++) {
		EQ(reg(fd, p, PG, MISSING | WP), 0);
		EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
		if (i % 2)
			next_msg(fd);
		EQ(unreg(fd, p, PG), 0);
		EQ(wake(fd, p, PG), 0);
		/* What was queued before is withdrawn with its thread, or read here once. */
		while (read(fd, &msg, sizeof msg) > 0)
			EQ(wake(fd, p, PG), 0);
		EQ(errno, EAGAIN);
		for (unsigned then = *written; *written - then < 10;)
			sched_yield();
		CHECK(quiet(fd));
	}
	*stop = true;
	return 0;
}

int main(void)
{
	start();
	stop = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	written = (_Atomic unsigned *)(stop + 64);
	volatile char *p = map(1);
	struct peer handler = peer_start(handler_main, (void *)p);
	int fd = uffd_open(0);
	send_fd(handler.sock, fd);
	for (char n = 0; !*stop; n++) {
		p[5] = n;
		EQ(p[5], n);
		if (++*written % 8 == 0)
			sched_yield();
	}
	peer_end(&handler);
	CHECK(quiet(fd));
	return 0;
}
