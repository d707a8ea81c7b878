/*
 * signals.c - masks, actions, alternate stacks.
 *
 * SIGSEGV is never really blocked, from the start of the program on: a fault while it is kills. So it
 * is taken out of every mask that the program sets, and put back into every mask that it asks for.
 */
#include "front/preload.h"

#include <string.h>

#include "front/sigsegv.h"

#define SEGV_BIT (1ull << (SIGSEGV - 1))

/* What the calling thread believes, and which actions' masks had SIGSEGV in them. */
static __thread bool segv_blocked __attribute__((tls_model("initial-exec")));
static _Atomic uint64_t masks_with_segv;

/* The thread's alternate stack is ours; the program has set one of its own over it. */
static __thread bool altstack_ours __attribute__((tls_model("initial-exec")));
static __thread bool altstack_own __attribute__((tls_model("initial-exec")));

static bool has_segv(const sigset_t *set)
{
	return set && (set->__val[0] & SEGV_BIT);
}

const sigset_t *mask_strip(const sigset_t *mask, sigset_t *copy)
{
	if (likely(!has_segv(mask)))
		return mask;
	memset(copy, 0, sizeof(*copy));
	copy->__val[0] = mask->__val[0] & ~SEGV_BIT;
	return copy;
}

bool mask_inherited(void)
{
	return segv_blocked;
}

void mask_inherit(bool blocked)
{
	segv_blocked = blocked;
}

/* A mask call of the program's went well. */
static void note_mask(int how, bool with_segv)
{
	if (how == SIG_SETMASK)
		segv_blocked = with_segv;
	else if (with_segv)
		segv_blocked = how == SIG_BLOCK;
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	bool was = segv_blocked, with = has_segv(set), given = set;
	sigset_t copy;
	int ret = REAL(sigprocmask)(how, mask_strip(set, &copy), old);

	if (ret == 0 && given)
		note_mask(how, with);
	if (ret == 0 && old && was)
		old->__val[0] |= SEGV_BIT;
	return ret;
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	bool was = segv_blocked, with = has_segv(set), given = set;
	sigset_t copy;
	int ret = REAL(pthread_sigmask)(how, mask_strip(set, &copy), old);

	if (ret == 0 && given)
		note_mask(how, with);
	if (ret == 0 && old && was)
		old->__val[0] |= SEGV_BIT;
	return ret;
}

EXPORT int sigsuspend(const sigset_t *mask)
{
	sigset_t copy;

	return REAL(sigsuspend)(mask_strip(mask, &copy));
}

EXPORT int posix_spawnattr_setsigmask(posix_spawnattr_t *attr, const sigset_t *mask)
{
	sigset_t copy;

	return REAL(posix_spawnattr_setsigmask)(attr, mask_strip(mask, &copy));
}

EXPORT int pthread_attr_setsigmask_np(pthread_attr_t *attr, const sigset_t *mask)
{
	sigset_t copy;

	return REAL(pthread_attr_setsigmask_np)(attr, mask_strip(mask, &copy));
}

static int mask_one(int how, int sig)
{
	sigset_t set;

	if (sigemptyset(&set) < 0 || sigaddset(&set, sig) < 0)
		return -1;
	return sigprocmask(how, &set, NULL);
}

EXPORT int sighold(int sig)
{
	return mask_one(SIG_BLOCK, sig);
}

EXPORT int sigrelse(int sig)
{
	return mask_one(SIG_UNBLOCK, sig);
}

/* The mask of BSD: one int. */
static int mask_int(int how, int mask)
{
	sigset_t set, old;

	sigemptyset(&set);
	set.__val[0] = (unsigned)mask;
	return sigprocmask(how, &set, &old) < 0 ? -1 : (int)old.__val[0];
}

EXPORT int sigblock(int mask)
{
	return mask_int(SIG_BLOCK, mask);
}

EXPORT int sigsetmask(int mask)
{
	return mask_int(SIG_SETMASK, mask);
}

/* ---- actions ----------------------------------------------------------------------------------- */

/* Remember whether the mask of this signal's action had SIGSEGV; what it was before. */
static bool note_action(int sig, bool given, bool with)
{
	uint64_t bit = 1ull << (sig - 1);

	if (!given)
		return atomic_load(&masks_with_segv) & bit;
	if (with)
		return atomic_fetch_or(&masks_with_segv, bit) & bit;
	return atomic_fetch_and(&masks_with_segv, ~bit) & bit;
}

EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	bool given = act, with = act && has_segv(&act->sa_mask), had;
	struct sigaction copy;
	int ret;

	if (sig == SIGSEGV)
		return sigsegv_swap(act, old) ? 0 : REAL(sigaction)(sig, act, old);
	if (with) {
		copy = *act;
		copy.sa_mask.__val[0] &= ~SEGV_BIT;
		act = &copy;
	}
	ret = REAL(sigaction)(sig, act, old);
	if (ret < 0)
		return ret;
	had = note_action(sig, given, with);
	if (old && had)
		old->sa_mask.__val[0] |= SEGV_BIT;
	return 0;
}

static __sighandler_t segv_handler(__sighandler_t handler, int flags)
{
	struct sigaction act = {.sa_flags = flags}, old;

	act.sa_handler = handler;
	if (!(flags & SA_NODEFER))
		sigaddset(&act.sa_mask, SIGSEGV);
	return sigaction(SIGSEGV, &act, &old) < 0 ? SIG_ERR : old.sa_handler;
}

/* These set a mask of their own: no trace of SIGSEGV stays. */
static __sighandler_t set_handler(int sig, __sighandler_t handler, int flags,
				  __typeof__(&signal) real)
{
	__sighandler_t ret;

	if (sig == SIGSEGV && host_armed())
		return segv_handler(handler, flags);
	ret = real(sig, handler);
	if (ret != SIG_ERR)
		note_action(sig, true, false);
	return ret;
}

EXPORT __sighandler_t signal(int sig, __sighandler_t handler)
{
	return set_handler(sig, handler, SA_RESTART, REAL(signal));
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
	return set_handler(sig, handler, (int)SA_RESETHAND | SA_NODEFER, REAL(sysv_signal));
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
		return REAL(sigset)(sig, handler);
	held = segv_blocked;
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

/* ---- the same, with the kernel's structures ---------------------------------------------------- */

struct raw_sigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

long signals_raw_procmask(int how, const uint64_t *set, uint64_t *old, size_t size)
{
	bool was = segv_blocked, with;
	uint64_t copy;
	long ret;

	if (size != sizeof(copy))
		return SYS(SYS_rt_sigprocmask, how, set, old, size);
	copy = set ? *set & ~SEGV_BIT : 0;
	with = set && (*set & SEGV_BIT);
	ret = SYS(SYS_rt_sigprocmask, how, set ? &copy : NULL, old, size);
	if (ret == 0 && set)
		note_mask(how, with);
	if (ret == 0 && old && was)
		*old |= SEGV_BIT;
	return ret;
}

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

long signals_raw_action(int sig, const void *act, void *old, size_t size)
{
	struct raw_sigaction copy;
	bool with = false, had;
	long ret;

	if (size != sizeof(copy.mask))
		return SYS(SYS_rt_sigaction, sig, act, old, size);
	if (sig == SIGSEGV)
		return host_armed() ? raw_segv(act, old)
				    : SYS(SYS_rt_sigaction, sig, act, old, size);
	if (act) {
		copy = *(const struct raw_sigaction *)act;
		with = copy.mask & SEGV_BIT;
		copy.mask &= ~SEGV_BIT;
	}
	ret = SYS(SYS_rt_sigaction, sig, act ? &copy : NULL, old, size);
	if (ret < 0)
		return ret;
	had = note_action(sig, act, with);
	if (old && had)
		((struct raw_sigaction *)old)->mask |= SEGV_BIT;
	return 0;
}

/* ---- alternate stacks -------------------------------------------------------------------------- */

void thread_altstack(void)
{
	stack_t now;

	if (altstack_ours || altstack_own)
		return;
	if (SYS(SYS_sigaltstack, NULL, &now) == 0 && !(now.ss_flags & SS_DISABLE))
		altstack_own = true;
	else if (host_altstack_enter() == 0)
		altstack_ours = true;
}

int signals_altstack(const stack_t *ss, stack_t *old)
{
	stack_t shown = {.ss_flags = SS_DISABLE};
	long ret = 0;

	if (!altstack_ours) {
		ret = SYS(SYS_sigaltstack, ss, old);
		if (ret == 0 && ss)
			altstack_own = !(ss->ss_flags & SS_DISABLE);
		return (int)ret;
	}
	if (altstack_own)
		SYS(SYS_sigaltstack, NULL, &shown);
	if (ss && (ss->ss_flags & SS_DISABLE)) {
		if (altstack_own && (shown.ss_flags & SS_ONSTACK))
			return -EPERM;
		ret = altstack_own ? host_altstack_enter() : 0;
		altstack_own = false;
	} else if (ss) {
		ret = SYS(SYS_sigaltstack, ss, NULL);
		altstack_own = altstack_own || ret == 0;
	}
	if (ret == 0 && old)
		*old = shown;
	return (int)ret;
}

EXPORT int sigaltstack(const stack_t *ss, stack_t *old)
{
	return (int)sys_errno(signals_altstack(ss, old));
}

void signals_init(void)
{
	uint64_t segv = SEGV_BIT, old = 0;

	SYS(SYS_rt_sigprocmask, SIG_UNBLOCK, &segv, &old, sizeof(old));
	segv_blocked = old & SEGV_BIT;
}
