/* SPDX-License-Identifier: MIT */
/* A path name in a missing page. */
#include "abi.h"

static void *open_it(void *arg)
{
	int fd = open(arg, O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	close(fd);
	return NULL;
}

int main(void)
{
	struct thread t;
	char *src = map(1);

	start();
	int fd = uffd_open_full(0);
	char *p = map(1);
	strcpy(src, "/dev/null");
	EQ(reg(fd, p, PG, MISSING), 0);
	run(&t, open_it, p);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, src, PG, 0), PG);
	join(&t);
	return 0;
}
