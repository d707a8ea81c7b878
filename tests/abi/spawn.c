/* SPDX-License-Identifier: MIT */
/* posix_spawn and exec of other programs, with a userfaultfd open and a thread waiting. */
#include "abi.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

int main(void)
{
	char *args[] = {"sh", "-c", "exit 7", NULL};
	struct thread t;
	int status;
	pid_t child;

	start();
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	reader(&t, p);
	FAULT(fd, p, 0);
	EQ(posix_spawn(&child, "/bin/sh", NULL, NULL, args, environ), 0);
	EQ(waitpid(child, &status, 0), child);
	EQ(status, 7 << 8);
	EQ(system("exit 8"), 8 << 8);
	CHECK(blocked(&t));
	DONE(copy(fd, p, page_of(2), PG, 0), PG);
	join(&t);
	EQ(t.byte, 2);
	return 0;
}
