/*
 * library.c - what the library takes from libc, where the interposer has to look behind itself.
 */
#include "front/front.h"

#include <unistd.h>

#include "front/sigsegv.h"

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
