/* SPDX-License-Identifier: MIT */
/*
 * What the library's tests share. They link libuserfault and run by themselves and under
 * `userfault run`: the calls must do the same.
 */
#ifndef LIB_H
#define LIB_H

#include <userfault/userfault.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PG 4096ul

#define EQ(got, want)                                                                              \
	do {                                                                                       \
		long long got_ = (long long)(got), want_ = (long long)(want);                      \
		if (got_ != want_) {                                                               \
			fprintf(stderr, "%s:%d: %s: expected %lld, got %lld\n", __FILE__,          \
				__LINE__, #got, want_, got_);                                      \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)
#define CHECK(cond) EQ(!!(cond), 1)

/* As memory that others change behind the compiler's back. */
#define ERRNO (*(volatile int *)&errno)

static inline void start(void)
{
	alarm(60);
}

static inline void *map(size_t pages)
{
	char *p =
		mmap(NULL, pages * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

/* A signal that came instead of the access, or 0. */
static sigjmp_buf away;

static inline void jump(int sig)
{
	siglongjmp(away, sig);
}

static inline int try_read(volatile char *p)
{
	int sig = sigsetjmp(away, 1);

	if (sig == 0)
		(void)*p;
	return sig;
}

#endif
