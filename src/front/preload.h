/*
 * preload.h - the interposer: what the files of wrappers share.
 *
 *   real.c      libc's own functions, found behind ours
 *   io.c        read, write, ioctl, close, dup, fcntl and their kin
 *   calls.c     arguments of system calls in managed memory (calls.h)
 *   open.c      open, fopen, readlink: the paths that mean something to us
 *   pagemap.c   /proc/self/pagemap and PAGEMAP_SCAN
 *   poll.c      poll, select and their kin
 *   epoll.c     epoll
 *   map.c       mmap and its kin
 *   signals.c   masks, alternate stacks
 *   actions.c   sigaction and its kin
 *   threads.c   pthread_create, clone
 *   sockets.c   buffers that go to sockets
 *   process.c   fork, exec, the constructor
 *   syscall.c   syscall()
 *   resize.c    truncation, holes
 *   huge_fd.c   files with emulated huge pages
 *   sysv.c      shmget and its kin
 *   meminfo.c   /proc/meminfo, where huge pages are emulated
 *   mincore.c   mincore
 *   usage.c     getrusage
 *   unwind.c    cleanups of cancelled threads
 *
 * A wrapper's first line decides with one relaxed load that there is nothing for us to do, and goes
 * on to libc. Wrappers work before the constructor has run and in signal handlers.
 */
#ifndef UF_FRONT_PRELOAD_H
#define UF_FRONT_PRELOAD_H

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "front/front.h"

#include <sys/socket.h>

#define EXPORT __attribute__((visibility("default")))

/* ---- real.c ------------------------------------------------------------------------------------
 */

ssize_t __read_chk(int fd, void *buf, size_t n, size_t size);
ssize_t __pread_chk(int fd, void *buf, size_t n, off_t off, size_t size);
ssize_t __pread64_chk(int fd, void *buf, size_t n, off64_t off, size_t size);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
		size_t size);
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);
ssize_t __readlink_chk(const char *path, char *buf, size_t n, size_t size);
ssize_t __readlinkat_chk(int dir, const char *path, char *buf, size_t n, size_t size);
ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t size, int flags, struct sockaddr *from,
		       socklen_t *len);
pid_t _Fork(void);
int __fxstat(int version, int fd, struct stat *st);
int __fxstat64(int version, int fd, struct stat64 *st);
void __longjmp_chk(struct __jmp_buf_tag env[1], int value) __attribute__((noreturn));

/* Every libc function that a wrapper goes on to. */
/* clang-format off */
#define REAL_LIST(X)                                                                           \
	X(read) X(__read_chk) X(readv) X(pread) X(pread64) X(preadv) X(preadv64)               \
	X(preadv2) X(preadv64v2) X(__pread_chk) X(__pread64_chk) X(write) X(writev)            \
	X(pwrite) X(pwrite64) X(pwritev) X(pwritev64) X(ioctl) X(close) X(dup) X(dup2)         \
	X(dup3) X(fcntl) X(fcntl64) X(fclose) X(open) X(open64) X(openat) X(openat64)          \
	X(fopen) X(fopen64) X(freopen) X(freopen64) X(__open_2) X(__open64_2) X(__openat_2) X(__openat64_2)            \
	X(readlink) X(readlinkat) X(__readlink_chk) X(__readlinkat_chk) X(poll)                \
	X(__poll_chk) X(ppoll) X(__ppoll_chk) X(select) X(pselect) X(epoll_ctl)                \
	X(epoll_wait) X(epoll_pwait) X(epoll_pwait2) X(sbrk) X(brk) X(sigaction)               \
	X(signal) X(sysv_signal) X(sigset) X(siginterrupt) X(sigprocmask)                      \
	X(pthread_sigmask) X(sigsuspend) X(sigpending) X(longjmp) X(_longjmp)                  \
	X(siglongjmp) X(__longjmp_chk) X(pthread_create) X(pthread_cancel) X(clone) X(_Fork) X(execve)           \
	X(execvpe) X(fexecve) X(execveat) X(posix_spawn) X(posix_spawnp)                       \
	X(posix_spawnattr_setsigmask) X(pthread_attr_setsigmask_np) X(send) X(sendto)          \
	X(recv) X(recvfrom) X(__recv_chk) X(__recvfrom_chk) X(sendmsg) X(recvmsg)              \
	X(posix_fallocate) X(posix_fallocate64) X(fstat) X(fstat64) X(__fxstat)                \
	X(__fxstat64) X(fstatfs) X(fstatfs64) X(getrusage)
/* clang-format on */

enum real_id {
#define X(name) REAL_##name,
	REAL_LIST(X)
#undef X
	REAL_COUNT
};

extern _Atomic(void *) real_functions[REAL_COUNT];
void *real_find(enum real_id id);
/* All of them, ahead of their use where the dynamic linker is not welcome. */
void real_init(void);

static inline void *real_function(enum real_id id)
{
	void *fn = atomic_load_explicit(&real_functions[id], memory_order_relaxed);

	return likely(fn != NULL) ? fn : real_find(id);
}

/* libc's function of that name. */
#define REAL(name) ((__typeof__(&name))real_function(REAL_##name))

/* ---- io.c --------------------------------------------------------------------------------------
 */

/* A descriptor that belongs to the machine, which the program does not know. */
bool io_hidden(int fd);

/* *ret is what a read of fd came to. Is that a userfaultfd which the table does not know? */
struct file *io_recognise(int fd, long *ret);

/* What becomes of these on files of ours; only for those, results as the system call's. */
long io_read(struct file *f, int fd, void *buf, size_t n);
long io_readv(struct file *f, int fd, const struct iovec *iov, int n);
long io_pread(struct file *f, int fd, void *buf, size_t n, off_t off);
long io_preadv(struct file *f, int fd, const struct iovec *iov, int n, off_t off);
long io_write(struct file *f, bool positioned);
long io_ioctl(struct file *f, int fd, unsigned long cmd, uint64_t arg);
/* F_DUPFD*, F_GETFL, F_SETFL. */
long io_fcntl(struct file *f, int fd, int cmd, long arg);
/* write and writev, which may be meant to resolve faults. */
long io_resolve(struct file *f, const void *buf, size_t n);
long io_resolve_iov(struct file *f, const struct iovec *iov, int n);
/* The host has made `new` a duplicate of f, or failed to. */
long io_duplicated(struct file *f, long new);

/* dup3 and close_range of any descriptors; f is what old stands for, or NULL. */
long io_dup_over(struct file *f, int old, int new, int flags);
long io_close_range(unsigned first, unsigned last, int flags);

/* ---- open.c ------------------------------------------------------------------------------------
 */

/* A path of ours opened: a descriptor or a negative errno; false: not ours. */
bool open_special(int dir, const char *path, int flags, long *fd);
/* A path in managed memory is fetched as a system call would. Into room, PATH_MAX; 0 or -EFAULT. */
int path_fetch(const char *path, char *room);

/* The name to show for a path that is a descriptor of ours, or NULL. */
const char *open_link_name(const char *path);

static inline bool path_is_near(const char *path)
{
	return unlikely(front_managing()) && mem_near_managed(path, 1);
}

/* For the beginning of a wrapper: path may be looked at from here on. */
#define PATH_READY(path)                                                                           \
	do {                                                                                       \
		if (path_is_near(path)) {                                                          \
			char *room_ = __builtin_alloca(PATH_MAX);                                  \
			int err_ = path_fetch(path, room_);                                        \
                                                                                                   \
			if (err_)                                                                  \
				return (int)sys_errno(err_);                                       \
			path = room_;                                                              \
		}                                                                                  \
	} while (0)

/* ---- pagemap.c ---------------------------------------------------------------------------------
 */

/* The bytes [off, off + n) of pagemap have been read into buf: put the truth there. */
void pagemap_correct(void *buf, size_t n, uint64_t off);
/* PAGEMAP_SCAN on our own pagemap; the number of regions or a negative errno. */
#define PAGEMAP_SCAN_IOCTL 0xc0606610ul
long pagemap_scan(int fd, uint64_t arg);

/* ---- mincore.c ---------------------------------------------------------------------------------
 */

long mincore_look(uint64_t addr, size_t len, uint64_t vec);

/* ---- poll.c ------------------------------------------------------------------------------------
 */

/* Does a set of descriptors concern us? */
bool poll_concerns(struct pollfd *fds, nfds_t n);
/* ppoll(2) over some of ours; negative errno. timeout NULL: none; not updated. */
int poll_wait(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask);

bool select_concerns(int n, const fd_set *r, const fd_set *w, const fd_set *e);
/* pselect6(2) over some of ours; negative errno. timeout as above. */
int select_wait(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout,
		const sigset_t *mask);

/* Nanoseconds from mach_now() on; UINT64_MAX: no end. */
uint64_t deadline_after(const struct timespec *timeout);
/* What is left, in *ts; NULL when there is no end. */
struct timespec *deadline_left(uint64_t deadline, struct timespec *ts);

/* ---- epoll.c -----------------------------------------------------------------------------------
 */

void epoll_child(void);
/* epoll_ctl(2) on f, a userfaultfd. */
long epoll_change(struct file *f, int epfd, int op, int fd, struct epoll_event *event);
/* epoll_pwait2(2) on ep, a set with one in it; negative errno. */
int epoll_wait_for(struct file *ep, int epfd, struct epoll_event *events, int max,
		   const struct timespec *timeout, const sigset_t *mask);

/* ---- signals.c ---------------------------------------------------------------------------------
 */

/* A mask without SIGSEGV: the original, or *copy changed. */
const sigset_t *mask_strip(const sigset_t *mask, sigset_t *copy);
/* What the thread believes of SIGSEGV, for a thread it makes. */
bool mask_inherited(void);
void mask_inherit(bool segv_blocked);
/* Around a handler whose mask has SIGSEGV; what was so before. */
bool mask_enter_handler(bool blocks);
void mask_leave_handler(bool was);
/* A SIGSEGV was sent while it is blocked: it arrives when it no longer is. */
void mask_keep_sent(const siginfo_t *info);
/* The system calls on the program's memory: rt_sigprocmask and its kin, with the kernel's mask. */
long signals_raw_procmask(int how, const uint64_t *set, uint64_t *old, size_t size);
long signals_raw_pending(uint64_t *set, size_t size);
long signals_raw_suspend(const uint64_t *mask, size_t size);
long signals_raw_altstack(const stack_t *ss, stack_t *old);
/* The calling thread gets an alternate stack, unless it has one. */
void thread_altstack(void);
/* sigaltstack(2). */
int signals_altstack(const stack_t *ss, stack_t *old);
void signals_init(void);

/* ---- usage.c -----------------------------------------------------------------------------------
 */

/* getrusage(2), into memory of ours. */
long usage_look(int who, struct rusage *usage);

/* ---- actions.c ---------------------------------------------------------------------------------
 */

/* rt_sigaction with the kernel's structure. */
long signals_raw_action(int sig, const void *act, void *old, size_t size);

/* ---- threads.c ---------------------------------------------------------------------------------
 */

/* Give the calling thread an alternate stack, if it has none. */
void thread_enter(void);

/* ---- process.c ---------------------------------------------------------------------------------
 */

/* This process is the child of a fork. */
void process_fork_begin(bool shares_files);
void process_forked_parent(void);
void process_forked_child(void);

/* The system calls, with the environment that keeps the new program under Userfault. */
long process_execve(const char *path, char *const *argv, char *const *envp);
long process_execveat(int dir, const char *path, char *const *argv, char *const *envp, int flags);

#endif
