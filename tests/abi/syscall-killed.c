/* SPDX-License-Identifier: MIT */
/* A signal that ends the process ends it while a system call waits for a page. */
#include "abi.h"

#include <sys/wait.h>

static void wait_for_page(int ready, bool in_thread_too)
{
	struct thread t;
	int fd = uffd_open_full(0), pipes[2];
	char *p = map(2);

	EQ(pipe(pipes), 0);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	if (in_thread_too)
		reader(&t, p + PG);
	EQ(write(ready, "r", 1), 1);
	(void)!write(pipes[1], p, 1);
	_exit(3);
}

static void killed_by(int sig, bool in_thread_too)
{
	int ready[2], status;
	char byte;

	EQ(pipe(ready), 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		alarm(20);
		wait_for_page(ready[1], in_thread_too);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		EQ(waitpid(child, &status, 0), child);
		_exit(WEXITSTATUS(status));
	}
	/* It may not wait yet; it is ended all the same. */
	for (int i = 0; i < 1000; i++)
		sched_yield();
	EQ(kill(child, sig), 0);
	EQ(waitpid(child, &status, 0), child);
	CHECK(WIFSIGNALED(status));
	EQ(WTERMSIG(status), sig);
	close(ready[0]);
}

int main(void)
{
	start();
	killed_by(SIGKILL, false);
	killed_by(SIGTERM, false);
	killed_by(SIGINT, true);
	return 0;
}
