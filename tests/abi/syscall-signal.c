/* SPDX-License-Identifier: MIT */
/* A signal does not interrupt a wait inside a system call; its handler runs when that is over. */
#include "abi.h"

static atomic_int handled;

struct job {
	int fd;
	char *from;
};

static void on_usr1(int sig)
{
	(void)sig;
	handled++;
}

static void *write_pipe(void *arg)
{
	struct job *job = arg;

	EQ(write(job->fd, job->from, 10), 10);
	return NULL;
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_usr1};
	struct thread t;
	int pipes[2];

	start();
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	int fd = uffd_open_full(0);
	char *p = map(1);
	EQ(pipe(pipes), 0);
	EQ(reg(fd, p, PG, MISSING), 0);
	struct job job = {pipes[1], p};
	run(&t, write_pipe, &job);
	FAULT(fd, p, 0);
	EQ(pthread_kill(t.id, SIGUSR1), 0);
	/* The fault may be posted anew, even many times over, but the handler has to wait. */
	for (int i = 0; i < 1000; i++)
		sched_yield();
	EQ(handled, 0);
	CHECK(!t.done);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);
	EQ(handled, 1);
	return 0;
}
