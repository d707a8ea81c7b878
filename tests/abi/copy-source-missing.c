/* SPDX-License-Identifier: MIT */
/* The source of COPY may itself be missing: the copying thread faults, and copies what it is given.
 */
#include "abi.h"

struct job {
	int fd;
	char *dst, *src;
};

static void *copier(void *arg)
{
	struct job *job = arg;

	DONE(copy(job->fd, job->dst, job->src, PG, 0), PG);
	return NULL;
}

int main(void)
{
	struct thread t;

	start();
	int source_fd = uffd_open_full(0), fd = uffd_open(0);
	struct job job = {fd, map(1), map(1)};
	EQ(reg(fd, job.dst, PG, MISSING), 0);
	EQ(reg(source_fd, job.src, PG, MISSING), 0);
	run(&t, copier, &job);
	FAULT(source_fd, job.src, 0);
	CHECK(quiet(fd));
	DONE(copy(source_fd, job.src, page_of(0x42), PG, 0), PG);
	join(&t);
	CHECK(all(job.dst, PG, 0x42));
	return 0;
}
