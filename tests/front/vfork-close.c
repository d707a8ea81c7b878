/* SPDX-License-Identifier: MIT */
/*
 * A vfork child runs in its parent's memory with descriptors and signal actions of its own: it may
 * close the ones and reset the others.
 */
#include "abi.h"

#include <sys/wait.h>

static void serves(int fd, char *page, int byte)
{
	struct thread t;

	reader(&t, page);
	FAULT(fd, page, 0);
	DONE(copy(fd, page, page_of(byte), PG, 0), PG);
	join(&t);
	EQ(t.byte, byte);
}

static void handler(int sig)
{
	_exit(sig);
}

static int in_child(void *arg)
{
	struct sigaction act = {.sa_handler = SIG_DFL};
	int fd = *(int *)arg, i;

	sigaction(SIGSEGV, &act, NULL);
	dup2(STDERR_FILENO, fd);
	for (i = 3; i < 100; i++)
		close(i);
	close_range(3, ~0u, 0);
	return 0;
}

static void finish(pid_t pid)
{
	int status;

	CHECK(pid > 0);
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
}

int main(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	struct sigaction act = {.sa_handler = handler};
	int fd, i;
	pid_t pid;
	char *p;

	start();
	EQ(sigaction(SIGSEGV, &act, NULL), 0);
	fd = uffd_open(0);
	p = map(6);
	EQ(reg(fd, p, 6 * PG, MISSING), 0);
	serves(fd, p, 1);
	for (i = 1; i < 3; i++) {
		pid = vfork();
		if (!pid)
			_exit(in_child(&fd));
		finish(pid);
		serves(fd, p + i * PG, i + 1);
	}
	finish(clone(in_child, stack + sizeof(stack), CLONE_VM | SIGCHLD, &fd));
	serves(fd, p + 3 * PG, 4);

	EQ(sigaction(SIGSEGV, NULL, &act), 0);
	CHECK(act.sa_handler == handler);

	/* But one that shares descriptors closes them for both. */
	finish(clone(in_child, stack + sizeof(stack), CLONE_VM | CLONE_FILES | SIGCHLD, &fd));
	ERR(fcntl(fd, F_GETFD), EBADF);
	EQ(try_read(p + 4 * PG, NULL), 0);
	EQ(p[4 * PG], 0);
	return 0;
}
