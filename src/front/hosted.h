/*
 * hosted.h - static programs: loaded by us into a process that has libc and the interposer, all of
 * whose system calls come to us.
 *
 *   hosted.c           the beginning: what the process needs, then the program
 *   hosted_load.c      segments, stack, auxiliary vector
 *   hosted_calls.c     a system call of the program's
 *   hosted_gate.c      those that the gate has to see
 *   hosted_signals.c   the program's signals
 *   hosted_threads.c   its threads and children, and what each has of ours
 *   hosted_x86_64.c    the few instructions that C has no words for
 *   hosted_exec.c      which programs are static, and how one is started
 *
 * Two libraries of C live in the process, the program's, if it has one, and ours, and each believes
 * that it owns %fs. The program runs with its own; a system call (SIGSYS, dispatch.h) switches to
 * ours and back. %gs leads to the thread's struct hosted_thread at all times. So a hosted program
 * cannot use %gs.
 *
 * The kernel's alternate stack is always ours. What the program has set is remembered, and its
 * handlers run where they would: a signal arrives on our stack, the frame is made once more where
 * the program expects it, and our handler returns into the program's. So nothing of ours is on any
 * stack while the program runs.
 *
 * A call that is none of our business is not made in the handler: the thread goes on in a stub that
 * makes it, in the program's own state, with the program's mask. A signal that finds a thread there
 * is shown the program's own instruction.
 */
#ifndef UF_FRONT_HOSTED_H
#define UF_FRONT_HOSTED_H

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "front/front.h"

/* Never blocked in fact, whatever the program believes. */
#define HOSTED_SEGV    (1ull << (SIGSEGV - 1))
#define HOSTED_SYS     (1ull << (SIGSYS - 1))
#define HOSTED_VIRTUAL (HOSTED_SEGV | HOSTED_SYS)

/* What the kernel has of libc's ucontext_t, and the frame that it makes for a handler. */
#define HOSTED_UC_SIZE (offsetof(ucontext_t, uc_sigmask) + sizeof(uint64_t))
struct hosted_frame {
	uint64_t restorer;
	char uc[HOSTED_UC_SIZE];
	char info[128];
};

/* rt_sigaction's structure. */
struct hosted_action {
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};

struct hosted_thread {
	struct hosted_thread *self; /* up to `args` the stub knows the places */
	uint64_t ret;		    /* where the program goes on after the call in the stub */
	uint64_t again;		    /* the instruction that made it */
	uint64_t nr;
	uint64_t error; /* EFAULT or EINVAL that the call in the stub got: it comes by again */
	uint64_t args[6];

	uint64_t host_fs;
	uint64_t program_fs;
	bool in_gate;	   /* running our code: signals are kept */
	bool shares_files; /* a process of its own, with our descriptors */
	bool own_actions;  /* a child in our memory, with signal actions of its own */
	uint64_t blocked;  /* which of HOSTED_VIRTUAL the program believes to be blocked */
	uint64_t waiting;  /* which of them were sent meanwhile */
	siginfo_t kept[2]; /* those */
	int caught;	   /* a signal that came in the gate, or 0 */
	siginfo_t caught_info;
	stack_t alt;	  /* the program's alternate stack */
	uint64_t mask;	  /* a copy of a mask without HOSTED_VIRTUAL */
	uint64_t pair[2]; /* pselect6's pointer to it, with the size */
	void *stack;
	_Atomic uint32_t tid; /* 0: this is free */
	bool gone;	      /* it has ended, or is about to */
	struct hosted_thread *next;
};

/* ---- hosted_x86_64.c ---------------------------------------------------------------------------
 */

static inline struct hosted_thread *hosted_self(void)
{
	struct hosted_thread *t;

	__asm__ volatile("mov %%gs:0, %0" : "=r"(t));
	return t;
}

/* Can the bases be changed without a system call? To be called first. */
void hosted_cpu_init(void);
/* Is the instruction that makes a system call, or what looks like one, in these bytes? */
bool hosted_cpu_makes_calls(const void *text, size_t len);
uint64_t hosted_get_fs(void);
void hosted_set_fs(uint64_t base);
void hosted_set_gs(const void *base);

/* The stub, and where a thread may be found in it: before the call, after it, asking once more. */
extern char hosted_stub[], hosted_stub_after[], hosted_stub_efault[], hosted_stub_end[];

/*
 * The system call with signals let in by `open` and kept out by `shut`. One that comes before it
 * sleeps is taken for one that ends its sleep: from open on and up to call, on_signal sends the
 * thread to done with -EINTR.
 */
long hosted_sleep(long nr, const long a[6], const uint64_t *open, const uint64_t *shut);
extern char hosted_sleep_open[], hosted_sleep_call[], hosted_sleep_done[];

/* clone and clone3; the child calls hosted_thread_begin(arg). */
long hosted_clone(long flags, void *stack, long parent_tid, long child_tid, long tls, void *arg);
long hosted_clone3(void *args, size_t size, long c, long d, long e, void *arg);
/* What the frame says is what the thread is, from now on. */
void hosted_sigreturn(const struct hosted_frame *frame) __attribute__((noreturn));
/* Begin at entry with that stack pointer and nothing in the registers. */
void hosted_enter(uint64_t entry, const void *stack) __attribute__((noreturn));

/* ---- hosted_load.c -----------------------------------------------------------------------------
 */

struct hosted_image {
	uint64_t entry;
	uint64_t headers; /* where the program can see its program headers */
	uint64_t nheaders;
	uint64_t end; /* one past its last byte */
};

/* Map the program's segments. 0, or a negative errno and why. */
int hosted_load(int fd, struct hosted_image *image, const char **why);
/* How many words hosted_stack needs. */
size_t hosted_stack_words(char **argv);
/* Build what a program finds on its stack. argv: the kernel's own, all else follows it. */
void hosted_stack(uint64_t *words, char **argv, const struct hosted_image *image, const char *path);

/* ---- hosted.c ----------------------------------------------------------------------------------
 */

/* Is this process hosting? */
extern bool hosted_active;
/* The program that runs, as /proc/self/exe would name it. */
extern char hosted_path[];
/* The end of the program's data segment, as brk(2). */
uint64_t hosted_brk(uint64_t to);

/* ---- hosted_calls.c ----------------------------------------------------------------------------
 */

void hosted_on_syscall(int sig, siginfo_t *info, void *context);
struct hosted_call {
	struct hosted_thread *t;
	ucontext_t *uc;
	long nr;
	long a[6];
	bool pass; /* the kernel's, after all */
};

/* ---- hosted_gate.c -----------------------------------------------------------------------------
 */

/* What it answers, if it has to see the call at all. */
bool hosted_gate(struct hosted_call *c, long *ret);
long hosted_gate_call(struct hosted_call *c);
/* The kernel refused to read from the descriptor. */
long hosted_gate_read(struct hosted_call *c);
/* Is -EINTR of this call one that SA_RESTART makes disappear? */
bool hosted_restartable(const struct hosted_call *c);
/* Is this a call that can sleep? Then the gate makes it by hosted_gate_sleep. */
bool hosted_sleeps(long nr);
long hosted_gate_sleep(long nr, const long a[6]);
/* How the gate sleeps for its own: poll with the program's signals let in, as the system call. */
int hosted_poll(struct pollfd *fds, nfds_t n, int timeout);
/* Until the descriptor is readable: 0 or -EINTR. */
int hosted_await(int fd);

/* ---- hosted_signals.c --------------------------------------------------------------------------
 */

void hosted_signals_init(struct hosted_thread *t);
void hosted_signals_child(void);
/* A frame below `top` with the state uc. 0 or -EFAULT. */
int hosted_build_frame(uint64_t top, const ucontext_t *uc, const siginfo_t *info, uint64_t restorer,
		       uint64_t *frame);
/* uc goes on in the program's handler, if it has one. */
void hosted_deliver(struct hosted_thread *t, ucontext_t *uc, int sig, const siginfo_t *info);
/* What was sent while the program believed it blocked, and came in the gate. */
void hosted_deliver_kept(struct hosted_thread *t, ucontext_t *uc);
/* Does the call that this signal has interrupted begin again? */
bool hosted_restarts(int sig);
void hosted_return(struct hosted_thread *t, ucontext_t *uc);
long hosted_sigaction(struct hosted_thread *t, int sig, uint64_t act, uint64_t old, size_t size);
long hosted_sigprocmask(struct hosted_thread *t, ucontext_t *uc, const long a[6]);
long hosted_sigaltstack(struct hosted_thread *t, const ucontext_t *uc, uint64_t set, uint64_t old);
/* The program dies of this signal. */
void hosted_die(int sig) __attribute__((noreturn));

static inline uint64_t *hosted_mask(ucontext_t *uc)
{
	return (uint64_t *)&uc->uc_sigmask;
}

/* ---- hosted_threads.c --------------------------------------------------------------------------
 */

int hosted_threads_init(void);
/* What a new thread needs of ours, or NULL. */
struct hosted_thread *hosted_thread_new(void);
void hosted_thread_free(struct hosted_thread *t);
/* The calling thread gets its stack and its traps. */
int hosted_thread_arm(struct hosted_thread *t);
void hosted_thread_begin(struct hosted_thread *t) __attribute__((noreturn));
void hosted_threads_child(struct hosted_thread *t);
/* clone, clone3, fork, vfork in the state uc. The result in the parent, or 0 in a forked child. */
long hosted_fork(struct hosted_thread *t, ucontext_t *uc, long nr, const long a[6]);
void hosted_exit(struct hosted_thread *t, long status) __attribute__((noreturn));

/* ---- hosted_exec.c -----------------------------------------------------------------------------
 */

#define HOSTED_PROGRAM "USERFAULT_HOSTED"
#define HOSTED_HOST    "USERFAULT_HOST"

/*
 * Is this a static program that we can host? Then the program to exec instead, and the line that
 * its environment needs.
 */
struct hosted_exec {
	const char *host;
	char line[4096 + sizeof(HOSTED_PROGRAM) + 1];
};
bool hosted_exec(const char *path, struct hosted_exec *out);
/* The same for execveat's way to name it, and for a name to be searched for in PATH. */
bool hosted_exec_at(int dir, const char *path, int flags, struct hosted_exec *out);
bool hosted_exec_search(const char *name, struct hosted_exec *out);
/* At the start: where the host is. */
void hosted_exec_init(void);

#endif
