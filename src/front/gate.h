/*
 * gate.h - where system calls of the program end that did not come through a wrapper.
 *
 *   gate.c        what becomes of each, and the way out to the kernel
 *   gate_files.c  those on descriptors and paths
 *   gate_wait.c   those that wait for descriptors
 *   gate_quick.c  which of them need no more than a look
 *   gate_entry.S  the way in from a patched place
 *   patch.c       the places in the C library
 *   syscall.c     syscall()
 *
 * Nothing here calls a function of libc that makes the system call that it stands for: that one
 * ends here.
 */
#ifndef UF_FRONT_GATE_H
#define UF_FRONT_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A system call of the program's: a result or a negative errno, as the kernel's. */
long gate_call(long nr, const long a[6]);
/* The same from where libc would make it: a cancellation point if its thread is cancellable now. */
long gate_site(long nr, const long a[6]);

/*
 * The kernel's own call for it. If the program's call was a place where its thread can be
 * cancelled, this is: whoever holds something over it has a cleanup for that.
 */
long gate_raw(long nr, const long a[6]);

/* The same where it always is such a place, as in libc's function for the call. */
long gate_point(long nr, const long a[6]);

/* call(nr, a), in which gate_raw is such a place. */
long gate_with_points(long (*call)(long nr, const long a[6]), long nr, const long a[6]);

/* Those with a number and up to six arguments. */
#define GATE_RAW(...)	gate_raw(GATE_ARGS_(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0))
#define GATE_POINT(...) gate_point(GATE_ARGS_(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0))
#define GATE_ARGS_(nr, a, b, c, d, e, f, ...)                                                      \
	nr, (const long[6])                                                                        \
	{                                                                                          \
		(long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f)                   \
	}

/*
 * The program's memory, accessed as by a system call: page by page from the front, with its faults.
 * 0 or -EFAULT.
 */
int gate_fetch(void *to, const void *from, size_t n);
int gate_give(void *to, const void *from, size_t n);
/* All of it can be read. */
int gate_touch(const void *p, size_t n);
/* A string into room, of PATH_MAX bytes. Or -ENAMETOOLONG. */
int gate_string(char *room, const char *from);

/* A clone with these flags is about to be made: a process in this memory may come of it. */
void gate_clones(uint64_t flags);

/* All that was ever managed lies between these. */
extern _Atomic uint64_t mem_lowest, mem_highest;

/* ---- inside the gate --------------------------------------------------------------------------
 */

/* What they concern themselves with gets an answer in *ret; false: all the others. */
bool gate_files(long nr, const long a[6], long *ret);
bool gate_paths(long nr, const long a[6], long *ret);
bool gate_wait(long nr, const long a[6], long *ret);
/* The kernel refused to read from it: it may be a userfaultfd that has come from elsewhere. */
void gate_strange_file(long nr, const long a[6], long *ret);
/* Calls that concern nothing of ours but, perhaps, the memory of their arguments. */
long gate_others(long nr, const long a[6]);

#endif
