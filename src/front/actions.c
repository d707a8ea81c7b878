/*
 * actions.c - sigaction and its kin.
 *
 * SIGSEGV is taken out of the mask of every action. A handler that had it there, and any handler of
 * SIGSEGV itself, is called through one of ours, so that it sees the mask it asked for and that a
 * SIGSEGV sent while the program blocks it waits, as it would.
 */
#include "front/dispatch.h"
#include "front/gate.h"
#include "front/preload.h"

#include <setjmp.h>
#include <string.h>

#include "front/sigsegv.h"

#define SEGV_BIT (1ull << (SIGSEGV - 1))
#define SIGNALS	 65

/* An action in neither libc's nor the kernel's layout. */
struct action {
	void *handler;
	uint64_t flags;
	uint64_t mask;
};

/* The kernel's layout. */
struct raw_sigaction {
	void *handler;
	uint64_t flags;
	void *restorer;
	uint64_t mask;
};

/* What the program asked for, where `through` stands in its place. */
static struct {
	_Atomic(void *) handler;
	_Atomic uint64_t flags;
	_Atomic bool with_segv; /* in the mask */
} asked[SIGNALS];

/* Signals whose action has SIGSYS in its mask, where it must not be in truth. */
static _Atomic uint64_t masks_sys;

static bool is_function(const void *handler)
{
	return (uintptr_t)handler > 1;
}

/* A fault while the program blocks it: death, as the kernel has it, when the access is done again.
 */
static void die_blocked(void)
{
	const uint64_t none[4] = {0};

	SYS(SYS_rt_sigaction, SIGSEGV, none, NULL, 8);
}

static void through(int sig, siginfo_t *info, void *context)
{
	uint64_t flags = atomic_load(&asked[sig].flags);
	void *handler = atomic_load(&asked[sig].handler);
	bool blocks = atomic_load(&asked[sig].with_segv), was;

	if (sig == SIGSEGV) {
		if (mask_inherited() && info->si_code > 0) {
			die_blocked();
			return;
		}
		if (mask_inherited()) {
			mask_keep_sent(info);
			return;
		}
		blocks = blocks || !(flags & SA_NODEFER);
	}
	was = mask_enter_handler(blocks);
	((void (*)(int, siginfo_t *, void *))handler)(sig, info, context);
	mask_leave_handler(was);
}

/* What the program believes of sig, given what is installed. */
static void show(int sig, struct action *installed, const struct action *before, bool with)
{
	if (installed->handler == (void *)through) {
		installed->handler = before->handler;
		installed->flags =
			(installed->flags & ~(uint64_t)SA_SIGINFO) | (before->flags & SA_SIGINFO);
	}
	if (with && sig != SIGSEGV)
		installed->mask |= SEGV_BIT;
	installed->mask |= before->mask;
}

/* Whether SIGSYS is in the mask of sig: what was asked for until now. */
static uint64_t exchange_sys(int sig, struct action *a)
{
	uint64_t one = 1ull << (sig - 1), was;

	if (likely(!atomic_load(&dispatch_on)))
		return 0;
	if (!a)
		was = atomic_load(&masks_sys);
	else if (a->mask & DISPATCH_SYS)
		was = atomic_fetch_or(&masks_sys, one);
	else
		was = atomic_fetch_and(&masks_sys, ~one);
	if (a)
		a->mask &= ~DISPATCH_SYS;
	return was & one ? DISPATCH_SYS : 0;
}

/* Prepare an action to be installed; *before and *with say what was asked for until now. */
static void prepare(int sig, struct action *a, struct action *before, bool *with)
{
	bool segv, sys;

	before->handler = atomic_load(&asked[sig].handler);
	before->flags = atomic_load(&asked[sig].flags);
	sys = a && (a->mask & DISPATCH_SYS) && atomic_load(&dispatch_on);
	before->mask = exchange_sys(sig, a);
	*with = atomic_load(&asked[sig].with_segv);
	if (!a)
		return;
	segv = a->mask & SEGV_BIT;
	if (sig != SIGSEGV)
		a->mask &= ~SEGV_BIT;
	atomic_store(&asked[sig].with_segv, segv);
	if (!is_function(a->handler) || (sig != SIGSEGV && !segv && !sys))
		return;
	atomic_store(&asked[sig].handler, a->handler);
	atomic_store(&asked[sig].flags, a->flags);
	a->handler = (void *)through;
	a->flags |= SA_SIGINFO;
}

static bool ordinary(int sig)
{
	return sig >= 1 && sig < SIGNALS && sig != SIGKILL && sig != SIGSTOP;
}

static struct action of_libc(const struct sigaction *act)
{
	struct action a = {.handler = (void *)act->sa_handler,
			   .flags = (unsigned)act->sa_flags,
			   .mask = act->sa_mask.__val[0]};

	return a;
}

static void to_libc(struct sigaction *act, const struct action *a)
{
	act->sa_handler = (__sighandler_t)a->handler;
	act->sa_flags = (int)a->flags;
	act->sa_mask.__val[0] = a->mask;
}

/*
 * The child of a vfork has actions of its own in memory of its parent's, where nothing must be
 * noted of them. What it does to them is between it and the kernel; but SIGSEGV stays armed for
 * what it touches until it has become another program, which takes care of the rest.
 */
static bool in_vfork_child(void)
{
	return host_armed() && !files_ours();
}

static void show_in_vfork_child(int sig, struct action *installed)
{
	struct host_sigaction segv;
	struct action before;
	bool with;

	if (sig == SIGSEGV && installed->handler != (void *)SIG_IGN) {
		host_program_sigsegv(NULL, &segv);
		*installed = (struct action){segv.handler, segv.flags, segv.mask};
	}
	prepare(sig, NULL, &before, &with);
	show(sig, installed, &before, with);
}

static bool keep_segv(int sig, const void *handler)
{
	return sig == SIGSEGV && handler != (void *)SIG_IGN;
}

/* SIGSYS, once it is ours. */
static bool sys_swap(int sig, const struct action *set, struct action *old)
{
	struct host_sigaction now, was;

	if (set)
		now = (struct host_sigaction){set->handler, set->flags, set->mask};
	if (sig != SIGSYS || !dispatch_swap(set ? &now : NULL, &was))
		return false;
	*old = (struct action){was.handler, was.flags, was.mask};
	return true;
}

void actions_free_sys(void)
{
	struct host_sigaction segv;
	struct raw_sigaction act;

	for (int sig = 1; sig < SIGNALS; sig++) {
		if (!ordinary(sig) || sig == SIGSEGV ||
		    SYS(SYS_rt_sigaction, sig, NULL, &act, sizeof(act.mask)) < 0 ||
		    !(act.mask & DISPATCH_SYS))
			continue;
		atomic_fetch_or(&masks_sys, 1ull << (sig - 1));
		act.mask &= ~DISPATCH_SYS;
		SYS(SYS_rt_sigaction, sig, &act, NULL, sizeof(act.mask));
	}
	host_program_sigsegv(NULL, &segv);
	if (segv.mask & DISPATCH_SYS) {
		atomic_fetch_or(&masks_sys, 1ull << (SIGSEGV - 1));
		segv.mask &= ~DISPATCH_SYS;
		host_program_sigsegv(&segv, NULL);
	}
}

EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct action set, before, was;
	struct sigaction copy;
	bool with;
	int ret;

	if (!ordinary(sig))
		return REAL(sigaction)(sig, act, old);
	if (in_vfork_child()) {
		if (act && keep_segv(sig, (void *)act->sa_handler))
			act = NULL;
		ret = REAL(sigaction)(sig, act, old);
		if (ret == 0 && old) {
			was = of_libc(old);
			show_in_vfork_child(sig, &was);
			to_libc(old, &was);
		}
		return ret;
	}
	if (act) {
		copy = *act;
		set = of_libc(act);
	}
	prepare(sig, act ? &set : NULL, &before, &with);
	if (sys_swap(sig, act ? &set : NULL, &was)) {
		show(sig, &was, &before, with);
		if (old) {
			memset(old, 0, sizeof(*old));
			to_libc(old, &was);
		}
		return 0;
	}
	if (act)
		to_libc(&copy, &set);
	ret = sig == SIGSEGV && sigsegv_swap(act ? &copy : NULL, old)
		      ? 0
		      : REAL(sigaction)(sig, act ? &copy : NULL, old);
	if (ret == 0 && old) {
		was = of_libc(old);
		show(sig, &was, &before, with);
		to_libc(old, &was);
	}
	return ret;
}

int front_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	return sigaction(sig, act, old) < 0 ? -errno : 0;
}

/* ---- the older calls ---------------------------------------------------------------------------
 */

static __sighandler_t segv_handler(__sighandler_t handler, int flags)
{
	struct sigaction act = {.sa_flags = flags}, old;

	act.sa_handler = handler;
	if (!(flags & SA_NODEFER))
		sigaddset(&act.sa_mask, SIGSEGV);
	return sigaction(SIGSEGV, &act, &old) < 0 ? SIG_ERR : old.sa_handler;
}

/* These set a mask of their own: no trace of SIGSEGV stays. */
static __sighandler_t replaced(int sig, __sighandler_t was)
{
	if (was == SIG_ERR || !ordinary(sig))
		return was;
	atomic_store(&asked[sig].with_segv, false);
	return (void *)was == (void *)through ? (__sighandler_t)atomic_load(&asked[sig].handler)
					      : was;
}

EXPORT __sighandler_t signal(int sig, __sighandler_t handler)
{
	return sig == SIGSEGV ? segv_handler(handler, SA_RESTART)
			      : replaced(sig, REAL(signal)(sig, handler));
}

EXPORT __sighandler_t bsd_signal(int sig, __sighandler_t handler)
{
	return signal(sig, handler);
}

EXPORT __sighandler_t ssignal(int sig, __sighandler_t handler)
{
	return signal(sig, handler);
}

EXPORT __sighandler_t sysv_signal(int sig, __sighandler_t handler)
{
	return sig == SIGSEGV ? segv_handler(handler, (int)SA_RESETHAND | SA_NODEFER)
			      : replaced(sig, REAL(sysv_signal)(sig, handler));
}

EXPORT __sighandler_t __sysv_signal(int sig, __sighandler_t handler)
{
	return sysv_signal(sig, handler);
}

EXPORT __sighandler_t sigset(int sig, __sighandler_t handler)
{
	struct sigaction old;
	bool held;

	if (sig != SIGSEGV)
		return replaced(sig, REAL(sigset)(sig, handler));
	held = mask_inherited();
	if (handler == SIG_HOLD) {
		if (sigaction(sig, NULL, &old) < 0 || sighold(sig) < 0)
			return SIG_ERR;
		return held ? SIG_HOLD : old.sa_handler;
	}
	handler = segv_handler(handler, 0);
	if (handler != SIG_ERR)
		sigrelse(sig);
	return held ? SIG_HOLD : handler;
}

EXPORT int sigignore(int sig)
{
	struct sigaction act = {.sa_flags = 0};

	act.sa_handler = SIG_IGN;
	return sigaction(sig, &act, NULL);
}

EXPORT int siginterrupt(int sig, int interrupt)
{
	struct sigaction act;

	if (sig != SIGSEGV)
		return REAL(siginterrupt)(sig, interrupt);
	if (sigaction(sig, NULL, &act) < 0)
		return -1;
	act.sa_flags = interrupt ? act.sa_flags & ~SA_RESTART : act.sa_flags | SA_RESTART;
	return sigaction(sig, &act, NULL);
}

/* ---- with the kernel's structure ---------------------------------------------------------------
 */

static long raw_segv(const struct raw_sigaction *act, struct raw_sigaction *old)
{
	struct host_sigaction set, was;

	if (act)
		set = (struct host_sigaction){
			.handler = act->handler, .flags = act->flags, .mask = act->mask};
	host_program_sigsegv(act ? &set : NULL, &was);
	if (old)
		*old = (struct raw_sigaction){
			.handler = was.handler, .flags = was.flags, .mask = was.mask};
	return 0;
}

static long raw_in_vfork_child(int sig, struct raw_sigaction *act, struct raw_sigaction *out)
{
	struct action was;
	long ret;

	if (act && keep_segv(sig, act->handler))
		act = NULL;
	ret = SYS(SYS_rt_sigaction, sig, act, out, sizeof(act->mask));
	was = (struct action){out->handler, out->flags, out->mask};
	show_in_vfork_child(sig, &was);
	out->handler = was.handler;
	out->flags = was.flags;
	out->mask = was.mask;
	return ret;
}

/* act may be changed. */
static long raw_action(int sig, struct raw_sigaction *act, struct raw_sigaction *out)
{
	struct action set, before, was;
	bool with;
	long ret;

	if (act)
		set = (struct action){act->handler, act->flags, act->mask};
	prepare(sig, act ? &set : NULL, &before, &with);
	if (sys_swap(sig, act ? &set : NULL, &was)) {
		show(sig, &was, &before, with);
		*out = (struct raw_sigaction){
			.handler = was.handler, .flags = was.flags, .mask = was.mask};
		return 0;
	}
	if (act) {
		act->handler = set.handler;
		act->flags = set.flags;
		act->mask = set.mask;
	}
	ret = sig == SIGSEGV && host_armed()
		      ? raw_segv(act, out)
		      : SYS(SYS_rt_sigaction, sig, act, out, sizeof(set.mask));
	was = (struct action){out->handler, out->flags, out->mask};
	show(sig, &was, &before, with);
	out->handler = was.handler;
	out->flags = was.flags;
	out->mask = was.mask;
	return ret;
}

/* An action that was prepared comes by again on its way through libc. */
static bool is_prepared(const struct raw_sigaction *act)
{
	return act && act->handler == (void *)through;
}

long signals_raw_action(int sig, const void *act, void *old, size_t size)
{
	struct raw_sigaction copy, was = {0}, *set = act ? &copy : NULL;
	long ret;

	if (size != sizeof(copy.mask))
		return -EINVAL;
	if (act && gate_fetch(&copy, act, sizeof(copy)) < 0)
		return -EFAULT;
	if (!ordinary(sig) || is_prepared(set))
		ret = SYS(SYS_rt_sigaction, sig, set, &was, size);
	else if (in_vfork_child())
		ret = raw_in_vfork_child(sig, set, &was);
	else
		ret = raw_action(sig, set, &was);
	return ret == 0 && old ? gate_give(old, &was, sizeof(was)) : ret;
}

/* ---- leaving a handler by a long jump ----------------------------------------------------------
 */

/* With the mask that was saved SIGSEGV comes free, as far as the handler was what blocked it. */
static void jump_out(struct __jmp_buf_tag *env)
{
	if (env->__mask_was_saved)
		mask_leave_handler(false);
}

#define LONGJMP(name)                                                                              \
	EXPORT void name(struct __jmp_buf_tag env[1], int value)                                   \
	{                                                                                          \
		jump_out(env);                                                                     \
		REAL(name)(env, value);                                                            \
		__builtin_unreachable();                                                           \
	}
LONGJMP(longjmp)
LONGJMP(_longjmp)
LONGJMP(siglongjmp)
LONGJMP(__longjmp_chk)
