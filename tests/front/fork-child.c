/* SPDX-License-Identifier: MIT */
/*
 * A forked child has its parent's userfaultfd, closes it without harm, and may have its own.
 */
#include "abi.h"

#include <sys/wait.h>

static int child(int fd, char *p)
{
	struct uffdio_range range = {(uintptr_t)p, PG};
	struct uffd_msg msg;
	struct thread t;

	EQ(ioctl(fd, UFFDIO_WAKE, &range), 0);
	ERR(read(fd, &msg, sizeof(msg)), EAGAIN);
	EQ(close(fd), 0);
	fd = uffd_open(0);
	p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, page_of(4), PG, 0), PG);
	join(&t);
	EQ(t.byte, 4);
	EQ(munmap(p, 2 * PG), 0);
	return 0;
}

static void parent_serves(int fd, char *p, int page)
{
	struct thread t;

	reader(&t, p + page * PG);
	FAULT(fd, p + page * PG, 0);
	DONE(copy(fd, p + page * PG, page_of(9), PG, 0), PG);
	join(&t);
	EQ(t.byte, 9);
}

int main(void)
{
	int fd, status, how;
	char *p;

	start();
	fd = uffd_open(0);
	p = map(4);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	parent_serves(fd, p, 0);
	for (how = 0; how < 3; how++) {
		pid_t pid = how == 0 ? fork() : how == 1 ? _Fork() : (pid_t)syscall(SYS_fork);

		CHECK(pid >= 0);
		if (!pid)
			_exit(child(fd, p));
		EQ(waitpid(pid, &status, 0), pid);
		EQ(status, 0);
		EQ(p[5], 9);
		parent_serves(fd, p, how + 1);
	}
	return 0;
}
