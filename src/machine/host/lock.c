/*
 * lock.c - locks on futexes, which outlive a holder that was killed (siblings.h).
 *
 * Nobody sleeps for longer than HOLDER_NS without looking at who holds the lock. A wake-up that the
 * dead owe somebody is made up for by that, too.
 */
#include "machine/host/internal.h"
#include "machine/host/siblings.h"

/*
 * Short: what is done under these locks is, and a holder that was put off its CPU, perhaps by the
 * very thread it has just woken, does not come back for being waited for.
 */
#define SPINS 50

static void wake_all(_Atomic uint32_t *word)
{
	sys_futex(word, FUTEX_WAKE, INT32_MAX);
}

/* Sleep while the word is w; true: for so long that it is time to look. */
static bool sleep_on(_Atomic uint32_t *word, uint32_t w)
{
	static const struct timespec most = {0, HOLDER_NS};

	return sys_futex_wait(word, w, &most) == -ETIMEDOUT;
}

/* ---- Mutual exclusion: 0 free, else the holder's name ---- */

#define WAITED (1u << 31) /* somebody sleeps */

/* Free it if the holder is dead. */
static void free_dead(struct mach_lock *l)
{
	uint32_t w = atomic_load(&l->word);

	if ((w & ~WAITED) == 0 || !siblings_gone(w & ~WAITED))
		return;
	siblings_note_death();
	if (atomic_compare_exchange_strong(&l->word, &w, 0))
		sys_futex(&l->word, FUTEX_WAKE, 1);
}

static void lock_slow(struct mach_lock *l, uint32_t name)
{
	uint32_t w;

	for (unsigned i = 0; host.cpus > 1 && i < SPINS; i++) {
		cpu_pause();
		w = 0;
		if (atomic_load_explicit(&l->word, memory_order_relaxed) == 0 &&
		    atomic_compare_exchange_strong(&l->word, &w, name))
			return;
	}
	for (;;) {
		w = atomic_load(&l->word);
		/* Others may sleep as well. */
		if (w == 0 && atomic_compare_exchange_strong(&l->word, &w, name | WAITED))
			return;
		if (w == 0 ||
		    (!(w & WAITED) && !atomic_compare_exchange_strong(&l->word, &w, w | WAITED)))
			continue;
		if (sleep_on(&l->word, w | WAITED))
			free_dead(l);
	}
}

void mach_lock(struct mach_lock *l)
{
	uint32_t free = 0, name = siblings_name();

	if (!atomic_compare_exchange_strong_explicit(&l->word, &free, name, memory_order_acquire,
						     memory_order_relaxed))
		lock_slow(l, name);
}

void mach_unlock(struct mach_lock *l)
{
	if (atomic_exchange_explicit(&l->word, 0, memory_order_release) & WAITED)
		sys_futex(&l->word, FUTEX_WAKE, 1);
}

/* ---- Readers and writers: the number of readers, or WRITER and its name ---- */

#define WRITER	 (1u << 31)
#define SLEEPERS (1u << 30)
#define READERS	 (SLEEPERS - 1) /* or the writer's name */

/* Those that are counted and not entered belong to the process that all of this began in. */
static void rw_free_dead(struct mach_rwlock *l)
{
	uint32_t w = atomic_load(&l->word), name = w & WRITER ? w & READERS : UNNAMED;

	if (!(w & (WRITER | READERS))) {
		/* A writer that waited and is dead keeps readers out: who lives says so again. */
		atomic_store(&l->writers_waiting, 0);
		return;
	}
	if (!siblings_gone(name))
		return;
	siblings_note_death();
	if (atomic_compare_exchange_strong(&l->word, &w, 0))
		wake_all(&l->word);
}

/* Sleep while the word is w, after having said so in it. */
static void rw_sleep(struct mach_rwlock *l, uint32_t w)
{
	if (!(w & SLEEPERS)) {
		if (!atomic_compare_exchange_strong(&l->word, &w, w | SLEEPERS))
			return;
		w |= SLEEPERS;
	}
	/* The writer that kept readers out may be gone: then nobody is left to wake anybody. */
	if (!(w & (WRITER | READERS)) && atomic_load(&l->writers_waiting) == 0)
		return;
	if (sleep_on(&l->word, w))
		rw_free_dead(l);
}

static void wake_sleepers(struct mach_rwlock *l)
{
	atomic_fetch_and(&l->word, ~SLEEPERS);
	wake_all(&l->word);
}

static bool kept_out(const struct mach_rwlock *l, uint32_t w)
{
	return (w & WRITER) || atomic_load_explicit(&l->writers_waiting, memory_order_relaxed) != 0;
}

static bool try_read_entered(struct mach_rwlock *l, uint32_t *w)
{
	*w = atomic_load(&l->word);
	if (kept_out(l, *w) || !readers_enter(l))
		return false;
	*w = atomic_load(&l->word);
	if (!(*w & WRITER))
		return true;
	readers_leave(l);
	if (*w & SLEEPERS)
		wake_sleepers(l);
	return false;
}

static bool try_read(struct mach_rwlock *l, uint32_t *w)
{
	if (siblings_expected())
		return try_read_entered(l, w);
	*w = atomic_load_explicit(&l->word, memory_order_relaxed);
	if (kept_out(l, *w))
		return false;
	return atomic_compare_exchange_strong_explicit(&l->word, w, *w + 1, memory_order_acquire,
						       memory_order_relaxed);
}

/* Writers go first, or a stream of faults would keep every mapping change out. */
void mach_read_lock(struct mach_rwlock *l)
{
	uint32_t w;

	for (unsigned i = 0; !try_read(l, &w); i++) {
		if (host.cpus > 1 && i < SPINS)
			cpu_pause();
		else if (kept_out(l, w))
			rw_sleep(l, w);
	}
}

void mach_read_unlock(struct mach_rwlock *l)
{
	uint32_t old;

	/* One that had it when siblings came is counted. */
	if (siblings_expected() && readers_leave(l)) {
		if (atomic_load(&l->word) & SLEEPERS)
			wake_sleepers(l);
		return;
	}
	old = atomic_fetch_sub_explicit(&l->word, 1, memory_order_release);
	if ((old & READERS) == 1 && (old & SLEEPERS))
		wake_sleepers(l);
}

/* The word keeps new readers out; those that have entered leave. */
static void outwait_readers(struct mach_rwlock *l)
{
	for (unsigned i = 0; readers_any(l, false); i++) {
		uint32_t w = atomic_load(&l->word);

		if (host.cpus > 1 && i < SPINS)
			cpu_pause();
		else if (!(w & SLEEPERS))
			atomic_fetch_or(&l->word, SLEEPERS);
		else if (readers_any(l, false) && sleep_on(&l->word, w))
			readers_any(l, true);
	}
}

static bool try_write(struct mach_rwlock *l, uint32_t name, uint32_t *w)
{
	*w = atomic_load_explicit(&l->word, memory_order_relaxed);
	if (*w & (WRITER | READERS))
		return false;
	if (!atomic_compare_exchange_strong(&l->word, w, *w | WRITER | name))
		return false;
	if (siblings_expected())
		outwait_readers(l);
	return true;
}

void mach_write_lock(struct mach_rwlock *l)
{
	uint32_t w, name = siblings_name();

	if (try_write(l, name, &w))
		return;
	for (unsigned i = 0;; i++) {
		/* Another writer that came in between has taken it back. */
		atomic_store(&l->writers_waiting, 1);
		if (try_write(l, name, &w))
			break;
		if (host.cpus > 1 && i < SPINS)
			cpu_pause();
		else if (w & (WRITER | READERS))
			rw_sleep(l, w);
	}
	atomic_store(&l->writers_waiting, 0);
}

void mach_write_unlock(struct mach_rwlock *l)
{
	if (atomic_exchange_explicit(&l->word, 0, memory_order_release) & SLEEPERS)
		wake_all(&l->word);
}
