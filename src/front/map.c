/*
 * map.c - mmap and its kin.
 */
#include "front/preload.h"

#include <stdarg.h>
#include <sys/mman.h>

static void *mapped(long ret)
{
	return (void *)sys_errno(ret);
}

EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	return mapped(mem_mmap((uintptr_t)addr, len, prot, flags, fd, (uint64_t)off));
}

EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t off)
{
	return mapped(mem_mmap((uintptr_t)addr, len, prot, flags, fd, (uint64_t)off));
}

EXPORT int munmap(void *addr, size_t len)
{
	return (int)sys_errno(mem_munmap((uintptr_t)addr, len));
}

EXPORT void *mremap(void *old, size_t old_len, size_t new_len, int flags, ...)
{
	uint64_t new_addr = 0;
	va_list ap;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_start(ap, flags);
		new_addr = (uintptr_t)va_arg(ap, void *);
		va_end(ap);
	}
	return mapped(mem_mremap((uintptr_t)old, old_len, new_len, flags, new_addr));
}

EXPORT int mprotect(void *addr, size_t len, int prot)
{
	return (int)sys_errno(mem_mprotect((uintptr_t)addr, len, prot));
}

EXPORT int madvise(void *addr, size_t len, int advice)
{
	return (int)sys_errno(mem_madvise((uintptr_t)addr, len, advice));
}

/* libc's posix_madvise does not pass DONTNEED on, which would lose contents. */
EXPORT int posix_madvise(void *addr, size_t len, int advice)
{
	if (advice == POSIX_MADV_DONTNEED)
		return 0;
	return -mem_madvise((uintptr_t)addr, len, advice);
}

EXPORT ssize_t process_madvise(int pidfd, const struct iovec *iov, size_t n, int advice,
			       unsigned flags)
{
	return sys_errno(mem_process_madvise(pidfd, iov, n, advice, flags));
}

EXPORT int mlock(const void *addr, size_t len)
{
	return (int)sys_errno(mem_mlock((uintptr_t)addr, len, false));
}

EXPORT int mlock2(const void *addr, size_t len, unsigned flags)
{
	if (flags & ~(unsigned)MLOCK_ONFAULT)
		return (int)sys_errno(-EINVAL);
	return (int)sys_errno(mem_mlock((uintptr_t)addr, len, flags & MLOCK_ONFAULT));
}

EXPORT int munlock(const void *addr, size_t len)
{
	return (int)sys_errno(mem_munlock((uintptr_t)addr, len));
}

EXPORT int mlockall(int flags)
{
	return (int)sys_errno(mem_mlockall(flags));
}

EXPORT int munlockall(void)
{
	return (int)sys_errno(mem_munlockall());
}

/* ---- the break ---------------------------------------------------------------------------------
 */

EXPORT int brk(void *addr)
{
	int err = 0;

	if (front_managing())
		err = mem_brk_down((uintptr_t)REAL(sbrk)(0), (uintptr_t)addr);
	return err ? (int)sys_errno(err) : REAL(brk)(addr);
}

EXPORT void *sbrk(intptr_t delta)
{
	uint64_t now;
	int err;

	if (delta < 0 && front_managing()) {
		now = (uintptr_t)REAL(sbrk)(0);
		err = mem_brk_down(now, now + (uint64_t)delta);
		if (err)
			return mapped(err);
	}
	return REAL(sbrk)(delta);
}
