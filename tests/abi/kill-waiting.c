/* SPDX-License-Identifier: MIT */
/* A process that waits for pages dies of a signal like any other. */
#include "abi.h"

#include <sys/wait.h>

static void child_main(int ready)
{
	struct thread t[2];

	start();
	int fd = uffd_open(0);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	for (int i = 0; i < 2; i++) {
		reader(&t[i], p + i * PG);
		CHECK(blocked(&t[i]));
	}
	EQ(write(ready, "r", 1), 1);
	/* The first thread waits as well. */
	(void)*(volatile char *)(p + 2 * PG);
	_exit(3);
}

int main(void)
{
	static const int signals[] = {SIGTERM, SIGKILL};

	start();
	uffd_features();
	for (int i = 0; i < 2; i++) {
		int pipes[2], status;
		char byte;

		EQ(pipe(pipes), 0);
		pid_t child = fork();
		CHECK(child >= 0);
		if (!child)
			child_main(pipes[1]);
		EQ(read(pipes[0], &byte, 1), 1);
		EQ(kill(child, signals[i]), 0);
		EQ(waitpid(child, &status, 0), child);
		CHECK(WIFSIGNALED(status));
		EQ(WTERMSIG(status), signals[i]);
		close(pipes[0]);
		close(pipes[1]);
	}
	return 0;
}
