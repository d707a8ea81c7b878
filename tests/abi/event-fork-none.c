/* SPDX-License-Identifier: MIT */
/* A context that has nothing registered sends no event, and vfork and posix_spawn send none. */
#include "procs.h"

#include <spawn.h>

extern char **environ;

int main(void)
{
	char *args[] = {"true", NULL};
	pid_t pid;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		_exit(4);
	EQ(ends(pid), 4);
	CHECK(quiet(fd));
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	pid = vfork();
	CHECK(pid >= 0);
	if (!pid)
		_exit(5);
	EQ(ends(pid), 5);
	EQ(posix_spawn(&pid, "/bin/true", NULL, NULL, args, environ), 0);
	EQ(ends(pid), 0);
	CHECK(quiet(fd));
	/* Unregistered again: none. */
	EQ(unreg(fd, p, PG), 0);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		_exit(6);
	EQ(ends(pid), 6);
	CHECK(quiet(fd));
	return 0;
}
