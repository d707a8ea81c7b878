/*
 * dispatch.c - arming threads, and what becomes of SIGSYS.
 */
#include "front/dispatch.h"

#include "front/preload.h"

#include <link.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "front/gate.h"
#include "front/gate_quick.h"
#include "front/hosted.h"

#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2
#endif

#define RED_ZONE 128

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

/* Has code that is not trusted an instruction that makes system calls, or what looks like one? */
static int search(struct dl_phdr_info *info, size_t size, void *arg)
{
	bool *found = arg;

	(void)size;
	if (begins(info->dlpi_name, "linux-vdso"))
		return 0;
	for (unsigned i = 0; !*found && i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *s = &info->dlpi_phdr[i];
		uint64_t start = info->dlpi_addr + s->p_vaddr;

		if (s->p_type == PT_LOAD && (s->p_flags & PF_X) &&
		    !trusted(info, start, start + s->p_memsz))
			*found = !(s->p_flags & PF_R) ||
				 hosted_cpu_makes_calls((const void *)start, s->p_memsz);
	}
	return *found;
}

/*
 * The dispatch makes every system call dearer, libc's, too, so it is left out where nothing of the
 * program could make one by itself.
 */
static bool wanted(void)
{
	bool found = false;

	dl_iterate_phdr(search, &found);
	return found;
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

/* ---- dynamic programs --------------------------------------------------------------------------
 */

_Atomic bool dispatch_on;

static __thread bool armed __attribute__((tls_model("initial-exec")));
static struct mach_lock lock;
static struct host_sigaction program; /* its action of SIGSYS */

static uint64_t *reg(ucontext_t *uc, int which)
{
	return (uint64_t *)&uc->uc_mcontext.gregs[which];
}

static void set_kernel(void *handler, uint64_t flags)
{
	struct hosted_action act = {.handler = (uintptr_t)handler,
				    .flags = flags | cpu_sa_flags,
				    .restorer = (uintptr_t)cpu_sigreturn};

	SYS(SYS_rt_sigaction, SIGSYS, &act, NULL, sizeof(act.mask));
}

/* As SIGSYS does by default, whatever sent it. */
static void die(void)
{
	uint64_t mask = DISPATCH_SYS;

	set_kernel(SIG_DFL, 0);
	SYS(SYS_rt_sigprocmask, SIG_UNBLOCK, &mask, NULL, sizeof(mask));
	SYS(SYS_tgkill, SYS(SYS_getpid), SYS(SYS_gettid), SIGSYS);
}

static struct host_sigaction take_action(void)
{
	struct host_sigaction act;
	struct mach_entry e;

	mach_enter(&e);
	mach_lock(&lock);
	act = program;
	if (act.flags & SA_RESETHAND)
		program = (struct host_sigaction){SIG_DFL, 0, 0};
	mach_unlock(&lock);
	mach_leave(&e);
	return act;
}

/* A SIGSYS of the program's own. */
static void to_program(siginfo_t *info, ucontext_t *uc)
{
	struct host_sigaction act;
	uint64_t mask;

	if (info->si_code <= 0 && mask_keep_sys(info))
		return;
	act = take_action();
	if (act.handler == SIG_IGN && info->si_code <= 0)
		return;
	if (act.handler == SIG_DFL || act.handler == SIG_IGN) {
		die();
		return;
	}
	mask = act.mask & ~(DISPATCH_SYS | HOSTED_SEGV);
	SYS(SYS_rt_sigprocmask, SIG_BLOCK, &mask, NULL, sizeof(mask));
	if (act.flags & SA_SIGINFO)
		((void (*)(int, siginfo_t *, void *))act.handler)(SIGSYS, info, uc);
	else
		((void (*)(int))act.handler)(SIGSYS);
}

/* The thread goes on there, and then behind its system call. */
static void go(ucontext_t *uc, void (*where)(void))
{
	dispatch_return = *reg(uc, REG_RIP);
	*reg(uc, REG_RIP) = (uint64_t)where;
}

/* None of our business: the thread makes the call itself, and is back without a word of ours. */
static void pass(ucontext_t *uc)
{
	uint64_t *stack = (uint64_t *)(*reg(uc, REG_RSP) - RED_ZONE) - 1;

	*stack = *reg(uc, REG_RIP);
	*reg(uc, REG_RSP) = (uint64_t)stack;
	*reg(uc, REG_RIP) = (uint64_t)dispatch_pass;
}

/* The same memory: only on a stack of its own can the child return from here. */
static long clone_vm(ucontext_t *uc, const long a[6])
{
	uint64_t stack = (uint64_t)a[1], ret = *reg(uc, REG_RIP);

	if (!stack)
		return (a[0] & CLONE_VFORK) ? gate_call(SYS_vfork, a) : -EINVAL;
	gate_clones((uint64_t)a[0]);
	if (gate_give((void *)(stack - sizeof(ret)), &ret, sizeof(ret)) < 0)
		return -EFAULT;
	*reg(uc, REG_RSI) = stack - sizeof(ret);
	go(uc, dispatch_clone);
	return SYS_clone;
}

/* Memory of its own, and perhaps another stack and other thread-local storage. */
static long clone_other(ucontext_t *uc, const long a[6])
{
	long copy[6] = {a[0] & ~(long)CLONE_SETTLS, 0, a[2], a[3], a[4], 0};
	long ret = gate_call(SYS_clone, copy);

	if (ret == 0 && a[1])
		*reg(uc, REG_RSP) = (uint64_t)a[1];
	if (ret == 0 && (a[0] & CLONE_SETTLS))
		hosted_set_fs((uint64_t)a[4]);
	return ret;
}

/* clone3 in the same memory: its callers know kernels without it, and take clone. */
static long call_clone3(const long a[6])
{
	uint64_t flags;

	if (gate_fetch(&flags, (void *)a[0], sizeof(flags)) < 0)
		return -EFAULT;
	return flags & CLONE_VM ? -ENOSYS : gate_call(SYS_clone3, a);
}

/* What is restored when the handler returns is what the call has set. */
static void keep_mask(ucontext_t *uc)
{
	SYS(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &uc->uc_sigmask, sizeof(uint64_t));
}

static void on_call(ucontext_t *uc)
{
	long a[6] = DISPATCH_ARGS(uc), nr = (long)*reg(uc, REG_RAX), ret = nr;

	switch (nr) {
	case SYS_rt_sigreturn:
		hosted_sigreturn((struct hosted_frame *)(*reg(uc, REG_RSP) - 8));
	case SYS_exit:
	case SYS_sigaltstack:
		go(uc, dispatch_on_stack);
		break;
	case SYS_clone:
		ret = a[0] & CLONE_VM ? clone_vm(uc, a) : clone_other(uc, a);
		break;
	case SYS_clone3:
		ret = call_clone3(a);
		break;
	case SYS_fork:
	case SYS_vfork:
		ret = gate_call(nr, a);
		break;
	default:
		if (gate_quick(nr, a)) {
			pass(uc);
			break;
		}
		ret = gate_call(nr, a);
		if (nr == SYS_rt_sigprocmask)
			keep_mask(uc);
	}
	*reg(uc, REG_RAX) = (uint64_t)ret;
}

/*
 * With the program's mask, so that a call that sleeps in the gate is interrupted as it would be:
 * the program's handlers run on top of this one.
 */
static void on_sigsys(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)sig;
	if (dispatch_is_call(info))
		on_call(context);
	else
		to_program(info, context);
	errno = saved;
}

bool dispatch_swap(const struct host_sigaction *set, struct host_sigaction *old)
{
	struct mach_entry e;

	if (!atomic_load(&dispatch_on))
		return false;
	mach_enter(&e);
	mach_lock(&lock);
	*old = program;
	if (set)
		program = *set;
	mach_unlock(&lock);
	mach_leave(&e);
	return true;
}

void dispatch_thread(void)
{
	if (armed || !atomic_load(&dispatch_on))
		return;
	armed = true;
	mask_free_sys();
	dispatch_arm();
}

void dispatch_clone_child(void)
{
	if (atomic_load(&dispatch_on))
		dispatch_arm();
}

void dispatch_child(void)
{
	atomic_store(&lock.word, 0);
	if (armed)
		dispatch_arm();
}

void dispatch_start(void)
{
	const char *wish = getenv("USERFAULT_RAW_CALLS");
	struct hosted_action now;

	if (atomic_load(&dispatch_on) || hosted_active || (wish && strcmp(wish, "0") == 0) ||
	    !wanted() || !dispatch_possible())
		return;
	SYS(SYS_rt_sigaction, SIGSYS, NULL, &now, sizeof(now.mask));
	program = (struct host_sigaction){(void *)now.handler, now.flags, now.mask};
	set_kernel((void *)on_sigsys, SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART);
	hosted_cpu_init();
	atomic_store(&dispatch_on, true);
	actions_free_sys();
	dispatch_thread();
}
