/* SPDX-License-Identifier: MIT */
/* A descriptor that the parent has closed and its child still has keeps the memory registered. */
#include "procs.h"

static int fd;

static int child_main(int sock, void *arg)
{
	(void)arg;
	hear(sock);
	close(fd);
	tell(sock, 0);
	hear(sock);
	return 0;
}

int main(void)
{
	struct thread t[2];

	start();
	fd = uffd_open(0);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	struct peer child = peer_start(child_main, NULL);
	reader(&t[0], p);
	FAULT(fd, p, 0);
	close(fd);
	reader(&t[1], p + PG);
	CHECK(blocked(&t[1]));
	CHECK(blocked(&t[0]));
	tell(child.sock, 0);
	hear(child.sock);
	for (int i = 0; i < 2; i++) {
		join(&t[i]);
		EQ(t[i].byte, 0);
	}
	tell(child.sock, 0);
	peer_end(&child);
	return 0;
}
