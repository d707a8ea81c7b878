/*
 * cpu.h - what depends on the CPU: system calls, copies that survive a fault, the trap frame.
 *
 * cpu_<arch>.h gives the inline parts, cpu_<arch>.c the rest. A port writes these two files.
 */
#ifndef UF_HOST_CPU_H
#define UF_HOST_CPU_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#if defined(__x86_64__)
#include "machine/host/cpu_x86_64.h"
#else
#error "no cpu_<arch>.h for this CPU yet"
#endif

/* Try out what the CPU offers. Once, before the functions below. */
void cpu_init(void);

/* Is the counter of cpu_ticks one for all CPUs, at a constant rate? */
bool cpu_ticks_steady(void);

/* The CPU this runs on, or CPU_UNKNOWN where finding out takes a system call. */
#define CPU_UNKNOWN UINT32_MAX
uint32_t cpu_current(void);

/*
 * Copy len bytes; returns how many were not copied because one side could not be accessed. A fault
 * in cpu_copy_nofault ends it at once; one in cpu_copy_fault is served like the program's own
 * first. Both work only while SIGSEGV is not blocked and the trap handler is installed.
 */
size_t cpu_copy_nofault(void *dst, const void *src, size_t len);
size_t cpu_copy_fault(void *dst, const void *src, size_t len);

/*
 * Run fn(arg) on a thread of its own while this one is suspended as by vfork: it can be killed and
 * nothing else, and /proc shows it in state D. fn runs on this thread's stack and thread-local
 * storage, with the same signals blocked, which must be all that have handlers. Positive when it
 * has run, or -EAGAIN.
 */
long cpu_suspend_for(void (*fn)(void *), void *arg);

/*
 * A thread of this process that runs fn(arg), which does not return, below `stack`, with `tls` as
 * its thread-local storage and the caller's signal mask. Its id, or a negative errno.
 */
long cpu_start_thread(void (*fn)(void *), void *arg, void *stack, void *tls);

enum cpu_copy_kind {
	CPU_COPY_NONE,
	CPU_COPY_NOFAULT,
	CPU_COPY_FAULT
};

/* Which of the two the trapped instruction belongs to; and end that copy. */
enum cpu_copy_kind cpu_copy_at(const ucontext_t *uc);
void cpu_copy_abort(ucontext_t *uc);

/* Where the trapped instruction stands. */
uint64_t cpu_program_counter(const ucontext_t *uc);

/* A page fault as the CPU reported it. False when the trap was something else. */
struct cpu_fault {
	uint64_t addr;
	bool write;
	bool exec; /* an instruction fetch */
	bool key;  /* refused by a protection key */
};
bool cpu_page_fault(const ucontext_t *uc, const siginfo_t *info, struct cpu_fault *fault);

/* What a raw rt_sigaction needs besides: SA_RESTORER and the function, where the CPU has one. */
extern const uint64_t cpu_sa_flags;
void cpu_sigreturn(void);

#endif
