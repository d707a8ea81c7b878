/* sys.h - the system calls this room makes, typed. All return a negative errno on failure. */
#ifndef UF_HOST_SYS_H
#define UF_HOST_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "machine/host/cpu.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 8
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif

static inline bool sys_failed(long ret)
{
	return (unsigned long)ret >= (unsigned long)-4095;
}

static inline long sys1(long nr, long a)
{
	return cpu_syscall6(nr, a, 0, 0, 0, 0, 0);
}

static inline long sys3(long nr, long a, long b, long c)
{
	return cpu_syscall6(nr, a, b, c, 0, 0, 0);
}

static inline long sys4(long nr, long a, long b, long c, long d)
{
	return cpu_syscall6(nr, a, b, c, d, 0, 0);
}

/* ---- Memory ---- */

/* The address, or a negative errno (sys_failed). */
static inline long sys_mmap(uint64_t addr, uint64_t len, int prot, int flags, int fd, uint64_t off)
{
	return cpu_syscall6(SYS_mmap, (long)addr, (long)len, prot, flags, fd, (long)off);
}

static inline int sys_munmap(uint64_t addr, uint64_t len)
{
	return (int)sys3(SYS_munmap, (long)addr, (long)len, 0);
}

static inline int sys_mprotect(uint64_t addr, uint64_t len, int prot)
{
	return (int)sys3(SYS_mprotect, (long)addr, (long)len, prot);
}

static inline int sys_madvise(uint64_t addr, uint64_t len, int advice)
{
	return (int)sys3(SYS_madvise, (long)addr, (long)len, advice);
}

/* Pages are locked when they come, and none is made for it. */
static inline int sys_mlock_on_fault(uint64_t addr, uint64_t len)
{
	return (int)sys3(SYS_mlock2, (long)addr, (long)len, MLOCK_ONFAULT);
}

static inline int sys_munlock(uint64_t addr, uint64_t len)
{
	return (int)sys3(SYS_munlock, (long)addr, (long)len, 0);
}

static inline int sys_mincore(uint64_t addr, uint64_t len, uint8_t *vec)
{
	return (int)sys3(SYS_mincore, (long)addr, (long)len, (long)vec);
}

static inline long sys_mremap(uint64_t old, uint64_t old_len, uint64_t len, int flags, uint64_t to)
{
	return cpu_syscall6(SYS_mremap, (long)old, (long)old_len, (long)len, flags, (long)to, 0);
}

/* ---- Files ---- */

static inline int sys_memfd_create(const char *name, unsigned flags)
{
	return (int)sys3(SYS_memfd_create, (long)name, flags, 0);
}

static inline int sys_ftruncate(int fd, uint64_t len)
{
	return (int)sys3(SYS_ftruncate, fd, (long)len, 0);
}

static inline int sys_fallocate(int fd, int mode, uint64_t off, uint64_t len)
{
	return (int)sys4(SYS_fallocate, fd, mode, (long)off, (long)len);
}

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

struct sys_cachestat_range {
	uint64_t off, len;
};

struct sys_cachestat {
	uint64_t cache, dirty, writeback, evicted, recently_evicted;
};

static inline int sys_cachestat(int fd, const struct sys_cachestat_range *range,
				struct sys_cachestat *out)
{
	return (int)sys4(SYS_cachestat, fd, (long)range, (long)out, 0);
}

static inline int sys_fstat(int fd, struct stat *st)
{
	return (int)sys3(SYS_fstat, fd, (long)st, 0);
}

static inline long sys_lseek(int fd, uint64_t off, int whence)
{
	return sys3(SYS_lseek, fd, (long)off, whence);
}

static inline long sys_getdents(int fd, void *buf, size_t size)
{
	return sys3(SYS_getdents64, fd, (long)buf, (long)size);
}

static inline long sys_pwritev(int fd, const struct iovec *iov, int n, uint64_t off)
{
	return cpu_syscall6(SYS_pwritev, fd, (long)iov, n, (long)off, 0, 0);
}

/* From this process to itself; the host touches both sides, so that neither can kill us. */
static inline long sys_process_read(uint32_t pid, void *dst, const void *src, size_t len)
{
	struct iovec to = {dst, len}, from = {(void *)src, len};

	return cpu_syscall6(SYS_process_vm_readv, pid, (long)&to, 1, (long)&from, 1, 0);
}

static inline long sys_pwrite(int fd, const void *buf, size_t len, uint64_t off)
{
	return sys4(SYS_pwrite64, fd, (long)buf, (long)len, (long)off);
}

static inline long sys_pread(int fd, void *buf, size_t len, uint64_t off)
{
	return sys4(SYS_pread64, fd, (long)buf, (long)len, (long)off);
}

static inline long sys_read(int fd, void *buf, size_t len)
{
	return sys3(SYS_read, fd, (long)buf, (long)len);
}

static inline long sys_write(int fd, const void *buf, size_t len)
{
	return sys3(SYS_write, fd, (long)buf, (long)len);
}

static inline int sys_open(const char *path, int flags)
{
	return (int)sys4(SYS_openat, AT_FDCWD, (long)path, flags, 0);
}

static inline int sys_close(int fd)
{
	return (int)sys1(SYS_close, fd);
}

static inline int sys_fcntl(int fd, int cmd, long arg)
{
	return (int)sys3(SYS_fcntl, fd, cmd, arg);
}

static inline int sys_ioctl(int fd, unsigned long cmd, void *arg)
{
	return (int)sys3(SYS_ioctl, fd, (long)cmd, (long)arg);
}

/*
 * Can the first bytes at p be read? The host finds out by reading them, as the event of a request
 * that it then refuses.
 */
static inline bool sys_readable(const void *p)
{
	return sys4(SYS_epoll_ctl, -1, EPOLL_CTL_ADD, -1, (long)p) != -EFAULT;
}

static inline int sys_poll(struct pollfd *fds, unsigned n, int timeout)
{
	return (int)sys3(SYS_poll, (long)fds, n, timeout);
}

static inline int sys_eventfd(unsigned count, int flags)
{
	return (int)sys3(SYS_eventfd2, count, flags, 0);
}

static inline int sys_epoll_create(int flags)
{
	return (int)sys1(SYS_epoll_create1, flags);
}

static inline int sys_epoll_add(int epoll, int fd, const struct epoll_event *event)
{
	return (int)sys4(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, (long)event);
}

/* At the file's own position (for what has none). */
static inline long sys_readv_nowait(int fd, struct iovec *iov, int n)
{
	return cpu_syscall6(SYS_preadv2, fd, (long)iov, n, -1, -1, RWF_NOWAIT);
}

/* ---- Signals ---- */

struct sys_sigaction {
	void *handler;
	uint64_t flags;
	void (*restorer)(void);
	uint64_t mask;
};

static inline int sys_sigaction(int sig, const struct sys_sigaction *set, struct sys_sigaction *old)
{
	return (int)sys4(SYS_rt_sigaction, sig, (long)set, (long)old, 8);
}

static inline int sys_sigprocmask(int how, const uint64_t *set, uint64_t *old)
{
	return (int)sys4(SYS_rt_sigprocmask, how, (long)set, (long)old, 8);
}

static inline int sys_sigtimedwait(const uint64_t *set, siginfo_t *info, const struct timespec *t)
{
	return (int)sys4(SYS_rt_sigtimedwait, (long)set, (long)info, (long)t, 8);
}

static inline int sys_tgsigqueue(uint32_t tgid, uint32_t tid, int sig, siginfo_t *info)
{
	return (int)sys4(SYS_rt_tgsigqueueinfo, tgid, tid, sig, (long)info);
}

static inline int sys_sigaltstack(const stack_t *set, stack_t *old)
{
	return (int)sys3(SYS_sigaltstack, (long)set, (long)old, 0);
}

/* ---- Threads and time ---- */

static inline uint32_t sys_gettid(void)
{
	return (uint32_t)sys1(SYS_gettid, 0);
}

static inline uint32_t sys_getpid(void)
{
	return (uint32_t)sys1(SYS_getpid, 0);
}

static inline void sys_yield(void)
{
	sys1(SYS_sched_yield, 0);
}

static inline int sys_futex(_Atomic uint32_t *word, int op, uint32_t val)
{
	return (int)cpu_syscall6(SYS_futex, (long)word, op, val, 0, 0, 0);
}

/* *time becomes what is left of it when a signal's handler has run: -EINTR. */
static inline int sys_nanosleep(struct timespec *time)
{
	return (int)cpu_syscall6(SYS_nanosleep, (long)time, (long)time, 0, 0, 0, 0);
}

static inline int sys_futex_wait(_Atomic uint32_t *word, uint32_t val, const struct timespec *most)
{
	return (int)cpu_syscall6(SYS_futex, (long)word, FUTEX_WAIT, val, (long)most, 0, 0);
}

static inline uint64_t sys_clock_ns(void)
{
	struct timespec t = {0, 0};

	sys3(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&t, 0);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline int sys_rlimit(int which, const struct rlimit *set, struct rlimit *old)
{
	return (int)sys4(SYS_prlimit64, 0, which, (long)set, (long)old);
}

#endif
