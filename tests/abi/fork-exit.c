/* SPDX-License-Identifier: MIT */
/* A child that is forked, writes its own memory and ends leaves the parent's ranges alone. */
#include "abi.h"

#include <sys/wait.h>

int main(void)
{
	static char ordinary[PG];
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	for (int i = 0; i < 5; i++) {
		int status;
		pid_t child = fork();
		CHECK(child >= 0);
		if (!child) {
			memset(ordinary, i + 1, sizeof ordinary);
			close(i % 2 ? fd : -1);
			_exit(ordinary[7]);
		}
		EQ(waitpid(child, &status, 0), child);
		EQ(status, (i + 1) << 8);
		EQ(ordinary[7], 0);
		EQ(p[i], 1);
		p[i] = 1;
		CHECK(quiet(fd));
	}
	reader(&t, p + PG);
	FAULT(fd, p + PG, 0);
	/* Forked while a thread waits: it still waits. */
	int status;
	pid_t child = fork();
	CHECK(child >= 0);
	if (!child)
		_exit(0);
	EQ(waitpid(child, &status, 0), child);
	EQ(status, 0);
	CHECK(blocked(&t));
	DONE(copy(fd, p + PG, page_of(2), PG, 0), PG);
	join(&t);
	EQ(t.byte, 2);
	return 0;
}
