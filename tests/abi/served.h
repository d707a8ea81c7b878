/* SPDX-License-Identifier: MIT */
/*
 * Memory that is not there until somebody touches it. A thread of the test brings its pages as they
 * are asked for, and counts them: what a system call is handed, and how often it asked.
 */
#ifndef SERVED_H
#define SERVED_H

#include "abi.h"

/* Start serving, with faults of system calls; skips where those are refused. */
void serve(void);

/* A copy of these bytes on a page that nobody has touched; NULL: nothing but zeroes. */
void *lend(const void *contents, size_t len);
/* The same across the border of two pages. */
void *lend_over(const void *contents, size_t len);
/* The same on pages that are there, and protected against writing. */
void *guard(const void *contents, size_t len);

/* Protect what is there of these pages, again. */
void guard_again(void *p, size_t len);

static inline void *lend_string(const char *s)
{
	return lend(s, strlen(s) + 1);
}

/* How many pages have been asked for since this was asked last. */
int asked(void);
#define ASKED(n) EQ(asked(), n)
/* The flags of the n-th message ever. */
uint64_t asked_flags(int n);

/* A raw system call: its result, or a negative errno. */
long sys_call(long nr, long a, long b, long c, long d, long e, long f);
#define SYS_(nr, a, b, c, d, e, f, ...)                                                            \
	sys_call(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define SYS(...) SYS_(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

#endif
