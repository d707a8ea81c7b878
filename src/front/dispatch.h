/*
 * dispatch.h - raw system calls: Syscall User Dispatch (Linux 5.11).
 *
 *   dispatch.c          arming threads, and what becomes of SIGSYS
 *   dispatch_x86_64.c   calls that the handler cannot make
 *
 * A thread that is armed gets SIGSYS for each system call that is made outside one range of
 * addresses, which holds libc, the dynamic linker and us. It is a matter of each thread: neither a
 * new thread nor a forked child inherits it, and exec ends it. A dynamic program is armed with its
 * first userfaultfd, thread by thread as they come by; a static one from its beginning (hosted.h).
 *
 * SIGSYS is ours then, as SIGSEGV is: never blocked, and the program's own reaches its handler.
 */
#ifndef UF_FRONT_DISPATCH_H
#define UF_FRONT_DISPATCH_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <ucontext.h>

#include "machine/host/host.h"

#define DISPATCH_SYS (1ull << (SIGSYS - 1))

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

/* ---- dynamic programs --------------------------------------------------------------------------
 */

/* Is SIGSYS ours? */
extern _Atomic bool dispatch_on;

/* With the first userfaultfd. */
void dispatch_start(void);
/* The calling thread comes by. Cheap when there is nothing to do. */
void dispatch_thread(void);
/* In the child of a fork. */
void dispatch_child(void);
/* A child in the same memory, perhaps on its parent's thread-local storage. */
void dispatch_clone_child(void);
/* The program's sigaction of SIGSYS; false, and nothing done, while the kernel has it. */
bool dispatch_swap(const struct host_sigaction *set, struct host_sigaction *old);

/* signals.c: has the program blocked SIGSYS? Then one that was sent waits. */
bool mask_keep_sys(const siginfo_t *info);
/* The thread's mask lets SIGSYS through from now on, whatever the program believes. */
void mask_free_sys(void);
/* actions.c: so do the masks of all handlers. */
void actions_free_sys(void);

/* ---- dispatch_x86_64.c: where a thread goes on instead of its system call ----------------------
 */

/* The call and nothing else, with the place to go on at on the stack. */
void dispatch_pass(void);
/* Where the thread goes on after the others. */
extern __thread uint64_t dispatch_return;
/* The call, in the gate but on the program's stack. */
void dispatch_on_stack(void);
/* clone on a stack of the child's, eight bytes below what was asked for. */
void dispatch_clone(void);

#endif
