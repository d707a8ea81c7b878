/*
 * signals.c - masks and alternate stacks.
 *
 * SIGSEGV is never really blocked, from the start of the program on: a fault while it is kills. So
 * it is taken out of every mask that the program sets, and put back into every mask that it asks
 * for. The same goes for SIGSYS once it tells of system calls (dispatch.h).
 */
#include "front/dispatch.h"
#include "front/gate.h"
#include "front/preload.h"

#include <string.h>

#define SEGV_BIT  (1ull << (SIGSEGV - 1))
#define LIBC_BITS (3ull << 31) /* the signals of libc's own, 32 and 33 */

/*
 * What the calling thread believes: it has blocked SIGSEGV; or runs a handler that does. And one
 * that was sent to it meanwhile.
 */
static __thread bool segv_blocked __attribute__((tls_model("initial-exec")));
static __thread bool segv_in_handler __attribute__((tls_model("initial-exec")));
static __thread bool segv_pending __attribute__((tls_model("initial-exec")));
static __thread siginfo_t segv_sent __attribute__((tls_model("initial-exec")));

/* The same of SIGSYS. */
static __thread bool sys_blocked __attribute__((tls_model("initial-exec")));
static __thread bool sys_pending __attribute__((tls_model("initial-exec")));
static __thread siginfo_t sys_sent __attribute__((tls_model("initial-exec")));

/* The thread's alternate stack is ours; the program has set one of its own over it. */
static __thread bool altstack_ours __attribute__((tls_model("initial-exec")));
static __thread bool altstack_own __attribute__((tls_model("initial-exec")));

/* The signals that are never blocked. */
static uint64_t ours(void)
{
	return SEGV_BIT | (unlikely(atomic_load(&dispatch_on)) ? DISPATCH_SYS : 0);
}

const sigset_t *mask_strip(const sigset_t *mask, sigset_t *copy)
{
	if (likely(!mask || !(mask->__val[0] & ours())))
		return mask;
	memset(copy, 0, sizeof(*copy));
	copy->__val[0] = mask->__val[0] & ~ours();
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

bool mask_enter_handler(bool blocks)
{
	bool was = segv_in_handler;

	segv_in_handler = blocks || was;
	return was;
}

void mask_leave_handler(bool was)
{
	segv_in_handler = was;
}

void mask_keep_sent(const siginfo_t *info)
{
	segv_sent = *info;
	segv_pending = true;
}

/* What was sent while it was blocked arrives now. */
static void deliver(void)
{
	if (!segv_pending || segv_blocked)
		return;
	segv_pending = false;
	SYS(SYS_rt_tgsigqueueinfo, SYS(SYS_getpid), SYS(SYS_gettid), SIGSEGV, &segv_sent);
}

static bool shown(void)
{
	return segv_blocked || segv_in_handler;
}

/* A mask call of the program's went well. */
static void note_mask(int how, bool with_segv)
{
	if (how != SIG_SETMASK && !with_segv)
		return;
	segv_blocked = with_segv && how != SIG_UNBLOCK;
	if (!segv_blocked) {
		segv_in_handler = false;
		deliver();
	}
}

static void note_sys(int how, bool with)
{
	if (how != SIG_SETMASK && !with)
		return;
	sys_blocked = with && how != SIG_UNBLOCK;
	if (!sys_blocked && sys_pending) {
		sys_pending = false;
		SYS(SYS_rt_tgsigqueueinfo, SYS(SYS_getpid), SYS(SYS_gettid), SIGSYS, &sys_sent);
	}
}

bool mask_keep_sys(const siginfo_t *info)
{
	if (!sys_blocked)
		return false;
	sys_sent = *info;
	sys_pending = true;
	return true;
}

void mask_free_sys(void)
{
	uint64_t mask = DISPATCH_SYS, old = 0;

	SYS(SYS_rt_sigprocmask, SIG_UNBLOCK, &mask, &old, sizeof(old));
	sys_blocked = sys_blocked || (old & mask);
}

/* Both in memory that can be accessed; set, if it is given, is changed. */
static long change_mask(int how, uint64_t *set, uint64_t *old)
{
	bool was = shown(), was_sys = sys_blocked, dispatched = atomic_load(&dispatch_on);
	uint64_t asked = set ? *set : 0;
	long ret;

	if (set)
		*set &= ~ours();
	ret = SYS(SYS_rt_sigprocmask, how, set, old, sizeof(*set));
	if (ret == 0 && set)
		note_mask(how, asked & SEGV_BIT);
	if (ret == 0 && set && dispatched)
		note_sys(how, asked & DISPATCH_SYS);
	if (ret == 0 && old)
		*old |= (was ? SEGV_BIT : 0) | (was_sys ? DISPATCH_SYS : 0);
	return ret;
}

/* As libc, which keeps two signals to itself. */
static long change_set(int how, const sigset_t *set, sigset_t *old)
{
	uint64_t word = set ? set->__val[0] & ~LIBC_BITS : 0, was;
	long ret;

	if (likely(!old || !front_managing()))
		return change_mask(how, set ? &word : NULL, old ? (uint64_t *)old->__val : NULL);
	ret = change_mask(how, set ? &word : NULL, &was);
	return ret ? ret : gate_give(old->__val, &was, sizeof(was));
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	return (int)sys_errno(change_set(how, set, old));
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	return (int)-change_set(how, set, old);
}

EXPORT int sigpending(sigset_t *set)
{
	return (int)sys_errno(signals_raw_pending((uint64_t *)set->__val, sizeof(uint64_t)));
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

/* ---- the same, with the kernel's mask ---------------------------------------------------------
 */

long signals_raw_procmask(int how, const uint64_t *set, uint64_t *old, size_t size)
{
	uint64_t copy = 0, was;
	long ret;

	if (size != sizeof(copy))
		return -EINVAL;
	if (set && gate_fetch(&copy, set, size) < 0)
		return -EFAULT;
	ret = change_mask(how, set ? &copy : NULL, &was);
	return ret == 0 && old ? gate_give(old, &was, size) : ret;
}

long signals_raw_pending(uint64_t *set, size_t size)
{
	uint64_t pending = 0;
	long ret;

	if (size > sizeof(pending))
		return -EINVAL;
	ret = SYS(SYS_rt_sigpending, &pending, sizeof(pending));
	pending |= (segv_pending ? SEGV_BIT : 0) | (sys_pending ? DISPATCH_SYS : 0);
	return ret ? ret : gate_give(set, &pending, size);
}

long signals_raw_suspend(const uint64_t *mask, size_t size)
{
	uint64_t copy;

	if (size != sizeof(copy))
		return -EINVAL;
	if (gate_fetch(&copy, mask, size) < 0)
		return -EFAULT;
	copy &= ~ours();
	return GATE_RAW(SYS_rt_sigsuspend, &copy, size);
}

/* ---- alternate stacks --------------------------------------------------------------------------
 */

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
		if (altstack_own) {
			ret = SYS(SYS_sigaltstack, ss, NULL);
			altstack_own = ret < 0;
			altstack_ours = ret < 0 || host_altstack_enter() == 0;
		}
	} else if (ss) {
		ret = SYS(SYS_sigaltstack, ss, NULL);
		altstack_own = altstack_own || ret == 0;
	}
	if (ret == 0 && old)
		*old = shown;
	return (int)ret;
}

long signals_raw_altstack(const stack_t *ss, stack_t *old)
{
	stack_t set, was;
	long ret;

	if (ss && gate_fetch(&set, ss, sizeof(set)) < 0)
		return -EFAULT;
	ret = signals_altstack(ss ? &set : NULL, &was);
	return ret == 0 && old ? gate_give(old, &was, sizeof(was)) : ret;
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
