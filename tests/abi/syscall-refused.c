/* SPDX-License-Identifier: MIT */
/* System calls on poisoned pages, and on missing ones with the SIGBUS feature: EFAULT. */
#include "abi.h"

int main(void)
{
	int pipes[2];

	start();
	EQ(pipe(pipes), 0);
	int fd = uffd_open_full(UFFD_FEATURE_SIGBUS);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	ERR(write(pipes[1], p, 1), EFAULT);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	EQ(write(pipes[1], p, 1), 1);
	ERR(read(pipes[0], p + PG, 1), EFAULT);
	EQ(read(pipes[0], p + 1, 1), 1);
	if (uffd_features() & UFFD_FEATURE_POISON) {
		DONE(poison(fd, p + PG, PG, 0), PG);
		ERR(write(pipes[1], p + PG, 1), EFAULT);
	}
	CHECK(quiet(fd));
	return 0;
}
