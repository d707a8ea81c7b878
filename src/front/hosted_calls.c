/*
 * hosted_calls.c - a system call of the program's.
 *
 * Ours to answer, because it is about what the process has of ours; the gate's, because it may
 * concern managed memory or a descriptor of ours; or the kernel's, and then the thread makes it
 * itself, in the stub. In the gate all signals are blocked; where it sleeps it lets them in with
 * the program's mask, in one step with the sleep, and a signal that comes is delivered when the
 * call has returned.
 */
#include "front/hosted.h"
#include "front/preload.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "front/dispatch.h"
#include "front/gate.h"

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004

static uint64_t *reg(ucontext_t *uc, int which)
{
	return (uint64_t *)&uc->uc_mcontext.gregs[which];
}

/* ---- to the kernel -----------------------------------------------------------------------------
 */

static const int registers[6] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};

/* The thread goes on in the stub, with these arguments instead of its own. */
static void pass(struct hosted_call *c)
{
	struct hosted_thread *t = c->t;

	t->ret = *reg(c->uc, REG_RIP);
	t->again = t->ret - 2;
	t->nr = (uint64_t)c->nr;
	for (unsigned i = 0; i < 6; i++) {
		t->args[i] = *reg(c->uc, registers[i]);
		*reg(c->uc, registers[i]) = (uint64_t)c->a[i];
	}
	*reg(c->uc, REG_RIP) = (uint64_t)hosted_stub;
}

/* Argument i is a mask, which must not have what is ours. */
static void strip_mask(struct hosted_call *c, unsigned i)
{
	uint64_t mask;

	if (c->a[i] && mach_copy_in(&mask, (uint64_t)c->a[i], sizeof(mask)) == 0 &&
	    (mask & HOSTED_VIRTUAL)) {
		c->t->mask = mask & ~HOSTED_VIRTUAL;
		c->a[i] = (long)&c->t->mask;
	}
}

static void strip_pair(struct hosted_call *c, unsigned i)
{
	uint64_t mask;

	if (!c->a[i] || mach_copy_in(c->t->pair, (uint64_t)c->a[i], sizeof(c->t->pair)) < 0 ||
	    !c->t->pair[0] || mach_copy_in(&mask, c->t->pair[0], sizeof(mask)) < 0 ||
	    !(mask & HOSTED_VIRTUAL))
		return;
	c->t->mask = mask & ~HOSTED_VIRTUAL;
	c->t->pair[0] = (uintptr_t)&c->t->mask;
	c->a[i] = (long)c->t->pair;
}

/* ---- what is ours to answer --------------------------------------------------------------------
 */

static long call_arch_prctl(struct hosted_call *c)
{
	uint64_t value = (uint64_t)c->a[1];

	switch (c->a[0]) {
	case ARCH_SET_FS:
		if (value >= CPU_TASK_SIZE)
			return -EPERM;
		c->t->program_fs = value;
		return 0;
	case ARCH_GET_FS:
		return mach_copy_out(value, &c->t->program_fs, sizeof(uint64_t));
	case ARCH_SET_GS:
		return value ? -EPERM : 0;
	case ARCH_GET_GS:
		value = 0;
		return mach_copy_out((uint64_t)c->a[1], &value, sizeof(value));
	}
	c->pass = true;
	return 0;
}

/* /proc/self/exe, or the same by number: the program, not its host. */
static bool names_exe(uint64_t path)
{
	char text[32] = "", own[32];
	size_t n;

	for (n = 0; n + 1 < sizeof(text); n++)
		if (mach_copy_in(&text[n], path + n, 1) < 0 || !text[n])
			break;
	text[n] = 0;
	snprintf(own, sizeof(own), "/proc/%d/exe", (int)SYS(SYS_getpid));
	return strcmp(text, "/proc/self/exe") == 0 || strcmp(text, own) == 0 ||
	       strcmp(text, "/proc/thread-self/exe") == 0;
}

static long call_readlink(struct hosted_call *c, long path, long buf, long size)
{
	size_t len = strlen(hosted_path);

	if (!names_exe((uint64_t)path))
		return hosted_gate_call(c);
	if ((int)size <= 0)
		return -EINVAL;
	len = len < (size_t)size ? len : (size_t)size;
	return mach_copy_out((uint64_t)buf, hosted_path, len) < 0 ? -EFAULT : (long)len;
}

/* What means something to us is in one of these; all else the kernel opens, for as long as it
 * takes. */
static bool special_path(uint64_t path)
{
	char text[6] = "";

	for (size_t i = 0; i < sizeof(text); i++)
		if (mach_copy_in(&text[i], path + i, 1) < 0 || !text[i])
			break;
	return memcmp(text, "/dev/", 5) == 0 || memcmp(text, "/proc/", 6) == 0;
}

static long call_open(struct hosted_call *c, unsigned at)
{
	uint64_t path = (uint64_t)c->a[at];

	if (names_exe(path))
		c->a[at] = (long)hosted_path;
	else if (special_path(path))
		return hosted_gate_call(c);
	c->pass = true;
	return 0;
}

/* The new program is to have the program's mask. A signal that comes before it is there is kept. */
static long call_exec(struct hosted_call *c)
{
	uint64_t mask = *hosted_mask(c->uc) | c->t->blocked, all = ~HOSTED_SEGV;
	long ret;

	if (c->nr == SYS_execve && names_exe((uint64_t)c->a[0]))
		c->a[0] = (long)hosted_path;
	SYS(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	ret = hosted_gate_call(c);
	SYS(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all));
	return ret;
}

static long call_prctl(struct hosted_call *c)
{
	if (c->a[0] == PR_SET_SYSCALL_USER_DISPATCH)
		return -EINVAL;
	c->pass = true;
	return 0;
}

/* What waits, and what we have kept of it. */
static long call_pending(struct hosted_call *c)
{
	uint64_t pending = 0;
	long ret = SYS(SYS_rt_sigpending, &pending, sizeof(pending));

	if (ret < 0 || (uint64_t)c->a[1] > sizeof(pending))
		return -EINVAL;
	/* All else is blocked here, and may have come this very moment. */
	pending = (pending & *hosted_mask(c->uc)) | c->t->waiting;
	return mach_copy_out((uint64_t)c->a[0], &pending, (size_t)c->a[1]);
}

/* C libraries have no other fstat. */
static long call_fstatat(struct hosted_call *c)
{
	char first = 1;

	if (!(c->a[3] & AT_EMPTY_PATH) || mach_copy_in(&first, (uint64_t)c->a[1], 1) < 0 || first ||
	    c->a[0] == AT_FDCWD) {
		c->pass = true;
		return 0;
	}
	c->nr = SYS_fstat;
	c->a[1] = c->a[2];
	return hosted_gate_call(c);
}

/* False: not one of these. */
static bool answer(struct hosted_call *c, long *ret)
{
	struct hosted_thread *t = c->t;
	long *a = c->a;

	switch (c->nr) {
	case SYS_rt_sigaction:
		*ret = hosted_sigaction(t, (int)a[0], (uint64_t)a[1], (uint64_t)a[2], (size_t)a[3]);
		return true;
	case SYS_rt_sigprocmask:
		*ret = hosted_sigprocmask(t, c->uc, a);
		return true;
	case SYS_rt_sigpending:
		*ret = call_pending(c);
		return true;
	case SYS_newfstatat:
		*ret = call_fstatat(c);
		return true;
	case SYS_sigaltstack:
		*ret = hosted_sigaltstack(t, c->uc, (uint64_t)a[0], (uint64_t)a[1]);
		return true;
	case SYS_clone:
	case SYS_clone3:
	case SYS_fork:
	case SYS_vfork:
		*ret = hosted_fork(t, c->uc, c->nr, a);
		return true;
	case SYS_execve:
	case SYS_execveat:
		*ret = call_exec(c);
		return true;
	case SYS_exit:
		hosted_exit(t, a[0]);
	case SYS_exit_group:
		if (t->shares_files)
			files_share(false);
		c->pass = true;
		return true;
	case SYS_brk:
		*ret = (long)hosted_brk((uint64_t)a[0]);
		return true;
	case SYS_arch_prctl:
		*ret = call_arch_prctl(c);
		return true;
	case SYS_prctl:
		*ret = call_prctl(c);
		return true;
	case SYS_readlink:
		*ret = call_readlink(c, a[0], a[1], a[2]);
		return true;
	case SYS_readlinkat:
		*ret = call_readlink(c, a[1], a[2], a[3]);
		return true;
	case SYS_open:
	case SYS_creat:
		*ret = call_open(c, 0);
		return true;
	case SYS_openat:
		*ret = call_open(c, 1);
		return true;
	}
	return false;
}

static void strip(struct hosted_call *c)
{
	switch (c->nr) {
	case SYS_rt_sigsuspend:
		strip_mask(c, 0);
		break;
	case SYS_ppoll:
		strip_mask(c, 3);
		break;
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
		strip_mask(c, 4);
		break;
	case SYS_pselect6:
		strip_pair(c, 5);
		break;
	}
}

/*
 * The kernel could not access an argument: where memory is managed the gate gets it for it. Or it
 * could not read from the descriptor: that may be a userfaultfd that has come from elsewhere.
 */
static bool try_again(struct hosted_call *c, long *ret)
{
	uint64_t error = c->t->error;

	c->t->error = 0;
	if (!error || *reg(c->uc, REG_RIP) != c->t->ret)
		return false;
	*ret = -(long)error;
	if (error == EFAULT && front_managing())
		*ret = hosted_gate_call(c);
	else if (error == EINVAL && (c->nr == SYS_read || c->nr == SYS_readv))
		*ret = hosted_gate_read(c);
	return true;
}

static void finish(struct hosted_call *c, long ret)
{
	struct hosted_thread *t = c->t;
	int sig = t->caught;

	*reg(c->uc, REG_RAX) = (uint64_t)ret;
	if (sig && ret == -EINTR && hosted_restartable(c) && hosted_restarts(sig)) {
		*reg(c->uc, REG_RAX) = (uint64_t)c->nr;
		*reg(c->uc, REG_RIP) -= 2;
	}
	t->caught = 0;
	if (sig)
		hosted_deliver(t, c->uc, sig, &t->caught_info);
}

static void handle(struct hosted_call *c)
{
	long ret = 0;

	c->t->mask = *hosted_mask(c->uc);
	if (try_again(c, &ret) || ((answer(c, &ret) || hosted_gate(c, &ret)) && !c->pass)) {
		finish(c, ret);
		return;
	}
	strip(c);
	pass(c);
}

static __attribute__((noinline)) void on_libc(struct hosted_thread *t, ucontext_t *uc)
{
	struct hosted_call c = {
		.t = t, .uc = uc, .nr = (long)*reg(uc, REG_RAX), .a = DISPATCH_ARGS(uc)};

	t->in_gate = true;
	if (c.nr == SYS_rt_sigreturn)
		hosted_return(t, uc);
	else
		handle(&c);
	t->in_gate = false;
	if (t->waiting)
		hosted_deliver_kept(t, uc);
}

/* Nothing thread-local here: %fs is the program's. */
void hosted_on_syscall(int sig, siginfo_t *info, void *context)
{
	struct hosted_thread *t = hosted_self();
	ucontext_t *uc = context;

	if (!dispatch_is_call(info)) {
		if (t->blocked & HOSTED_SYS) {
			t->waiting |= HOSTED_SYS;
			t->kept[1] = *info;
		} else {
			hosted_deliver(t, uc, sig, info);
		}
		return;
	}
	t->program_fs = hosted_get_fs();
	hosted_set_fs(t->host_fs);
	on_libc(t, uc);
	hosted_set_fs(t->program_fs);
}
