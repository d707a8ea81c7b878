/*
 * library.c - what the library takes from libc, where the interposer has to look behind itself.
 */
#include "front/front.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "front/sigsegv.h"

static void begin_fork(void)
{
	front_fork_begin(false);
}

__attribute__((constructor)) static void library_start(void)
{
	pthread_atfork(begin_fork, front_fork_parent, front_fork_child);
}

int front_poll(struct pollfd *fds, unsigned long n, int timeout)
{
	return poll(fds, n, timeout);
}

int front_sleep(_Atomic uint32_t *word, uint32_t value)
{
	return (int)SYS(SYS_futex, word, FUTEX_WAIT, value, NULL);
}

const char *front_started(void)
{
	return NULL;
}

ssize_t front_read(int fd, void *buf, size_t count)
{
	return read(fd, buf, count);
}

int front_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	if (sig == SIGSEGV && sigsegv_swap(act, old))
		return 0;
	return sigaction(sig, act, old) < 0 ? -errno : 0;
}
