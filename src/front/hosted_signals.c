/*
 * hosted_signals.c - the program's signals: actions, masks, alternate stack, frames.
 *
 * Everything the kernel does between a signal and its handler is done once more, because the kernel
 * has delivered it to us. Runs on the program's %fs: no thread-local storage.
 */
#include "front/hosted.h"

#include <string.h>

#define SIGNALS	     65
#define MINIMUM	     2048 /* of an alternate stack */
#define RED_ZONE     128
#define FLAG_DIR     0x400 /* the direction flag */
#define AUTODISARM   (1u << 31)
#define XSTATE_MAGIC 0x46505853u
#define XSTATE_PLACE 464 /* of the magic number in the floating point state, the size after it */
#define FXSAVE_SIZE  512
#define KERNEL_FLAGS                                                                               \
	(uint64_t)(SA_RESTART | SA_NOCLDSTOP | SA_NOCLDWAIT) /* those that the kernel acts on */

static struct mach_lock lock;
static struct hosted_action actions[SIGNALS];

static bool is_function(uint64_t handler)
{
	return handler > 1;
}

static uint64_t *reg(ucontext_t *uc, int which)
{
	return (uint64_t *)&uc->uc_mcontext.gregs[which];
}

static uint64_t bit(int sig)
{
	return 1ull << (sig - 1);
}

/* ---- what is installed in truth ----------------------------------------------------------------
 */

static void on_signal(int sig, siginfo_t *info, void *context)
{
	struct hosted_thread *t = hosted_self();
	ucontext_t *uc = context;

	if (!t->in_gate) {
		hosted_deliver(t, uc, sig, info);
		return;
	}
	t->caught = sig;
	t->caught_info = *info;
	*hosted_mask(uc) = ~HOSTED_SEGV;
	if (*reg(uc, REG_RIP) >= (uintptr_t)hosted_sleep_open &&
	    *reg(uc, REG_RIP) <= (uintptr_t)hosted_sleep_call) {
		*reg(uc, REG_RIP) = (uintptr_t)hosted_sleep_done;
		*reg(uc, REG_RAX) = (uint64_t)-EINTR;
	}
}

/* From the trap handler, where the fault is the program's own. */
static void on_segv(int sig, siginfo_t *info, void *context)
{
	struct hosted_thread *t = hosted_self();
	ucontext_t *uc = context;

	if (t->in_gate && info->si_code > 0)
		hosted_die(sig);
	if (t->in_gate || (info->si_code <= 0 && (t->blocked & HOSTED_SEGV))) {
		t->waiting |= HOSTED_SEGV;
		t->kept[0] = *info;
		return;
	}
	if (t->blocked & HOSTED_SEGV)
		hosted_die(sig);
	hosted_deliver(t, uc, sig, info);
}

static uint64_t mask_of_program(uint64_t own)
{
	struct hosted_thread *t = hosted_self();

	return t->in_gate ? t->mask : own;
}

/*
 * Interrupted by what is none of the program's business: a call that has ended for it is made
 * again. Unless a signal of the program's is about to come, which ends it, too.
 */
static void on_asked(ucontext_t *uc)
{
	struct hosted_thread *t = hosted_self();
	uint64_t pc = *reg(uc, REG_RIP), pending = 0;

	if ((int64_t)*reg(uc, REG_RAX) != -EINTR)
		return;
	SYS(SYS_rt_sigpending, &pending, sizeof(pending));
	if (pending & ~*hosted_mask(uc))
		return;
	if (pc == (uintptr_t)hosted_stub_after) {
		*reg(uc, REG_RIP) = (uintptr_t)hosted_stub;
		*reg(uc, REG_RAX) = t->nr;
	} else if (pc == (uintptr_t)hosted_sleep_done && !t->caught) {
		*reg(uc, REG_RIP) = (uintptr_t)hosted_sleep_open;
	}
}

static long set_kernel(int sig, void *handler, uint64_t flags, uint64_t mask)
{
	struct hosted_action act = {.handler = (uintptr_t)handler,
				    .flags = flags | cpu_sa_flags,
				    .restorer = (uintptr_t)cpu_sigreturn,
				    .mask = mask};

	return SYS(SYS_rt_sigaction, sig, &act, NULL, sizeof(act.mask));
}

static long install(int sig, const struct hosted_action *act)
{
	struct host_sigaction segv = {.handler = (void *)act->handler, .flags = act->flags};
	bool function = is_function(act->handler);

	if (sig == SIGSYS)
		return 0;
	if (sig == SIGSEGV) {
		if (function)
			segv = (struct host_sigaction){
				(void *)on_segv,
				SA_SIGINFO | SA_NODEFER | (act->flags & SA_RESTART), 0};
		host_program_sigsegv(&segv, NULL);
		return 0;
	}
	if (!function)
		return set_kernel(sig, (void *)act->handler, act->flags & KERNEL_FLAGS, 0);
	return set_kernel(sig, (void *)on_signal,
			  (act->flags & KERNEL_FLAGS) | SA_SIGINFO | SA_ONSTACK, ~HOSTED_SEGV);
}

void hosted_signals_init(struct hosted_thread *t)
{
	struct hosted_action now;
	uint64_t mask = HOSTED_SYS, old = 0;

	for (int sig = 1; sig < SIGNALS; sig++)
		if (SYS(SYS_rt_sigaction, sig, NULL, &now, sizeof(now.mask)) == 0 &&
		    now.handler == (uintptr_t)SIG_IGN)
			actions[sig].handler = now.handler;
	SYS(SYS_rt_sigprocmask, SIG_UNBLOCK, &mask, &old, sizeof(old));
	t->blocked = old & HOSTED_SYS;
	host_when_asked(on_asked);
	host_mask_is(mask_of_program);
	set_kernel(SIGSYS, (void *)hosted_on_syscall, SA_SIGINFO | SA_ONSTACK, ~HOSTED_SEGV);
}

void hosted_signals_child(void)
{
	atomic_store(&lock.word, 0);
}

void hosted_die(int sig)
{
	uint64_t one = bit(sig);

	set_kernel(sig, SIG_DFL, 0, 0);
	SYS(SYS_rt_sigprocmask, SIG_UNBLOCK, &one, NULL, sizeof(one));
	SYS(SYS_tgkill, SYS(SYS_getpid), SYS(SYS_gettid), sig);
	SYS(SYS_exit_group, 128 + sig);
	__builtin_unreachable();
}

/* ---- frames ------------------------------------------------------------------------------------
 */

static uint64_t float_size(const uint8_t *state)
{
	uint32_t words[2];

	memcpy(words, state + XSTATE_PLACE, sizeof(words));
	return words[0] == XSTATE_MAGIC ? words[1] : FXSAVE_SIZE;
}

int hosted_build_frame(uint64_t top, const ucontext_t *uc, const siginfo_t *info, uint64_t restorer,
		       uint64_t *frame)
{
	const uint8_t *state = (const uint8_t *)uc->uc_mcontext.fpregs;
	struct hosted_frame f = {.restorer = restorer};
	uint64_t at = top;

	memcpy(f.uc, uc, sizeof(f.uc));
	memcpy(f.info, info, sizeof(f.info));
	if (state) {
		at = (top - float_size(state)) & ~63ull;
		if (mach_copy_out(at, state, float_size(state)) < 0)
			return -EFAULT;
		memcpy(f.uc + offsetof(ucontext_t, uc_mcontext.fpregs), &at, sizeof(at));
	}
	*frame = ((at - sizeof(f)) & ~15ull) - 8;
	return mach_copy_out(*frame, &f, sizeof(f));
}

/* A thread in the stub is shown where it would be: before its own call, or behind it. */
static void leave_stub(struct hosted_thread *t, ucontext_t *uc)
{
	static const int registers[6] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};
	uint64_t pc = *reg(uc, REG_RIP);

	if (pc < (uintptr_t)hosted_stub || pc >= (uintptr_t)hosted_stub_end)
		return;
	for (unsigned i = 0; i < 6; i++)
		*reg(uc, registers[i]) = t->args[i];
	*reg(uc, REG_RIP) = t->ret;
	if (pc < (uintptr_t)hosted_stub_after) {
		*reg(uc, REG_RIP) = t->again;
	} else if (pc >= (uintptr_t)hosted_stub_efault) {
		*reg(uc, REG_RIP) = t->again;
		*reg(uc, REG_RAX) = t->nr;
	}
}

static bool on_alt(const struct hosted_thread *t, uint64_t sp)
{
	return !(t->alt.ss_flags & SS_DISABLE) && sp > (uint64_t)t->alt.ss_sp &&
	       sp - (uint64_t)t->alt.ss_sp <= t->alt.ss_size;
}

static struct hosted_action take_action(int sig)
{
	struct hosted_action act, none = {.handler = (uintptr_t)SIG_DFL};

	mach_lock(&lock);
	act = actions[sig];
	if (is_function(act.handler) && (act.flags & SA_RESETHAND)) {
		actions[sig].handler = none.handler;
		install(sig, &none);
	}
	mach_unlock(&lock);
	return act;
}

/* The program's view of uc: what its frame says of mask and stack. */
static ucontext_t *shown(const struct hosted_thread *t, const ucontext_t *uc, ucontext_t *copy)
{
	memcpy(copy, uc, HOSTED_UC_SIZE);
	*hosted_mask(copy) |= t->blocked;
	copy->uc_stack = t->alt;
	return copy;
}

void hosted_deliver(struct hosted_thread *t, ucontext_t *uc, int sig, const siginfo_t *info)
{
	struct hosted_action act = take_action(sig);
	uint64_t top = *reg(uc, REG_RSP) - RED_ZONE, frame, mask;
	ucontext_t copy;

	if (act.handler == (uintptr_t)SIG_IGN)
		return;
	if (!is_function(act.handler)) {
		if (sig == SIGSYS || sig == SIGSEGV)
			hosted_die(sig);
		return;
	}
	leave_stub(t, uc);
	if ((act.flags & SA_ONSTACK) && !(t->alt.ss_flags & SS_DISABLE) &&
	    !on_alt(t, *reg(uc, REG_RSP)))
		top = (uint64_t)t->alt.ss_sp + t->alt.ss_size;
	if (hosted_build_frame(top, shown(t, uc, &copy), info, act.restorer, &frame) < 0)
		hosted_die(SIGSEGV);
	if (t->alt.ss_flags & (int)AUTODISARM)
		t->alt = (stack_t){.ss_flags = SS_DISABLE};
	mask = act.mask | (act.flags & SA_NODEFER ? 0 : bit(sig));
	t->blocked |= mask & HOSTED_VIRTUAL;
	*hosted_mask(uc) |= mask & ~HOSTED_VIRTUAL;
	*reg(uc, REG_RIP) = act.handler;
	*reg(uc, REG_RSP) = frame;
	*reg(uc, REG_RDI) = (uint64_t)sig;
	*reg(uc, REG_RSI) = frame + offsetof(struct hosted_frame, info);
	*reg(uc, REG_RDX) = frame + offsetof(struct hosted_frame, uc);
	*reg(uc, REG_RAX) = 0;
	*reg(uc, REG_EFL) &= ~(uint64_t)FLAG_DIR;
}

void hosted_deliver_kept(struct hosted_thread *t, ucontext_t *uc)
{
	if ((t->waiting & HOSTED_SEGV) && !(t->blocked & HOSTED_SEGV)) {
		t->waiting &= ~HOSTED_SEGV;
		hosted_deliver(t, uc, SIGSEGV, &t->kept[0]);
	}
	if ((t->waiting & HOSTED_SYS) && !(t->blocked & HOSTED_SYS)) {
		t->waiting &= ~HOSTED_SYS;
		hosted_deliver(t, uc, SIGSYS, &t->kept[1]);
	}
}

/* rt_sigreturn: the state that the program's frame holds becomes that of the call. */
void hosted_return(struct hosted_thread *t, ucontext_t *uc)
{
	uint8_t *state = (uint8_t *)uc->uc_mcontext.fpregs, *theirs;
	uint8_t header[FXSAVE_SIZE];
	ucontext_t from;

	memset(&from, 0, sizeof(from));
	if (mach_copy_in(&from, *reg(uc, REG_RSP), HOSTED_UC_SIZE) < 0)
		hosted_die(SIGSEGV);
	theirs = (uint8_t *)from.uc_mcontext.fpregs;
	memcpy(&uc->uc_mcontext, &from.uc_mcontext, sizeof(uc->uc_mcontext));
	uc->uc_flags = from.uc_flags;
	if (theirs && state && mach_copy_in(header, (uintptr_t)theirs, sizeof(header)) == 0 &&
	    float_size(header) == float_size(state) &&
	    mach_copy_in(state, (uintptr_t)theirs, float_size(header)) == 0)
		uc->uc_mcontext.fpregs = (void *)state;
	t->blocked = *hosted_mask(&from) & HOSTED_VIRTUAL;
	*hosted_mask(uc) = *hosted_mask(&from) & ~HOSTED_VIRTUAL;
	if (!on_alt(t, *reg(uc, REG_RSP)))
		t->alt = from.uc_stack;
}

/* ---- the calls ---------------------------------------------------------------------------------
 */

bool hosted_restarts(int sig)
{
	bool restarts;

	mach_lock(&lock);
	restarts = !is_function(actions[sig].handler) || (actions[sig].flags & SA_RESTART);
	mach_unlock(&lock);
	return restarts;
}

static long set_action(const struct hosted_thread *t, int sig, struct hosted_action *set,
		       struct hosted_action *was)
{
	long err = 0;

	mach_lock(&lock);
	*was = actions[sig];
	if (set && t->own_actions && sig != SIGSEGV && sig != SIGSYS) {
		/* The table is the parent's. */
		if (!is_function(set->handler))
			err = install(sig, set);
	} else if (set && !t->own_actions) {
		set->mask &= ~(bit(SIGKILL) | bit(SIGSTOP));
		err = install(sig, set);
		if (err == 0)
			actions[sig] = *set;
	}
	mach_unlock(&lock);
	return err;
}

long hosted_sigaction(struct hosted_thread *t, int sig, uint64_t act, uint64_t old, size_t size)
{
	struct hosted_action set, was;
	long err;

	if (size != sizeof(set.mask) || sig < 1 || sig >= SIGNALS ||
	    (act && (sig == SIGKILL || sig == SIGSTOP)))
		return -EINVAL;
	if (act && mach_copy_in(&set, act, sizeof(set)) < 0)
		return -EFAULT;
	err = set_action(t, sig, act ? &set : NULL, &was);
	if (err == 0 && old && mach_copy_out(old, &was, sizeof(was)) < 0)
		return -EFAULT;
	return err;
}

long hosted_sigprocmask(struct hosted_thread *t, ucontext_t *uc, const long a[6])
{
	uint64_t *mask = hosted_mask(uc), was = *mask | t->blocked, now = was, set;

	if (a[3] != sizeof(set))
		return -EINVAL;
	if (a[1]) {
		if (mach_copy_in(&set, (uint64_t)a[1], sizeof(set)) < 0)
			return -EFAULT;
		if (a[0] == SIG_BLOCK)
			now = was | set;
		else if (a[0] == SIG_UNBLOCK)
			now = was & ~set;
		else if (a[0] == SIG_SETMASK)
			now = set;
		else
			return -EINVAL;
		now &= ~(bit(SIGKILL) | bit(SIGSTOP));
		*mask = now & ~HOSTED_VIRTUAL;
		t->blocked = now & HOSTED_VIRTUAL;
	}
	if (a[2] && mach_copy_out((uint64_t)a[2], &was, sizeof(was)) < 0)
		return -EFAULT;
	return 0;
}

long hosted_sigaltstack(struct hosted_thread *t, const ucontext_t *uc, uint64_t set, uint64_t old)
{
	bool on = on_alt(t, (uint64_t)uc->uc_mcontext.gregs[REG_RSP]);
	stack_t now = t->alt, next;
	unsigned mode;

	if (on)
		now.ss_flags |= SS_ONSTACK;
	if (set) {
		if (mach_copy_in(&next, set, sizeof(next)) < 0)
			return -EFAULT;
		mode = (unsigned)next.ss_flags & ~AUTODISARM;
		if (on)
			return -EPERM;
		if (mode != 0 && mode != SS_DISABLE && mode != SS_ONSTACK)
			return -EINVAL;
		if (mode == SS_DISABLE)
			next = (stack_t){.ss_flags = next.ss_flags};
		else if (next.ss_size < MINIMUM)
			return -ENOMEM;
		next.ss_flags &= ~SS_ONSTACK;
		t->alt = next;
	}
	if (old && mach_copy_out(old, &now, sizeof(now)) < 0)
		return -EFAULT;
	return 0;
}
