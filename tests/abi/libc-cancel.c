/* SPDX-License-Identifier: MIT */
/*
 * Threads cancelled in system calls that libc makes with managed memory in their arguments: their
 * cleanups run, and nothing is asked for that the call did not come to.
 */
#include "abi.h"

#include <sys/socket.h>
#include <sys/wait.h>

static int pipe_fd[2], pair[2], fd;
static char *page;
static _Atomic int cleaned;

static void clean(void *arg)
{
	(void)arg;
	atomic_fetch_add(&cleaned, 1);
}

#define WAITS(name, call)                                                                          \
	static void *name(void *arg)                                                               \
	{                                                                                          \
		pthread_cleanup_push(clean, NULL);                                                 \
		(void)!(call);                                                                     \
		pthread_cleanup_pop(0);                                                            \
		return arg;                                                                        \
	}
WAITS(in_read, read(pipe_fd[0], page, PG))
WAITS(in_recv, recv(pair[0], page, PG, 0))
WAITS(in_fread, fread(page, 1, PG, arg))
WAITS(in_poll, poll((struct pollfd *)page, 1, -1))
WAITS(in_sigwait, sigwaitinfo(arg, (siginfo_t *)page))
WAITS(in_wait, waitpid(-1, (int *)page, 0))

static void cancelled(void *(*fn)(void *), void *arg)
{
	struct thread t;
	void *result;

	run(&t, fn, arg);
	CHECK(blocked(&t));
	EQ(pthread_cancel(t.id), 0);
	EQ(pthread_join(t.id, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	EQ(atomic_exchange(&cleaned, 0), 1);
	CHECK(quiet(fd));
}

int main(void)
{
	sigset_t set;
	FILE *f;
	pid_t child;

	start();
	fd = uffd_open_full(0);
	EQ(pipe(pipe_fd), 0);
	EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	page = map(1);
	EQ(reg(fd, page, PG, MISSING), 0);
	f = fdopen(pipe_fd[0], "r");
	CHECK(f);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}

	cancelled(in_read, NULL);
	cancelled(in_recv, NULL);
	cancelled(in_sigwait, &set);
	cancelled(in_wait, NULL);
	EQ(setvbuf(f, NULL, _IONBF, 0), 0);
	cancelled(in_fread, f);

	/* Of what is there, too. */
	DONE(zeropage(fd, page, PG, 0), PG);
	*(struct pollfd *)page = (struct pollfd){.fd = pipe_fd[0], .events = POLLIN};
	cancelled(in_poll, NULL);
	cancelled(in_read, NULL);
	EQ(kill(child, SIGKILL), 0);
	EQ(waitpid(child, NULL, 0), child);
	return 0;
}
