/*
 * dispatch.h - raw system calls: Syscall User Dispatch (Linux 5.11).
 *
 * A thread that is armed gets SIGSYS for each system call that is made outside one range of
 * addresses, which holds libc, the dynamic linker and us. It is a matter of each thread: neither a
 * new thread nor a forked child inherits it, and exec ends it.
 */
#ifndef UF_FRONT_DISPATCH_H
#define UF_FRONT_DISPATCH_H

#include <signal.h>
#include <stdbool.h>

/* Does the host have it? */
bool dispatch_possible(void);
/* Arm the calling thread: 0 or a negative errno. No thread-local storage, for a clone's child. */
int dispatch_arm(void);
/* Did this SIGSYS come from a system call of an armed thread? */
bool dispatch_is_call(const siginfo_t *info);
/* The call's arguments. */
#define DISPATCH_ARGS(uc)                                                                          \
	{                                                                                          \
		(long)(uc)->uc_mcontext.gregs[REG_RDI], (long)(uc)->uc_mcontext.gregs[REG_RSI],    \
			(long)(uc)->uc_mcontext.gregs[REG_RDX],                                    \
			(long)(uc)->uc_mcontext.gregs[REG_R10],                                    \
			(long)(uc)->uc_mcontext.gregs[REG_R8],                                     \
			(long)(uc)->uc_mcontext.gregs[REG_R9]                                      \
	}

/* With the first userfaultfd: this thread, and the others as they come by. */
void dispatch_start(void);
/* A thread begins, or comes by for the first time. Cheap when there is nothing to do. */
void dispatch_thread(void);
/* In the child of a fork. */
void dispatch_child(void);
/*
 * As sigaction(SIGSYS, act, old) once SIGSYS is ours; false, and nothing done, while it is not.
 */
struct sigaction;
bool dispatch_swap(const struct sigaction *act, struct sigaction *old);
/* May SIGSYS be blocked in the calling process? Not once it is ours. */
bool dispatch_armed(void);

#endif
