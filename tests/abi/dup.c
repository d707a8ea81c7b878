/* SPDX-License-Identifier: MIT */
/* A duplicate is the same userfaultfd; only the last close ends it. */
#include "abi.h"

int main(void)
{
	struct thread t[3];

	start();
	int fd = uffd_open(0);
	int second = dup(fd), third = fcntl(fd, F_DUPFD_CLOEXEC, 50);
	CHECK(second >= 0);
	CHECK(third >= 50);
	EQ(fcntl(third, F_GETFD), FD_CLOEXEC);
	char *p = map(3);
	EQ(reg(second, p, 3 * PG, MISSING), 0);
	reader(&t[0], p);
	FAULT(third, p, 0);
	CHECK(quiet(fd));
	DONE(copy(fd, p, page_of(4), PG, 0), PG);
	join(&t[0]);
	EQ(t[0].byte, 4);

	close(fd);
	reader(&t[1], p + PG);
	FAULT(second, p + PG, 0);
	/* dup2 over a descriptor closes it. */
	EQ(dup2(STDERR_FILENO, second), second);
	CHECK(blocked(&t[1]));
	reader(&t[2], p + 2 * PG);
	FAULT(third, p + 2 * PG, 0);
	CHECK(blocked(&t[2]));
	DONE(copy(third, p + PG, page_of(6), PG, 0), PG);
	join(&t[1]);
	EQ(t[1].byte, 6);

	EQ(dup2(STDERR_FILENO, third), third);
	join(&t[2]);
	EQ(t[2].byte, 0);
	return 0;
}
