/* SPDX-License-Identifier: MIT */
/* A thread registers the stack that it runs on; what stands there stays. */
#include "abi.h"

#define PAGES 64

struct job {
	int fd;
	char *stack;
};

static int __attribute__((noinline)) sum_below(volatile int *above, int levels)
{
	volatile int here[300];

	for (int i = 0; i < 300; i++)
		here[i] = above[i % 10] + 1;
	int rest = levels ? sum_below(here, levels - 1) : 0;
	return rest + here[299] - above[9];
}

static void *register_self(void *arg)
{
	struct job *job = arg;
	volatile int top[10] = {0};

	/* Down and up again, so that the pages below are there. */
	EQ(sum_below(top, 20), 21);
	EQ(reg(job->fd, job->stack, PAGES * PG, MISSING), 0);
	EQ(sum_below(top, 20), 21);
	EQ(unreg(job->fd, job->stack, PAGES * PG), 0);
	EQ(sum_below(top, 20), 21);
	EQ(reg(job->fd, job->stack, PAGES * PG, MISSING), 0);
	EQ(sum_below(top, 20), 21);
	for (int i = 0; i < 10; i++)
		EQ(top[i], 0);
	return NULL;
}

int main(void)
{
	pthread_attr_t attr;
	pthread_t id;

	start();
	struct job job = {uffd_open(0), map(PAGES)};
	EQ(pthread_attr_init(&attr), 0);
	EQ(pthread_attr_setstack(&attr, job.stack, PAGES * PG), 0);
	EQ(pthread_create(&id, &attr, register_self, &job), 0);
	EQ(pthread_join(id, NULL), 0);
	CHECK(quiet(job.fd));
	close(job.fd);
	return 0;
}
