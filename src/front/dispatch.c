/*
 * dispatch.c - raw system calls: Syscall User Dispatch.
 */
#include "front/dispatch.h"

#include "front/front.h"

#include <link.h>
#include <string.h>
#include <sys/prctl.h>

#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2
#endif

static _Atomic uint64_t range_start, range_end;

bool dispatch_possible(void)
{
	return SYS(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0) == 0;
}

bool dispatch_is_call(const siginfo_t *info)
{
	return info->si_code == SYS_USER_DISPATCH;
}

/* ---- the range ---------------------------------------------------------------------------------
 */

static bool begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

/* Whose system calls are their own: libc's, the dynamic linker's, ours. */
static bool trusted(const struct dl_phdr_info *info, uint64_t start, uint64_t end)
{
	uint64_t here = (uintptr_t)&dispatch_possible;
	const char *name = strrchr(info->dlpi_name, '/');

	name = name ? name + 1 : info->dlpi_name;
	return (here >= start && here < end) || begins(name, "libc.so") ||
	       begins(name, "libpthread.so") || begins(name, "ld-linux") || begins(name, "ld.so");
}

struct range {
	uint64_t start, end;
};

static int add(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct range *r = arg;

	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *s = &info->dlpi_phdr[i];
		uint64_t start = info->dlpi_addr + s->p_vaddr, end = start + s->p_memsz;

		if (s->p_type != PT_LOAD || !(s->p_flags & PF_X) || !trusted(info, start, end))
			continue;
		r->start = start < r->start ? start : r->start;
		r->end = end > r->end ? end : r->end;
	}
	return 0;
}

static void find_range(void)
{
	struct range r = {.start = UINT64_MAX};

	dl_iterate_phdr(add, &r);
	atomic_store(&range_end, r.end);
	atomic_store(&range_start, r.start);
}

int dispatch_arm(void)
{
	uint64_t start;

	if (!atomic_load(&range_start))
		find_range();
	start = atomic_load(&range_start);
	return (int)SYS(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, start,
			atomic_load(&range_end) - start, 0);
}
