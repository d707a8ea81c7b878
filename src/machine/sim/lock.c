/* lock.c - locks, waiting and notification of the simulated machine, with all they can check. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/sim/sched.h"

#define WRITER	    0x80000000u
#define MAX_CLASSES 256
#define PAIRS	    4096

static struct {
	const char *start, *end;
	enum sim_lock_class cls;
} classes[MAX_CLASSES];
static unsigned nclasses;

/* Plain locks that were taken while another was held: (held, taken). Deterministic runs only. */
static struct {
	const void *held, *taken;
} pairs[PAIRS];

void sim_locks_reset(void)
{
	nclasses = 0;
	atomic_store(&sim_locks_held, 0);
	sim_lock_forget();
}

void sim_lock_forget(void)
{
	memset(pairs, 0, sizeof(pairs));
}

void sim_lock_class(const void *start, size_t len, enum sim_lock_class cls)
{
	unsigned i;

	if (sim_config.mode != SIM_DETERMINISTIC && sim_current->id != 0)
		return;
	for (i = 0; i < nclasses; i++)
		if (classes[i].start == (const char *)start)
			break;
	if (i == MAX_CLASSES)
		sim_fail("too many lock classes");
	classes[i].start = start;
	classes[i].end = classes[i].start + len;
	classes[i].cls = cls;
	if (i == nclasses)
		nclasses++;
}

static enum sim_lock_class class_of(const void *lock)
{
	for (unsigned i = nclasses; i-- > 0;)
		if ((const char *)lock >= classes[i].start && (const char *)lock < classes[i].end)
			return classes[i].cls;
	return SIM_LOCK_PLAIN;
}

static long long offset(const void *lock)
{
	return (const char *)lock - mach_arena_base;
}

static unsigned pair_slot(const void *held, const void *taken)
{
	uint64_t h = sim_mix((uint64_t)offset(held) ^ sim_mix((uint64_t)offset(taken)));

	for (unsigned i = 0; i < PAIRS; i++) {
		unsigned slot = (unsigned)(h + i) % PAIRS;

		if (!pairs[slot].held || (pairs[slot].held == held && pairs[slot].taken == taken))
			return slot;
	}
	sim_lock_forget();
	return 0;
}

static void check_plain_order(const void *held, const void *taken)
{
	if (sim_config.mode != SIM_DETERMINISTIC)
		return;
	if (pairs[pair_slot(taken, held)].held)
		sim_fail("locks %+lld and %+lld are taken in both orders", offset(held),
			 offset(taken));

	unsigned slot = pair_slot(held, taken);

	pairs[slot].held = held;
	pairs[slot].taken = taken;
}

static void check_order(const struct sim_held *held, const void *lock, enum sim_lock_class cls)
{
	bool bad = held->cls == SIM_LOCK_INNER || cls == SIM_LOCK_TOP || cls == SIM_LOCK_OUTER;

	if (held->cls == SIM_LOCK_OUTER)
		return;
	if (held->cls == SIM_LOCK_ALONE || cls == SIM_LOCK_ALONE)
		bad |= held->cls != SIM_LOCK_TOP && cls != SIM_LOCK_INNER;
	if (bad)
		sim_fail("lock order: %+lld (class %d) taken while %+lld (class %d) is held",
			 offset(lock), cls, offset(held->lock), held->cls);
	if (held->cls == SIM_LOCK_PLAIN && cls == SIM_LOCK_PLAIN)
		check_plain_order(held->lock, lock);
}

static enum sim_lock_class check_take(const void *lock)
{
	struct sim_thread *me = sim_current;
	enum sim_lock_class cls = class_of(lock);

	if (!me->nest)
		sim_fail("a lock is taken outside of mach_enter");
	if (me->nheld == SIM_MAX_HELD)
		sim_fail("too many locks held");
	for (unsigned i = 0; i < me->nheld; i++) {
		if (me->held[i].lock == lock)
			sim_fail("a thread takes a lock that it holds: %+lld", offset(lock));
		check_order(&me->held[i], lock, cls);
	}
	return cls;
}

static void taken(const void *lock, enum sim_lock_class cls, bool shared)
{
	struct sim_thread *me = sim_current;

	me->held[me->nheld++] = (struct sim_held){lock, cls, shared};
	if (cls == SIM_LOCK_OUTER) {
		me->nouter++;
		return;
	}
	/* Relaxed: a count must not order what the locks do not. */
	atomic_fetch_add_explicit(&sim_locks_held, 1, memory_order_relaxed);
}

static void released(const void *lock, bool shared)
{
	struct sim_thread *me = sim_current;
	bool outer;
	unsigned i;

	for (i = 0; i < me->nheld; i++)
		if (me->held[i].lock == lock && me->held[i].shared == shared)
			break;
	if (i == me->nheld)
		sim_fail("a lock is given back by who does not hold it: %+lld", offset(lock));
	outer = me->held[i].cls == SIM_LOCK_OUTER;
	memmove(&me->held[i], &me->held[i + 1], (me->nheld - i - 1) * sizeof(me->held[0]));
	me->nheld--;
	if (outer) {
		me->nouter--;
		return;
	}
	atomic_fetch_sub_explicit(&sim_locks_held, 1, memory_order_relaxed);
}

static bool is_locked(void *arg)
{
	return atomic_load((_Atomic uint32_t *)arg) != 0;
}

void mach_lock(struct mach_lock *l)
{
	enum sim_lock_class cls = check_take(l);
	uint32_t unlocked = 0;

	sim_point();
	while (!atomic_compare_exchange_strong(&l->word, &unlocked, sim_current->id + 1)) {
		sim_wait_while(is_locked, &l->word, "waits for a lock");
		unlocked = 0;
	}
	taken(l, cls, false);
}

void mach_unlock(struct mach_lock *l)
{
	released(l, false);
	if (atomic_exchange(&l->word, 0) != sim_current->id + 1)
		sim_fail("lock %+lld was overwritten while held", offset(l));
	sim_point();
}

static bool is_written(void *arg)
{
	struct mach_rwlock *l = arg;

	/* A check between two steps passes the writers that wait for their turn. */
	return (atomic_load(&l->word) & WRITER) ||
	       (!sim_in_atomic() && atomic_load(&l->writers_waiting));
}

void mach_read_lock(struct mach_rwlock *l)
{
	enum sim_lock_class cls = check_take(l);

	sim_point();
	for (;;) {
		uint32_t word = atomic_load(&l->word);

		if (!is_written(l) && atomic_compare_exchange_strong(&l->word, &word, word + 1))
			break;
		sim_wait_while(is_written, l, "waits for a lock to read");
	}
	taken(l, cls, true);
}

void mach_read_unlock(struct mach_rwlock *l)
{
	released(l, true);
	if ((atomic_fetch_sub(&l->word, 1) & ~WRITER) == 0)
		sim_fail("lock %+lld was overwritten while held", offset(l));
	sim_point();
}

void mach_write_lock(struct mach_rwlock *l)
{
	enum sim_lock_class cls = check_take(l);
	uint32_t unlocked = 0;

	sim_point();
	atomic_fetch_add(&l->writers_waiting, 1);
	while (!atomic_compare_exchange_strong(&l->word, &unlocked, WRITER)) {
		sim_wait_while(is_locked, &l->word, "waits for a lock to write");
		unlocked = 0;
	}
	atomic_fetch_sub(&l->writers_waiting, 1);
	taken(l, cls, false);
}

void mach_write_unlock(struct mach_rwlock *l)
{
	released(l, false);
	if (atomic_exchange(&l->word, 0) != WRITER)
		sim_fail("lock %+lld was overwritten while held", offset(l));
	sim_point();
}

/* ---- Waiters -------------------------------------------------------------------------------- */

enum {
	WAITER_IDLE,
	WAITER_ARMED,
	WAITER_WOKEN
};

struct wait {
	struct mach_waiter *waiter;
	bool impatient;
	uint32_t patience; /* how often the scheduler looks before the signal comes */
};

void mach_wait_init(struct mach_waiter *w)
{
	w->tid = mach_tid();
	w->tgid = mach_tgid();
	w->cpu = sim_current->id;
	atomic_store(&w->state, WAITER_ARMED);
	sim_point();
}

/* All threads of the simulated machine are one process's. */
bool mach_waiters_die(void)
{
	return false;
}

bool mach_waiter_dead(const struct mach_waiter *w)
{
	(void)w;
	return false;
}

static bool still_waits(void *arg)
{
	struct wait *wait = arg;

	if (atomic_load(&wait->waiter->state) != WAITER_ARMED)
		return false;
	if (!wait->impatient)
		return true;
	if (wait->patience)
		wait->patience--;
	return wait->patience != 0;
}

int mach_wait(struct mach_waiter *w, struct mach_trap *trap, uint32_t spin_ns)
{
	struct wait wait = {.waiter = w};

	(void)spin_ns;
	if (sim_holds_lock())
		sim_fail("a thread waits with a lock held");
	sim_point();
	if (trap && sim_chance(sim_config.signal)) {
		wait.impatient = true;
		wait.patience = (uint32_t)sim_random(200);
	}
	sim_wait_while(still_waits, &wait, trap ? "waits for its fault" : "waits for an event");
	if (atomic_load(&w->state) == WAITER_WOKEN)
		return 0;
	if (atomic_load(&w->state) != WAITER_ARMED)
		sim_fail("a waiter was overwritten while its thread waits");
	return -EINTR;
}

void mach_wait_blocked(struct mach_waiter *w, const struct mach_entry *entry, uint32_t spin_ns)
{
	(void)entry;
	(void)mach_wait(w, NULL, spin_ns);
}

void mach_wake(struct mach_waiter *w)
{
	uint32_t state;

	sim_point();
	state = atomic_exchange(&w->state, WAITER_WOKEN);
	if (state != WAITER_ARMED)
		sim_fail("a waiter is woken that is not armed (state %u)", state);
	sim_point();
}

void mach_delay(uint64_t ns)
{
	(void)ns;
	if (sim_holds_lock())
		sim_fail("a thread waits with a lock held");
	sim_point();
}

/* ---- Notification --------------------------------------------------------------------------- */

#define MAX_NOTIFIES 4096
#define FIRST_FD     100

static _Atomic bool levels[MAX_NOTIFIES];
static _Atomic bool used[MAX_NOTIFIES];

void sim_notify_reset(void)
{
	for (unsigned i = 0; i < MAX_NOTIFIES; i++)
		used[i] = levels[i] = false;
}

unsigned sim_notify_left(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MAX_NOTIFIES; i++)
		n += used[i];
	return n;
}

int mach_notify_create(struct mach_notify *n, int flags, uint64_t id, int *fd)
{
	(void)flags;
	sim_point();
	if (sim_no_memory())
		return -ENOMEM;
	for (int i = 0; i < MAX_NOTIFIES; i++) {
		bool no = false;

		if (!atomic_compare_exchange_strong(&used[i], &no, true))
			continue;
		atomic_store(&levels[i], false);
		*fd = FIRST_FD + i;
		n->fd = *fd;
		n->id = id;
		return 0;
	}
	return -EMFILE;
}

int mach_notify_held(const struct mach_notify *n)
{
	(void)n;
	return -EOPNOTSUPP;
}

static unsigned notify_index(int fd)
{
	unsigned i = (unsigned)(fd - FIRST_FD);

	if (fd < FIRST_FD || i >= MAX_NOTIFIES || !used[i])
		sim_fail("descriptor %d is no notification", fd);
	return i;
}

void mach_notify_set(struct mach_notify *n, bool level)
{
	if (!sim_current->nheld)
		sim_fail("a notification is set with no lock held");
	sim_point();
	atomic_store(&levels[notify_index(n->fd)], level);
}

void mach_notify_poke(struct mach_notify *n)
{
	sim_point();
	atomic_store(&levels[notify_index(n->fd)], true);
	sim_point();
}

void mach_notify_destroy(struct mach_notify *n)
{
	sim_point();
	atomic_store(&used[notify_index(n->fd)], false);
	n->fd = -1;
}

/* Nothing here is ever closed behind the back of who has it. */
int mach_hidden_dup(int hidden)
{
	return hidden;
}

void mach_hidden_close(int hidden)
{
	(void)hidden;
}

bool sim_readable(int fd)
{
	return atomic_load(&levels[notify_index(fd)]);
}

struct poll {
	_Atomic bool *level, *stop;
};

static bool nothing_to_read(void *arg)
{
	struct poll *p = arg;

	return !atomic_load(p->level) && !atomic_load(p->stop);
}

void sim_poll(int fd, _Atomic bool *stop)
{
	struct poll p = {&levels[notify_index(fd)], stop};

	sim_point();
	sim_wait_while(nothing_to_read, &p, "polls");
}

bool sim_take_level(int fd, _Atomic bool *stop)
{
	_Atomic bool *level = &levels[notify_index(fd)];
	bool taken;

	do {
		sim_poll(fd, stop);
		taken = atomic_exchange(level, false);
		sim_point();
	} while (!taken && !atomic_load(stop));
	return taken;
}

/* The simulated front sleeps on descriptors. */
int mach_bell_wait(_Atomic uint32_t *bell, uint32_t heard, uint64_t timeout_ns)
{
	(void)timeout_ns;
	while (atomic_load(bell) == heard)
		mach_relax();
	return 0;
}

void mach_bell_ring(_Atomic uint32_t *bell)
{
	atomic_fetch_add(bell, 1);
}
