/*
 * sys.h - system calls as they are: -errno in the result, no cancellation, no interposition.
 */
#ifndef UF_FRONT_SYS_H
#define UF_FRONT_SYS_H

#include <errno.h>
#include <sys/syscall.h>

#include "machine/host/cpu.h"

#define SYS7_(nr, a, b, c, d, e, f, ...)                                                           \
	cpu_syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
/* SYS(nr, up to six arguments) */
#define SYS(...) SYS7_(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

/* The edge to libc's conventions: -1 and errno. */
static inline long sys_errno(long ret)
{
	if (ret < 0 && ret >= -4095) {
		errno = (int)-ret;
		return -1;
	}
	return ret;
}

#endif
