/* SPDX-License-Identifier: MIT */
/* fork by the system calls clone and clone3 themselves: as by libc's fork. */
#include "procs.h"

#include <linux/sched.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif

static int after(char *p)
{
	bool good = p[0] == 1 && p[PG] == 0;

	put(p, 2);
	put(p + PG, 3);
	return good && get(p) == 2 && get(p + PG) == 3 ? 6 : 1;
}

int main(void)
{
	struct clone_args args = {.exit_signal = SIGCHLD};

	start();
	int fd = uffd_open(0);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	pid_t pid = syscall(SYS_fork);
	CHECK(pid >= 0);
	if (!pid)
		_exit(after(p));
	EQ(ends(pid), 6);
	pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	CHECK(pid >= 0);
	if (!pid)
		_exit(after(p));
	EQ(ends(pid), 6);
	pid = syscall(SYS_clone3, &args, sizeof args);
	CHECK(pid >= 0 || errno == ENOSYS);
	if (!pid)
		_exit(after(p));
	if (pid > 0)
		EQ(ends(pid), 6);
	EQ(p[0], 1);
	CHECK(!populated(p + PG));
	CHECK(quiet(fd));
	return 0;
}
