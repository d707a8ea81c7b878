/* SPDX-License-Identifier: MIT */
/* Who has forked ends at once, as one that goes into the background: the reader has the child. */
#include "procs.h"

static int owner_main(int sock, void *arg)
{
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);

	EQ(reg(fd, arg, PG, MISSING), 0);
	send_fd(sock, fd);
	if (fork() == 0)
		tell(sock, get(arg));
	_exit(0);
}

int main(void)
{
	start();
	char *p = map(1);
	for (int i = 0; i < 20; i++) {
		struct peer owner = peer_start(owner_main, p);
		int fd = recv_fd(owner.sock);
		int child = next_fork(fd);
		EQ(ends(owner.pid), 0);
		FAULT(child, p, 0);
		DONE(copy(child, p, page_of(1 + i), PG, 0), PG);
		EQ(hear(owner.sock), 1 + i);
		close(owner.sock);
		close(child);
		close(fd);
	}
	return 0;
}
