/* SPDX-License-Identifier: MIT */
/* The child of vfork closes descriptors and execs: its parent's userfaultfd is still there. */
#include "procs.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	reader(&t, p);
	FAULT(fd, p, 0);
	for (int i = 0; i < 3; i++) {
		pid_t pid = vfork();
		CHECK(pid >= 0);
		if (!pid) {
			close(fd);
			execl("/bin/sh", "sh", "-c", "exit 5", NULL);
			_exit(1);
		}
		EQ(ends(pid), 5);
	}
	CHECK(blocked(&t));
	DONE(copy(fd, p, page_of(6), PG, 0), PG);
	join(&t);
	EQ(t.byte, 6);
	CHECK(quiet(fd));
	return 0;
}
