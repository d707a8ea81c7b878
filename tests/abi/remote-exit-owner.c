/* SPDX-License-Identifier: MIT */
/* The owner of the memory ends, at once or by a signal, with threads that wait for pages. */
#include "procs.h"

static int owner_main(int sock, void *arg)
{
	struct thread t[2];
	int fd = uffd_open(0);

	EQ(reg(fd, arg, 3 * PG, MISSING), 0);
	for (int i = 0; i < 2; i++) {
		reader(&t[i], (char *)arg + i * PG);
		CHECK(blocked(&t[i]));
	}
	send_fd(sock, fd);
	return (int)hear(sock);
}

int main(void)
{
	start();
	char *p = map(3);
	for (int killed = 0; killed < 2; killed++) {
		struct peer owner = peer_start(owner_main, p);
		int fd = recv_fd(owner.sock);
		CHECK(next_msg(fd).pagefault.address - (uintptr_t)p <= PG);
		if (killed) {
			peer_kill(&owner);
		} else {
			tell(owner.sock, 3);
			EQ(ends(owner.pid), 3);
		}
		CHECK(quiet(fd));
		REFUSED(copy(fd, p, page_of(1), PG, 0), ESRCH);
		REFUSED(poison(fd, p, PG, 0), ESRCH);
		EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), ESRCH);
		EQ(unreg(fd, p, PG), ENOMEM);
		EQ(wake(fd, p, PG), 0);
		close(fd);
	}
	return 0;
}
