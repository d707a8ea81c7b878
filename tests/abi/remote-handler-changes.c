/* SPDX-License-Identifier: MIT */
/* One handler after another, each the child of the one before, serves the same memory. */
#include "procs.h"

#define HANDLERS 5

static char *p;
static int fd;

static int handler_main(int sock, void *arg)
{
	long n = (long)arg;

	FAULT(fd, p + n * PG, 0);
	/* The next is there before this one ends. */
	struct peer next = {0};
	if (n + 1 < HANDLERS)
		next = peer_start(handler_main, (void *)(n + 1));
	DONE(copy(fd, p + n * PG, page_of((int)n + 1), PG, 0), PG);
	if (n + 1 < HANDLERS)
		send_fd(sock, next.sock);
	return 0;
}

int main(void)
{
	start();
	fd = uffd_open(0);
	p = map(HANDLERS + 1);
	EQ(reg(fd, p, (HANDLERS + 1) * PG, MISSING), 0);
	struct peer first = peer_start(handler_main, NULL);
	close(fd);
	int sock = first.sock;
	for (int i = 0; i < HANDLERS; i++) {
		EQ(p[i * PG], i + 1);
		if (i + 1 < HANDLERS)
			sock = recv_fd(sock);
	}
	EQ(ends(first.pid), 0);
	/* The last has gone, or goes soon, with the last descriptor. */
	EQ(p[HANDLERS * PG], 0);
	return 0;
}
