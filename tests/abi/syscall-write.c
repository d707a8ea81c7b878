/* SPDX-License-Identifier: MIT */
/* write() from a missing page waits like a read of the program. */
#include "abi.h"

struct job {
	int fd;
	char *from;
};

static void *write_pipe(void *arg)
{
	struct job *job = arg;

	EQ(write(job->fd, job->from, 5000), 5000);
	return NULL;
}

int main(void)
{
	struct thread t;
	char *got = map(2);
	int pipes[2];

	start();
	int fd = uffd_open_full(0);
	char *p = map(2);
	EQ(pipe(pipes), 0);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	struct job job = {pipes[1], p};
	run(&t, write_pipe, &job);
	for (int i = 0; i < 2; i++) {
		FAULT(fd, p + i * PG, 0);
		DONE(copy(fd, p + i * PG, page_of('a' + i), PG, 0), PG);
	}
	join(&t);
	EQ(read(pipes[0], got, 2 * PG), 5000);
	CHECK(all(got, PG, 'a'));
	CHECK(all(got + PG, 5000 - PG, 'b'));
	return 0;
}
