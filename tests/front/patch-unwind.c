/* SPDX-License-Identifier: MIT */
/*
 * A signal's handler can tell who made the system call that it interrupts: in one that is passed
 * on, and in one that is looked into.
 */
#include "abi.h"

#include <execinfo.h>

static _Atomic int depth;
static void *frames[64];
static int pipe_fd[2];
static char *page;

static void on_signal(int sig)
{
	(void)sig;
	atomic_store(&depth, backtrace(frames, 64));
}

/* Kept apart from others, so that they can be told from them in the list of frames. */
__attribute__((noinline)) static void *in_read(void *arg)
{
	struct iovec *iov = arg;
	ssize_t n = read(pipe_fd[0], iov->iov_base, iov->iov_len);

	EQ(n, 1);
	return (void *)(n - 1);
}

static bool came_by(void *fn)
{
	int i;

	for (i = 0; i < atomic_load(&depth); i++)
		if ((uintptr_t)frames[i] - (uintptr_t)fn < 256)
			return true;
	return false;
}

static void interrupted(void *(*fn)(void *), void *arg)
{
	struct thread t;

	atomic_store(&depth, 0);
	run(&t, fn, arg);
	CHECK(blocked(&t));
	EQ(pthread_kill(t.id, SIGUSR1), 0);
	while (!atomic_load(&depth))
		sched_yield();
	CHECK(came_by((void *)fn));
	EQ(write(pipe_fd[1], "", 1), 1);
	join(&t);
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct iovec plain, managed;
	char byte;
	int fd;

	start();
	fd = uffd_open_full(0);
	backtrace(frames, 64);
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	EQ(pipe(pipe_fd), 0);
	page = map(1);
	EQ(reg(fd, page, PG, MISSING), 0);
	DONE(zeropage(fd, page, PG, 0), PG);
	plain = (struct iovec){&byte, 1};
	managed = (struct iovec){page, PG};
	interrupted(in_read, &plain);
	interrupted(in_read, &managed);
	return 0;
}
