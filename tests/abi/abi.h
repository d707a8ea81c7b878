/* SPDX-License-Identifier: MIT */
/*
 * What the ABI tests share. A test is a plain program: it exits with 0 when the system behaves as
 * it expects, with 77 and a sentence when the kernel lacks what it needs, and with 1 and
 * file:line, expected and got otherwise. Where nothing may be lacking, ABI_NO_SKIP in the
 * environment makes a skip a failure.
 */
#ifndef ABI_H
#define ABI_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "uffd_abi.h"

#define PG 4096ul

#define MISSING UFFDIO_REGISTER_MODE_MISSING
#define WP	UFFDIO_REGISTER_MODE_WP
#define MINOR	UFFDIO_REGISTER_MODE_MINOR
#define RWP	UFFDIO_REGISTER_MODE_RWP

/* What an output field holds before the call. */
#define UNTOUCHED 0x5a5a5a5a5a5all

/* --- expectations --------------------------------------------------------------------------- */

/* The outcome of an ioctl: 0 or its errno, and its output field. */
struct outcome {
	int err;
	int64_t out;
};

/* What the test is about at the moment, for the text of a failure; or NULL. */
extern const char *about;

_Noreturn void fail_at(const char *file, int line, const char *what, long long want, long long got);
void outcome_at(const char *file, int line, const char *what, struct outcome got, int err,
		int64_t out);
_Noreturn void skip(const char *why);
/* Skips for something that no implementation of userfaultfd can make up for. */
_Noreturn void skip_host(const char *why);

#define EQ(got, want)                                                                              \
	do {                                                                                       \
		long long got_ = (long long)(got), want_ = (long long)(want);                      \
		if (got_ != want_)                                                                 \
			fail_at(__FILE__, __LINE__, #got, want_, got_);                            \
	} while (0)
#define CHECK(cond) EQ(!!(cond), 1)

/* A libc call that returns -1 and sets errno. */
#define ERR(call, error)                                                                           \
	do {                                                                                       \
		errno = 0;                                                                         \
		EQ(call, -1);                                                                      \
		int errno_ = errno;                                                                \
		if (errno_ != (error))                                                             \
			fail_at(__FILE__, __LINE__, "errno of " #call, error, errno_);             \
	} while (0)

/* The whole of it done; nothing done for this reason; refused before it began; n bytes done. */
#define DONE(op, n)	   outcome_at(__FILE__, __LINE__, #op, op, 0, (int64_t)(n))
#define FAILS(op, error)   outcome_at(__FILE__, __LINE__, #op, op, error, -(int64_t)(error))
#define REFUSED(op, error) outcome_at(__FILE__, __LINE__, #op, op, error, UNTOUCHED)
#define PARTLY(op, n)	   outcome_at(__FILE__, __LINE__, #op, op, EAGAIN, (int64_t)(n))

/* --- descriptors ---------------------------------------------------------------------------- */

/* To be called first: sets the time limit. */
void start(void);
/* A fresh descriptor with these O_ flags, not initialised. */
int uffd_new(int flags);
/* O_NONBLOCK and initialised with these features; skips if they are not offered. */
int uffd_open(uint64_t features);
int uffd_api(int fd, uint64_t features);
/* All features that this system offers. */
uint64_t uffd_features(void);
void need_features(uint64_t features);
/* Skips unless faults taken inside system calls are delivered (no UFFD_USER_MODE_ONLY). */
int uffd_open_full(uint64_t features);

/* --- memory --------------------------------------------------------------------------------- */

/* Fresh pages with an unmapped page on either side, so that no neighbour can merge with them. */
char *map(size_t pages);
char *map_prot(size_t pages, int prot);
/* A page filled with this byte, good as a source. */
char *page_of(int byte);
/* This address, which the compiler knows nothing about. */
volatile char *at_address(uintptr_t address);
/* Whether all bytes of the range are this byte. */
bool all(const char *p, size_t len, int byte);
uint64_t pagemap(const void *addr);
/* PAGEMAP_SCAN of this process; sets the argument's size. The number of regions, or -errno. */
long scan(struct scan_arg *arg);
/* Whether the page table has a page there, by pagemap's word. */
bool populated(const void *addr);

/* --- ioctls: each returns 0 or the errno ----------------------------------------------------- */

int reg(int fd, const void *addr, size_t len, uint64_t mode);
/* REGISTER and its output field, the ioctl bits. */
struct outcome reg_out(int fd, const void *addr, size_t len, uint64_t mode);
int unreg(int fd, const void *addr, size_t len);
int wake(int fd, const void *addr, size_t len);
int protect(int fd, const void *addr, size_t len, uint64_t mode);
int rwprotect(int fd, const void *addr, size_t len, uint64_t mode);
struct outcome copy(int fd, const void *dst, const void *src, size_t len, uint64_t mode);
struct outcome move(int fd, const void *dst, const void *src, size_t len, uint64_t mode);
struct outcome zeropage(int fd, const void *addr, size_t len, uint64_t mode);
struct outcome poison(int fd, const void *addr, size_t len, uint64_t mode);
struct outcome cont(int fd, const void *addr, size_t len, uint64_t mode);

/* --- messages ------------------------------------------------------------------------------- */

/* Waits for the next message of a non-blocking descriptor. */
struct uffd_msg next_msg(int fd);
void fault_at(const char *file, int line, struct uffd_msg got, const void *addr, uint64_t flags);
/* The next message must be this fault. */
#define FAULT(fd, addr, flags) fault_at(__FILE__, __LINE__, next_msg(fd), addr, flags)
void event_at(const char *file, int line, struct uffd_msg got, int event, uint64_t a, uint64_t b,
	      uint64_t c);
#define EVENT(fd, event, a, b, c)                                                                  \
	event_at(__FILE__, __LINE__, next_msg(fd), event, (uintptr_t)(a), (uintptr_t)(b),          \
		 (uintptr_t)(c))
/* Nothing to read: neither by poll nor by read. */
bool quiet(int fd);

/* --- threads -------------------------------------------------------------------------------- */

struct thread {
	pthread_t id;
	_Atomic int tid;
	_Atomic bool done;
	void *(*fn)(void *);
	void *arg;
	volatile char *addr;
	int byte;
};

void run(struct thread *t, void *(*fn)(void *), void *arg);
/* A thread that reads (into t->byte) or writes one byte. */
void reader(struct thread *t, const void *addr);
void writer(struct thread *t, void *addr, int byte);
void join(struct thread *t);
/* Returns when /proc shows the thread asleep, as one that waits in read() or for a fault is. */
void wait_asleep(struct thread *t);
/* The thread is asleep and has not finished. */
bool blocked(struct thread *t);
char task_state(int tid);
/* The same of whatever has such a file under /proc. */
char stat_state(const char *path);

/* --- calls that may block until an event is read ---------------------------------------------- */

struct call {
	struct thread thread;
	long number;
	long args[6];
	long result;
};

/* munmap, mremap, madvise or mmap on a thread of its own. */
void call_munmap(struct call *c, void *addr, size_t len);
void call_mremap(struct call *c, void *addr, size_t old_len, size_t len, int flags, void *to);
void call_madvise(struct call *c, void *addr, size_t len, int advice);
void call_map_over(struct call *c, void *addr, size_t len);
/* The call's result when it has returned, or -errno. */
long returned(struct call *c);

/* --- signals -------------------------------------------------------------------------------- */

/* Reads or writes one byte; 0 or the signal that came instead. */
int try_read(const void *addr, siginfo_t *info);
int try_write(void *addr, int byte, siginfo_t *info);

#endif
