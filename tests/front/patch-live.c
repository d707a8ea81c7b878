/* SPDX-License-Identifier: MIT */
/*
 * The first userfaultfd of a process may come while its other threads are anywhere in libc, asleep
 * in system calls, too.
 */
#include "abi.h"

#include <sys/wait.h>

#define ROUNDS 20

static _Atomic bool stop;
static _Atomic unsigned turns[4];
static int pipe_fd[2];

static void *busy(void *arg)
{
	int null = open("/dev/zero", O_RDWR), fds[2];
	char c;

	while (!atomic_load(&stop)) {
		EQ(read(null, &c, 1), 1);
		EQ(write(null, &c, 1), 1);
		EQ(getppid() > 0, 1);
		EQ(pipe(fds), 0);
		close(fds[0]);
		close(fds[1]);
		free(malloc(1 << 20));
		atomic_fetch_add((_Atomic unsigned *)arg, 1);
	}
	close(null);
	return NULL;
}

static void *asleep(void *arg)
{
	char c;

	EQ(read(pipe_fd[0], &c, 1), 1);
	return arg;
}

/* Each of them has been round since. */
static void all_go_round(void)
{
	unsigned i, before;

	for (i = 0; i < 3; i++) {
		before = atomic_load(&turns[i]);
		while (atomic_load(&turns[i]) - before < 3)
			sched_yield();
	}
}

static void one_round(void)
{
	struct thread t[4], toucher;
	unsigned i;
	char *p;
	int fd;

	EQ(pipe(pipe_fd), 0);
	for (i = 0; i < 3; i++)
		run(&t[i], busy, (void *)&turns[i]);
	run(&t[3], asleep, NULL);
	wait_asleep(&t[3]);
	all_go_round();
	fd = uffd_open(0);
	all_go_round();
	p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	reader(&toucher, p);
	FAULT(fd, p, 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&toucher);
	EQ(write(pipe_fd[1], "", 1), 1);
	join(&t[3]);
	atomic_store(&stop, true);
	for (i = 0; i < 3; i++)
		join(&t[i]);
}

int main(void)
{
	int i, status;
	pid_t pid;

	start();
	for (i = 0; i < ROUNDS; i++) {
		pid = fork();
		if (pid == 0) {
			one_round();
			_exit(0);
		}
		EQ(waitpid(pid, &status, 0), pid);
		EQ(status, 0);
	}
	return 0;
}
