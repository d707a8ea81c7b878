/* SPDX-License-Identifier: MIT */
/* read() into a write-protected page waits like a write of the program. */
#include "abi.h"

struct job {
	int fd;
	char *to;
};

static void *read_pipe(void *arg)
{
	struct job *job = arg;

	EQ(read(job->fd, job->to, 100), 100);
	return NULL;
}

int main(void)
{
	struct thread t;
	int pipes[2];

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open_full(0);
	char *p = page_of(1);
	EQ(pipe(pipes), 0);
	EQ(reg(fd, p, PG, WP), 0);
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	/* To read from it is no fault. */
	EQ(write(pipes[1], p, 100), 100);
	CHECK(quiet(fd));
	struct job job = {pipes[0], p + 8};
	run(&t, read_pipe, &job);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	CHECK(blocked(&t));
	EQ(protect(fd, p, PG, 0), 0);
	join(&t);
	CHECK(all(p, PG, 1));
	return 0;
}
