/* SPDX-License-Identifier: MIT */
/*
 * A process with memory of its own and its parent's table of descriptors: what either closes is
 * closed for both, and the last close releases who waits.
 */
#include "procs.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	reader(&t, p + PG);
	FAULT(fd, p + PG, 0);
	pid_t pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	CHECK(pid >= 0);
	if (!pid) {
		bool good = p[0] == 1 && p[PG] == 0;
		put(p, 2);
		close(fd);
		_exit(good ? 3 : 1);
	}
	EQ(ends(pid), 3);
	join(&t);
	EQ(t.byte, 0);
	EQ(p[0], 1);
	ERR(fcntl(fd, F_GETFD), EBADF);
	return 0;
}
