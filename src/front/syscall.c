/*
 * syscall.c - syscall().
 */
#include "front/preload.h"

#include <stdarg.h>

#include "front/gate.h"

EXPORT long syscall(long nr, ...)
{
	long a[6];
	va_list ap;
	unsigned i;

	va_start(ap, nr);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	return sys_errno(gate_call(nr, a));
}
