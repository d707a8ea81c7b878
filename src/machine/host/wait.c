/*
 * wait.c - waiting for a handler, waking, and time.
 *
 * A waiting thread spins, then blocks SIGSEGV and sleeps in rt_sigtimedwait for it: the wake-up is
 * a SIGSEGV with a value that only we send. That needs no descriptor and no signal number of its
 * own, and lets the same sleep end for a signal of the program's.
 *
 * A waker that finds the waiter asleep sends exactly one signal, and the waiter consumes it, even
 * if it was about to give up: no wake-up is left over for later. (Should one be, the handler knows
 * it and ignores it.)
 */
#include "machine/host/internal.h"
#include "machine/host/siblings.h"

enum {
	WAITING = 1,
	ASLEEP,
	WOKEN,
	GONE
};

#define WAKE_MAGIC ((void *)0x7566772d77616b65ull)

/* Spinning: look at the clock every so many pauses, give the CPU away every so many ns. */
#define PAUSES	   16
#define YIELD_NS   6000
#define PREEMPT_NS 15000
/* Who sleeps looks so often whether anybody is left who could wake it. */
#define LOOK_NS 100000000

/* ---- Time ---- */

#define CALIBRATE_NS 10000000u

static struct {
	uint64_t ticks0, ns0;	/* when we started */
	uint64_t ticks1, ns1;	/* where the scale begins */
	_Atomic uint64_t scale; /* ns per tick, 32 fractional bits; 0: not known yet */
	struct mach_lock lock;
} tsc;

static uint64_t scaled(void)
{
	uint64_t scale = atomic_load_explicit(&tsc.scale, memory_order_relaxed);

	return tsc.ns1 + cpu_scale32(cpu_ticks() - tsc.ticks1, scale);
}

/* (a << 32) / b, as exactly as 64 bits allow. */
static uint64_t ratio32(uint64_t a, uint64_t b)
{
	while (a >> 32 != 0) {
		a >>= 1;
		b >>= 1;
	}
	return (a << 32) / b;
}

/* Two readings some time apart give the scale; until then the host is asked. */
static uint64_t now_slow(void)
{
	uint64_t ns = sys_clock_ns(), ticks = cpu_ticks();

	if (!cpu_ticks_steady() || ns - tsc.ns0 < CALIBRATE_NS)
		return ns;
	mach_lock(&tsc.lock);
	if (atomic_load(&tsc.scale) == 0 && ticks > tsc.ticks0) {
		tsc.ticks1 = ticks;
		tsc.ns1 = ns;
		atomic_store_explicit(&tsc.scale, ratio32(ns - tsc.ns0, ticks - tsc.ticks0),
				      memory_order_release);
	}
	mach_unlock(&tsc.lock);
	return ns;
}

uint64_t mach_now(void)
{
	if (atomic_load_explicit(&tsc.scale, memory_order_acquire) == 0)
		return now_slow();
	return scaled();
}

uint32_t mach_tid(void)
{
	return sys_gettid();
}

uint32_t mach_tgid(void)
{
	return sys_getpid();
}

void mach_delay(uint64_t ns)
{
	struct timespec left = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

	while (sys_nanosleep(&left) == -EINTR)
		;
}

void mach_relax(void)
{
	cpu_pause();
}

/* ---- Processes that share this memory ---------------------------------------------------------
 * A waiter's thread group is nearly always our own, whose threads the host checks when we signal
 * them. Another one (a clone(CLONE_VM) child) may be gone and its number somebody else's: it is
 * known by number and start time, and signalled only while both fit.
 */
#define PEERS		64
#define NUMBER_STAYS_NS 200000000u

static struct {
	struct mach_lock lock;
	uint32_t own;
	struct {
		uint32_t tgid;
		uint64_t started;
	} peer[PEERS];
} peers;

/* Field 22 of /proc/TGID/stat: after the name, which ends with the last ')'. 0: no such process. */
static uint64_t started(uint32_t tgid)
{
	char path[32] = "/proc/", buf[512];
	size_t at = 6;
	const char *p;
	long len;

	host_put_number(path, &at, tgid);
	memcpy(path + at, "/stat", 6);
	len = host_read_file(path, buf, sizeof(buf));
	if (len <= 0)
		return 0;
	for (p = buf + len; p > buf && *p != ')'; p--)
		;
	for (int field = 2; *p && field < 22; p++)
		field += *p == ' ';
	return host_parse_number(&p);
}

static void peer_remember(uint32_t tgid)
{
	unsigned i;

	mach_lock(&peers.lock);
	for (i = 0; i < PEERS && peers.peer[i].tgid != tgid && peers.peer[i].tgid != 0; i++)
		;
	if (i == PEERS)
		i = tgid % PEERS;
	if (peers.peer[i].tgid != tgid) {
		peers.peer[i].tgid = tgid;
		peers.peer[i].started = started(tgid);
	}
	mach_unlock(&peers.lock);
}

static bool peer_alive(uint32_t tgid)
{
	bool alive = false;

	mach_lock(&peers.lock);
	for (unsigned i = 0; i < PEERS; i++) {
		if (peers.peer[i].tgid == tgid && peers.peer[i].started != 0)
			alive = peers.peer[i].started == started(tgid);
	}
	mach_unlock(&peers.lock);
	return alive;
}

void wait_init(void)
{
	tsc.ns0 = sys_clock_ns();
	tsc.ticks0 = cpu_ticks();
	peers.own = sys_getpid();
}

void wait_after_fork(void)
{
	siblings_after_fork();
	memset(&peers, 0, sizeof(peers));
	peers.own = sys_getpid();
}

/* ---- For others meanwhile ---- */

static _Atomic(const struct host_waiting *) waiting;

void host_set_waiting(const struct host_waiting *w)
{
	atomic_store(&waiting, w);
}

bool wait_is_asked(const siginfo_t *info)
{
	const struct host_waiting *also = atomic_load(&waiting);

	if (!also || info->si_code != SI_QUEUE || info->si_value.sival_ptr != also->cookie)
		return false;
	also->asked();
	return true;
}

/* ---- Spinning ---- */

/*
 * How much of the time asked for is spent: 16 sixteenths when spinning has lately met its wake-up,
 * down to 1 when it has not (nobody answers that fast, or there is no free CPU for who would).
 */
static _Atomic uint32_t patience = 16;

static void spin_result(bool met)
{
	uint32_t p = atomic_load_explicit(&patience, memory_order_relaxed);

	p = met ? p + (16 - p + 3) / 4 : p - p / 8 - (p > 1 && p < 8);
	atomic_store_explicit(&patience, p ? p : 1, memory_order_relaxed);
}

/*
 * A spinning thread that loses its CPU for a good part of a time slice has met somebody who
 * computes; one that gives it away and finds it taken, again and again, has met somebody who waits
 * for it. Spinning is in their way then, and perhaps in the way of who would answer: for a while
 * nobody does, longer if it happens again soon.
 */
#define SLICE_NS      300000u
#define TAKEN_NS      4000u
#define TAKEN_WEIGHT  4
#define TAKEN_MOST    64
#define CALM_LEAST_NS 5000000ull
#define CALM_MOST_NS  500000000ull

static struct {
	_Atomic uint64_t until, lasts;
	_Atomic int32_t taken; /* how often, against how often spinning went well */
} calm;

bool host_crowded(void)
{
	return mach_now() < atomic_load_explicit(&calm.until, memory_order_relaxed);
}

static void calm_down(void)
{
	uint64_t until = atomic_load_explicit(&calm.until, memory_order_relaxed);
	uint64_t lasts = atomic_load_explicit(&calm.lasts, memory_order_relaxed);
	uint64_t now = mach_now();

	lasts = now > until + 4 * lasts ? CALM_LEAST_NS : 2 * lasts;
	lasts = lasts < CALM_LEAST_NS ? CALM_LEAST_NS : lasts;
	lasts = lasts > CALM_MOST_NS ? CALM_MOST_NS : lasts;
	atomic_store_explicit(&calm.taken, 0, memory_order_relaxed);
	atomic_store_explicit(&calm.lasts, lasts, memory_order_relaxed);
	atomic_store_explicit(&calm.until, now + lasts, memory_order_relaxed);
}

void host_note_gap(uint64_t ns, bool given)
{
	int32_t taken;

	if (given && ns >= TAKEN_NS) {
		taken = atomic_fetch_add_explicit(&calm.taken, TAKEN_WEIGHT, memory_order_relaxed);
		if (taken >= TAKEN_MOST)
			ns = SLICE_NS;
	}
	if (ns >= SLICE_NS)
		calm_down();
}

void host_note_spun(void)
{
	if (atomic_load_explicit(&calm.taken, memory_order_relaxed) > 0)
		atomic_fetch_sub_explicit(&calm.taken, 1, memory_order_relaxed);
}

/* Until woken: true; or for so long, or somebody needs the CPU. What others ask is done meanwhile.
 */
static bool spin_for(struct mach_waiter *w, uint32_t ns, const struct host_waiting *also)
{
	uint64_t last = mach_now(), yielded = last, end = last + ns, now;

	for (;;) {
		for (int i = 0; i < PAUSES; i++) {
			if (atomic_load_explicit(&w->state, memory_order_acquire) == WOKEN)
				return true;
			if (also && atomic_load_explicit(also->posted, memory_order_relaxed)) {
				also->serve();
				last = yielded = mach_now();
				end = last + ns;
			}
			cpu_pause();
		}
		now = mach_now();
		host_note_gap(now - last, false);
		/* Somebody else needs this CPU, perhaps just who would wake us. */
		if (now >= end || now - last > PREEMPT_NS)
			return false;
		last = now;
		if (now - yielded > YIELD_NS) {
			sys_yield();
			yielded = last = mach_now();
			host_note_gap(last - now, true);
		}
	}
}

static bool spin(struct mach_waiter *w, uint32_t ns)
{
	const struct host_waiting *also = atomic_load_explicit(&waiting, memory_order_acquire);
	bool met;

	if (ns == 0 || host.cpus < 2 || host_crowded())
		return false;
	if (also)
		atomic_fetch_add(also->looking, 1);
	met = spin_for(w, ns * atomic_load_explicit(&patience, memory_order_relaxed) / 16, also);
	if (also)
		atomic_fetch_sub(also->looking, 1);
	spin_result(met);
	if (met)
		host_note_spun();
	return met;
}

/* ---- Waiting ---- */

bool wait_is_wakeup(const siginfo_t *info)
{
	return info->si_code == SI_QUEUE && info->si_value.sival_ptr == WAKE_MAGIC;
}

void mach_wait_init(struct mach_waiter *w)
{
	w->cpu = cpu_current();
	w->tid = siblings_expected() ? sys_gettid() : 0;
	w->tgid = w->tid ? sys_getpid() : 0;
	atomic_store_explicit(&w->state, WAITING, memory_order_release);
}

bool mach_waiters_die(void)
{
	return siblings_expected();
}

/* Threads of this very process die with whoever asks. */
bool mach_waiter_dead(const struct mach_waiter *w)
{
	uint32_t tid = __atomic_load_n(&w->tid, __ATOMIC_RELAXED);

	return tid && __atomic_load_n(&w->tgid, __ATOMIC_RELAXED) != sys_getpid() &&
	       siblings_gone(tid);
}

/*
 * Its number cannot be somebody else's yet when it fell asleep a moment ago: the host hands numbers
 * out in turn, and would have to come round.
 */
static bool surely_there(uint32_t tgid, uint64_t since)
{
	return tgid == peers.own || mach_now() - since < NUMBER_STAYS_NS || tgid == sys_getpid() ||
	       peer_alive(tgid);
}

/* Who sleeps is named before others can see that it does; who spins need not be known. */
void mach_wake(struct mach_waiter *w)
{
	uint32_t state = atomic_load(&w->state), tid, tgid;
	siginfo_t info;
	uint64_t since;

	do {
		tid = __atomic_load_n(&w->tid, __ATOMIC_RELAXED);
		tgid = __atomic_load_n(&w->tgid, __ATOMIC_RELAXED);
		since = __atomic_load_n(&w->since, __ATOMIC_RELAXED);
	} while (!atomic_compare_exchange_weak(&w->state, &state, WOKEN));
	if (state != ASLEEP || !surely_there(tgid, since))
		return;
	memset(&info, 0, sizeof(info));
	info.si_signo = SIGSEGV;
	info.si_code = SI_QUEUE;
	info.si_value.sival_ptr = WAKE_MAGIC;
	sys_tgsigqueue(tgid, tid, SIGSEGV, &info);
}

/* Would this signal do nothing to the program? */
static bool ignored(int sig)
{
	struct sys_sigaction act;

	if (sig == SIGSEGV || sys_sigaction(sig, NULL, &act) != 0)
		return false;
	if (act.handler == (void *)SIG_IGN)
		return true;
	return act.handler == (void *)SIG_DFL &&
	       (sig == SIGCHLD || sig == SIGURG || sig == SIGWINCH || sig == SIGCONT);
}

/* The signal was taken for the thread; give it back, to be delivered when the trap returns. */
static void give_back(siginfo_t *info)
{
	sys_tgsigqueue(sys_getpid(), sys_gettid(), info->si_signo, info);
}

/* Of a SIGSEGV that came to a waiter who has been woken: was it sent to wake it? */
static bool is_our_wakeup(const siginfo_t *info)
{
	/* With no room for queued signals (RLIMIT_SIGPENDING) the host sends it without its value.
	 */
	return wait_is_wakeup(info) || (info->si_code == SI_USER && info->si_pid == 0);
}

/*
 * Woken while giving up: the wake-up signal was sent or is about to be. Bounded, because who sends
 * it may have died in between.
 */
static void consume_wakeup(void)
{
	static const struct timespec patience_limit = {0, 100000000};
	uint64_t segv = SIG_BIT(SIGSEGV);
	siginfo_t info;

	if (sys_sigtimedwait(&segv, &info, &patience_limit) == SIGSEGV && !wait_is_wakeup(&info))
		give_back(&info);
}

/*
 * One signal of `set` other than a wake-up; 0 when woken; -EAGAIN when one has died that may have
 * taken the message with it that this is about.
 */
static int sleep_once(struct mach_waiter *w, const uint64_t *set, siginfo_t *info, uint32_t deaths)
{
	static const struct timespec period = {0, LOOK_NS};

	for (;;) {
		const struct host_waiting *also = atomic_load(&waiting);
		bool looks = also || siblings_expected();
		int sig = sys_sigtimedwait(set, info, looks ? &period : NULL);

		/* Where a wake-up that comes meanwhile finds its signal free, and is not kept. */
		if (sig == -EAGAIN && also)
			also->look();
		if (sig == -EAGAIN && atomic_load(&w->state) == WOKEN)
			return 0;
		if (sig == -EAGAIN && atomic_load(&siblings.deaths) != deaths)
			return sig;
		if (sig == SIGSEGV && atomic_load(&w->state) == WOKEN) {
			if (!is_our_wakeup(info))
				give_back(info);
			return 0;
		}
		if (sig > 0 && !wait_is_wakeup(info) && !ignored(sig))
			return sig;
	}
}

/* A signal, or a death (then info is NULL), ends the wait, unless it has ended already. */
static int wake_up_early(struct mach_waiter *w, siginfo_t *info)
{
	uint32_t asleep = ASLEEP;
	int err = 0;

	if (atomic_compare_exchange_strong(&w->state, &asleep, GONE))
		err = -EINTR;
	else
		consume_wakeup();
	if (info)
		give_back(info);
	return err;
}

static int sleep_interruptible(struct mach_waiter *w, uint64_t set, uint32_t deaths)
{
	siginfo_t info;
	int sig;

	set |= SIG_BIT(SIGSEGV);
	sig = sleep_once(w, &set, &info, deaths);
	return sig == 0 ? 0 : wake_up_early(w, sig > 0 ? &info : NULL);
}

/* Does the process end with this signal, which is not ignored? */
static bool ends_process(int sig)
{
	struct sys_sigaction act;

	return sig != SIGSEGV && sig != SIGTSTP && sig != SIGTTIN && sig != SIGTTOU &&
	       sys_sigaction(sig, NULL, &act) == 0 && act.handler == (void *)SIG_DFL;
}

static bool fall_asleep(struct mach_waiter *w)
{
	uint32_t waiting = WAITING;

	__atomic_store_n(&w->tid, sys_gettid(), __ATOMIC_RELAXED);
	__atomic_store_n(&w->tgid, sys_getpid(), __ATOMIC_RELAXED);
	if (w->tgid != peers.own) {
		peer_remember(w->tgid);
		__atomic_store_n(&w->since, mach_now(), __ATOMIC_RELAXED);
	}
	return atomic_compare_exchange_strong(&w->state, &waiting, ASLEEP);
}

/* A SIGSEGV that somebody sent meanwhile is kept until the end. */
struct deep_sleep {
	struct mach_waiter *w;
	siginfo_t kept;
	bool keep;
};

static void sleep_to_the_end(void *arg)
{
	struct deep_sleep *d = arg;
	uint64_t set = SIG_BIT(SIGSEGV);
	siginfo_t info;

	if (!fall_asleep(d->w))
		return;
	for (;;) {
		int sig = sleep_once(d->w, &set, &info, atomic_load(&siblings.deaths));

		if (sig == 0)
			return;
		if (sig > 0) {
			d->kept = info;
			d->keep = true;
		}
	}
}

/* Is seen asleep by others, over what the trap is about. */
static unsigned show_asleep(const struct host_waiting *also, const struct mach_trap *trap)
{
	return also ? also->asleep(trap ? (uint64_t)trap->info->si_addr : 0, !trap) : 0;
}

static void show_awake(const struct host_waiting *also, unsigned place)
{
	if (also)
		also->awake(place);
}

/* As inside the kernel: other signals stay where they are until the end. */
static int sleep_killable(struct deep_sleep *d, uint64_t set, uint32_t deaths)
{
	siginfo_t info;
	int sig;

	set |= SIG_BIT(SIGSEGV);
	while ((sig = sleep_once(d->w, &set, &info, deaths)) != 0) {
		if (sig < 0 || ends_process(sig))
			return wake_up_early(d->w, sig > 0 ? &info : NULL);
		if (sig == SIGSEGV) {
			d->kept = info;
			d->keep = true;
		} else {
			give_back(&info);
			set &= ~SIG_BIT(sig);
		}
	}
	return 0;
}

int mach_wait(struct mach_waiter *w, struct mach_trap *trap, uint32_t spin_ns)
{
	const struct host_waiting *also = atomic_load(&waiting);
	struct deep_sleep d = {.w = w};
	uint32_t deaths = atomic_load(&siblings.deaths);
	uint64_t raised = SIG_RAISED, old;
	unsigned place;
	int err = 0;

	if (spin(w, spin_ns))
		return 0;
	/* From the moment others can see ASLEEP, the wake-up must find its signal blocked. */
	sys_sigprocmask(SIG_BLOCK, &raised, &old);
	place = show_asleep(also, trap);
	if (!trap)
		sleep_to_the_end(&d);
	else if (fall_asleep(w))
		err = trap->uc ? sleep_interruptible(w, ~*(uint64_t *)&trap->uc->uc_sigmask, deaths)
			       : sleep_killable(&d, trap->deliverable, deaths);
	show_awake(also, place);
	if (d.keep)
		give_back(&d.kept);
	/* The end of a trap puts the mask back by itself. */
	if (!trap || !trap->uc)
		sys_sigprocmask(SIG_SETMASK, &old, NULL);
	return err;
}

/* On the thread that stands in for the suspended one: it takes no signal at all. */
static void stand_in(void *arg)
{
	uint64_t all = ~0ull;

	sys_sigprocmask(SIG_SETMASK, &all, NULL);
	sleep_to_the_end(arg);
}

static uint64_t (*program_mask)(uint64_t own);

void host_mask_is(uint64_t (*fn)(uint64_t own))
{
	program_mask = fn;
}

/* The signals that end the process, and that its own mask lets through. */
static uint64_t ending_signals(const struct mach_entry *entry)
{
	uint64_t set = 0, blocked;

	if (!entry || entry->saved[1])
		return 0;
	blocked = program_mask ? program_mask(entry->saved[0]) : entry->saved[0];
	for (int sig = 1; sig <= 64; sig++)
		if (!(blocked & SIG_BIT(sig)) && ends_process(sig))
			set |= SIG_BIT(sig);
	return set;
}

/*
 * Slept through by a thread that exists for it: this one is suspended until then, and shows itself
 * so, as a thread does that waits inside the kernel.
 */
void mach_wait_blocked(struct mach_waiter *w, const struct mach_entry *entry, uint32_t spin_ns)
{
	const struct host_waiting *also = atomic_load(&waiting);
	struct deep_sleep d = {.w = w};
	uint64_t all = ~0ull, mask, old;
	unsigned place;

	if (spin(w, spin_ns))
		return;
	sys_sigprocmask(SIG_SETMASK, &all, &old);
	place = show_asleep(also, NULL);
	mask = ~ending_signals(entry);
	sys_sigprocmask(SIG_SETMASK, &mask, NULL);
	if (cpu_suspend_for(stand_in, &d) < 0)
		stand_in(&d);
	show_awake(also, place);
	if (d.keep)
		give_back(&d.kept);
	sys_sigprocmask(SIG_SETMASK, &old, NULL);
}
