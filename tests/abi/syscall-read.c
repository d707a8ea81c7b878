/* SPDX-License-Identifier: MIT */
/* read() into a missing page waits like a write of the program, and loses nothing. */
#include "abi.h"

struct job {
	int fd;
	char *to;
};

static void *read_pipe(void *arg)
{
	struct job *job = arg;

	EQ(read(job->fd, job->to, 2 * PG), 6000);
	return NULL;
}

int main(void)
{
	struct thread t;
	int pipes[2];

	start();
	int fd = uffd_open_full(0);
	char *p = map(2), *src = map(2);
	for (int i = 0; i < 6000; i++)
		src[i] = i % 100;
	EQ(pipe(pipes), 0);
	EQ(write(pipes[1], src, 6000), 6000);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	struct job job = {pipes[0], p};
	run(&t, read_pipe, &job);
	for (int i = 0; i < 2; i++) {
		FAULT(fd, p + i * PG, UFFD_PAGEFAULT_FLAG_WRITE);
		DONE(copy(fd, p + i * PG, page_of(0x7f), PG, 0), PG);
	}
	join(&t);
	EQ(memcmp(p, src, 6000), 0);
	EQ(p[6000], 0x7f);
	CHECK(quiet(fd));
	return 0;
}
