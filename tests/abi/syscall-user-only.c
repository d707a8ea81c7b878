/* SPDX-License-Identifier: MIT */
/* With UFFD_USER_MODE_ONLY system calls fail on missing pages instead of waiting. */
#include "abi.h"

int main(void)
{
	struct thread t;
	int pipes[2];

	start();
	close(uffd_new(0)); /* skips where userfaultfd is refused altogether */
	int fd = syscall(SYS_userfaultfd, O_NONBLOCK | UFFD_USER_MODE_ONLY);
	CHECK(fd >= 0);
	EQ(uffd_api(fd, 0), 0);
	char *p = map(1);
	EQ(pipe(pipes), 0);
	EQ(write(pipes[1], "x", 1), 1);
	EQ(reg(fd, p, PG, MISSING), 0);
	ERR(read(pipes[0], p, 1), EFAULT);
	ERR(write(pipes[1], p, 1), EFAULT);
	ERR(open(p, O_RDONLY), EFAULT);
	ERR(mlock(p, PG), ENOMEM);
	EQ(munlock(p, PG), 0);
	ERR(madvise(p, PG, 22 /* MADV_POPULATE_READ */), EFAULT);
	CHECK(quiet(fd));
	CHECK(!populated(p));
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);
	EQ(read(pipes[0], p, 1), 1);
	EQ(p[0], 'x');
	return 0;
}
