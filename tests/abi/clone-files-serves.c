/* SPDX-License-Identifier: MIT */
/* A process with memory of its own and its parent's descriptors serves one made after it began. */
#include "procs.h"

#include <sys/prctl.h>

int main(void)
{
	start();
	char *p = map(2);
	_Atomic int *number =
		mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(number != MAP_FAILED);
	pid_t pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	CHECK(pid >= 0);
	if (!pid) {
		start();
		EQ(prctl(PR_SET_PDEATHSIG, SIGKILL), 0);
		while (!*number)
			sched_yield();
		for (int i = 0; i < 2; i++) {
			FAULT(*number, p + i * PG, 0);
			DONE(copy(*number, p + i * PG, page_of(i + 1), PG, 0), PG);
		}
		_exit(0);
	}
	int fd = uffd_open(0);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	*number = fd;
	for (int i = 0; i < 2; i++)
		EQ(get(p + i * PG), i + 1);
	EQ(ends(pid), 0);
	CHECK(quiet(fd));
	return 0;
}
