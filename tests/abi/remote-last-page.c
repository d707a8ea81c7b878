/* SPDX-License-Identifier: MIT */
/* The owner ends as soon as it has its page: the call that brought it has succeeded all the same.
 */
#include "procs.h"

static int owner_main(int sock, void *arg)
{
	int fd = uffd_open(0);

	EQ(reg(fd, arg, PG, MISSING), 0);
	send_fd(sock, fd);
	_exit(get(arg));
}

int main(void)
{
	start();
	char *p = map(1);
	for (int i = 0; i < 40; i++) {
		struct peer owner = peer_start(owner_main, p);
		int fd = recv_fd(owner.sock);
		FAULT(fd, p, 0);
		DONE(copy(fd, p, page_of(i), PG, 0), PG);
		EQ(ends(owner.pid), i);
		REFUSED(copy(fd, p, page_of(i), PG, 0), ESRCH);
		close(owner.sock);
		close(fd);
	}
	return 0;
}
