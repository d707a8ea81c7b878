/*
 * syscall.c - syscall(): the calls that concern us go where libc's functions of that name go.
 */
#include "front/huge_fd.h"
#include "front/resize.h"

#include <sched.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#ifndef SYS_userfaultfd
#define SYS_userfaultfd 323
#endif

struct call {
	long nr;
	long a, b, c, d, e, f;
};

static long as_it_is(const struct call *c)
{
	return SYS(c->nr, c->a, c->b, c->c, c->d, c->e, c->f);
}

/* libc's conventions back to the kernel's. */
static long raw(long ret)
{
	return ret == -1 ? -errno : ret;
}

static bool call_memory(const struct call *c, long *ret)
{
	uint64_t addr = (uint64_t)c->a;
	size_t len = (size_t)c->b;

	switch (c->nr) {
	case SYS_mmap:
		*ret = mem_mmap(addr, len, (int)c->c, (int)c->d, (int)c->e, (uint64_t)c->f);
		return true;
	case SYS_munmap:
		*ret = mem_munmap(addr, len);
		return true;
	case SYS_mremap:
		*ret = mem_mremap(addr, len, (size_t)c->c, (int)c->d, (uint64_t)c->e);
		return true;
	case SYS_mprotect:
		*ret = mem_mprotect(addr, len, (int)c->c);
		return true;
	case SYS_madvise:
		*ret = mem_madvise(addr, len, (int)c->c);
		return true;
	case SYS_process_madvise:
		*ret = mem_process_madvise((int)c->a, (const struct iovec *)c->b, (size_t)c->c,
					   (int)c->d, (unsigned)c->e);
		return true;
	case SYS_mlock:
		*ret = mem_mlock(addr, len, false);
		return true;
	case SYS_mlock2:
		*ret = c->c & ~MLOCK_ONFAULT ? -EINVAL : mem_mlock(addr, len, c->c);
		return true;
	case SYS_munlock:
		*ret = mem_munlock(addr, len);
		return true;
	case SYS_mlockall:
		*ret = mem_mlockall((int)c->a);
		return true;
	case SYS_munlockall:
		*ret = mem_munlockall();
		return true;
	case SYS_brk:
		if (c->a && front_managing() &&
		    mem_brk_down((uint64_t)SYS(SYS_brk, 0), (uint64_t)c->a) < 0)
			*ret = SYS(SYS_brk, 0);
		else
			*ret = as_it_is(c);
		return true;
	}
	return false;
}

static bool call_io(const struct call *c, long *ret)
{
	int fd = (int)c->a;
	void *buf = (void *)c->b;
	const struct iovec *iov = buf;

	switch (c->nr) {
	case SYS_read:
		*ret = raw(read(fd, buf, (size_t)c->c));
		return true;
	case SYS_readv:
		*ret = raw(readv(fd, iov, (int)c->c));
		return true;
	case SYS_pread64:
		*ret = raw(pread(fd, buf, (size_t)c->c, c->d));
		return true;
	case SYS_preadv:
		*ret = raw(preadv(fd, iov, (int)c->c, c->d));
		return true;
	case SYS_write:
		*ret = raw(write(fd, buf, (size_t)c->c));
		return true;
	case SYS_writev:
		*ret = raw(writev(fd, iov, (int)c->c));
		return true;
	case SYS_pwrite64:
		*ret = raw(pwrite(fd, buf, (size_t)c->c, c->d));
		return true;
	case SYS_ioctl:
		*ret = raw(ioctl(fd, (unsigned long)c->b, c->c));
		return true;
	case SYS_fcntl:
		*ret = raw(fcntl(fd, (int)c->b, c->c));
		return true;
	case SYS_close:
		*ret = raw(close(fd));
		return true;
	case SYS_close_range:
		*ret = raw(close_range((unsigned)c->a, (unsigned)c->b, (int)c->c));
		return true;
	case SYS_dup:
		*ret = raw(dup(fd));
		return true;
	case SYS_dup2:
		*ret = raw(dup2(fd, (int)c->b));
		return true;
	case SYS_dup3:
		*ret = raw(dup3(fd, (int)c->b, (int)c->c));
		return true;
	case SYS_open:
		*ret = raw(open((const char *)c->a, (int)c->b, (mode_t)c->c));
		return true;
	case SYS_openat:
		*ret = raw(openat(fd, (const char *)c->b, (int)c->c, (mode_t)c->d));
		return true;
	case SYS_readlink:
		*ret = raw(readlink((const char *)c->a, buf, (size_t)c->c));
		return true;
	case SYS_readlinkat:
		*ret = raw(readlinkat(fd, buf, (char *)c->c, (size_t)c->d));
		return true;
	}
	return false;
}

static bool call_file(const struct call *c, long *ret)
{
	int fd = (int)c->a;

	switch (c->nr) {
	case SYS_ftruncate:
		*ret = resize_ftruncate(fd, c->b);
		return true;
	case SYS_truncate:
		*ret = raw(truncate((const char *)c->a, c->b));
		return true;
	case SYS_fallocate:
		*ret = resize_fallocate(fd, (int)c->b, c->c, c->d);
		return true;
	case SYS_creat:
		*ret = raw(creat((const char *)c->a, (mode_t)c->b));
		return true;
	case SYS_memfd_create:
		*ret = raw(memfd_create((const char *)c->a, (unsigned)c->b));
		return true;
	case SYS_fstat:
		*ret = huge_fstat(fd, (struct stat *)c->b);
		return true;
	case SYS_fstatfs:
		*ret = huge_fstatfs(fd, (struct statfs *)c->b);
		return true;
	case SYS_shmget:
		*ret = huge_shmget((int)c->a, (size_t)c->b, (int)c->c);
		return true;
	case SYS_shmat:
		*ret = huge_shmat((int)c->a, (uint64_t)c->b, (int)c->c);
		return true;
	case SYS_shmdt:
		*ret = huge_shmdt((uint64_t)c->a);
		return true;
	case SYS_mincore:
		*ret = mincore_look((uint64_t)c->a, (size_t)c->b, (uint64_t)c->c);
		return true;
	case SYS_getrusage:
		*ret = raw(getrusage((int)c->a, (struct rusage *)c->b));
		return true;
	}
	return false;
}

/* A kernel's mask is one word; libc's is larger. */
static const sigset_t *widen(const void *mask, size_t size, sigset_t *set)
{
	if (!mask || size != sizeof(set->__val[0]))
		return NULL;
	sigemptyset(set);
	set->__val[0] = *(const unsigned long *)mask;
	return set;
}

static bool call_wait(const struct call *c, long *ret)
{
	struct epoll_event *events = (struct epoll_event *)c->b;
	const struct timespec *timeout = (const struct timespec *)c->c;
	struct pollfd *fds = (struct pollfd *)c->a;
	sigset_t set;

	switch (c->nr) {
	case SYS_poll:
		*ret = raw(poll(fds, (nfds_t)c->b, (int)c->c));
		return true;
	case SYS_ppoll:
		*ret = raw(
			ppoll(fds, (nfds_t)c->b, timeout, widen((void *)c->d, (size_t)c->e, &set)));
		return true;
	case SYS_select:
		*ret = raw(select((int)c->a, (fd_set *)c->b, (fd_set *)c->c, (fd_set *)c->d,
				  (struct timeval *)c->e));
		return true;
	case SYS_epoll_ctl:
		*ret = raw(epoll_ctl((int)c->a, (int)c->b, (int)c->c, (struct epoll_event *)c->d));
		return true;
	case SYS_epoll_wait:
		*ret = raw(epoll_wait((int)c->a, events, (int)c->c, (int)c->d));
		return true;
	case SYS_epoll_pwait:
		*ret = raw(epoll_pwait((int)c->a, events, (int)c->c, (int)c->d,
				       widen((void *)c->e, (size_t)c->f, &set)));
		return true;
	}
	return false;
}

/* Only what leaves the calling thread on its stack can return here. */
static long call_fork(const struct call *c)
{
	long ret = as_it_is(c);

	if (ret == 0 && !(c->nr == SYS_clone && (c->a & CLONE_VM)))
		process_forked_child();
	return ret;
}

static bool call_process(const struct call *c, long *ret)
{
	switch (c->nr) {
	case SYS_userfaultfd:
		*ret = ufd_new((int)c->a);
		thread_enter();
		return true;
	case SYS_rt_sigprocmask:
		*ret = signals_raw_procmask((int)c->a, (const uint64_t *)c->b, (uint64_t *)c->c,
					    (size_t)c->d);
		return true;
	case SYS_rt_sigaction:
		*ret = signals_raw_action((int)c->a, (const void *)c->b, (void *)c->c,
					  (size_t)c->d);
		return true;
	case SYS_sigaltstack:
		*ret = signals_altstack((const stack_t *)c->a, (stack_t *)c->b);
		return true;
	case SYS_fork:
	case SYS_clone:
		*ret = call_fork(c);
		return true;
	case SYS_execve:
		*ret = raw(execve((const char *)c->a, (char *const *)c->b, (char *const *)c->c));
		return true;
	}
	return false;
}

EXPORT long syscall(long nr, ...)
{
	struct call c = {.nr = nr};
	va_list ap;
	long ret;

	va_start(ap, nr);
	c.a = va_arg(ap, long);
	c.b = va_arg(ap, long);
	c.c = va_arg(ap, long);
	c.d = va_arg(ap, long);
	c.e = va_arg(ap, long);
	c.f = va_arg(ap, long);
	va_end(ap);
	if (!call_process(&c, &ret) && !call_memory(&c, &ret) && !call_io(&c, &ret) &&
	    !call_file(&c, &ret) && !call_wait(&c, &ret))
		ret = as_it_is(&c);
	return sys_errno(ret);
}
