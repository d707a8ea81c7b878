/*
 * lock.c - locks on futexes. They may lie in memory that several processes share, so the futexes
 * are not private ones.
 */
#include "machine/host/internal.h"

/*
 * Short: what is done under these locks is, and a holder that was put off its CPU, perhaps by the
 * very thread it has just woken, does not come back for being waited for.
 */
#define SPINS 50

#define WRITER	 (1u << 31)
#define SLEEPERS (1u << 30)
#define READERS	 (SLEEPERS - 1)

static void wake_all(_Atomic uint32_t *word)
{
	sys_futex(word, FUTEX_WAKE, INT32_MAX);
}

/* 0 free, 1 held, 2 held and somebody sleeps. */
static void lock_slow(struct mach_lock *l)
{
	for (unsigned i = 0; host.cpus > 1 && i < SPINS; i++) {
		uint32_t free = 0;

		cpu_pause();
		if (atomic_load_explicit(&l->word, memory_order_relaxed) == 0 &&
		    atomic_compare_exchange_strong(&l->word, &free, 1))
			return;
	}
	while (atomic_exchange(&l->word, 2) != 0)
		sys_futex(&l->word, FUTEX_WAIT, 2);
}

void mach_lock(struct mach_lock *l)
{
	uint32_t free = 0;

	if (!atomic_compare_exchange_strong_explicit(&l->word, &free, 1, memory_order_acquire,
						     memory_order_relaxed))
		lock_slow(l);
}

void mach_unlock(struct mach_lock *l)
{
	if (atomic_exchange_explicit(&l->word, 0, memory_order_release) == 2)
		sys_futex(&l->word, FUTEX_WAKE, 1);
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
	sys_futex(&l->word, FUTEX_WAIT, w);
}

static bool try_read(struct mach_rwlock *l, uint32_t *w)
{
	*w = atomic_load_explicit(&l->word, memory_order_relaxed);
	if ((*w & WRITER) || atomic_load_explicit(&l->writers_waiting, memory_order_relaxed) != 0)
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
		else if ((w & WRITER) || atomic_load(&l->writers_waiting) != 0)
			rw_sleep(l, w);
	}
}

void mach_read_unlock(struct mach_rwlock *l)
{
	uint32_t old = atomic_fetch_sub_explicit(&l->word, 1, memory_order_release);

	if ((old & READERS) == 1 && (old & SLEEPERS)) {
		atomic_fetch_and(&l->word, ~SLEEPERS);
		wake_all(&l->word);
	}
}

static bool try_write(struct mach_rwlock *l, uint32_t *w)
{
	*w = atomic_load_explicit(&l->word, memory_order_relaxed);
	if (*w & (WRITER | READERS))
		return false;
	return atomic_compare_exchange_strong_explicit(&l->word, w, *w | WRITER,
						       memory_order_acquire, memory_order_relaxed);
}

void mach_write_lock(struct mach_rwlock *l)
{
	uint32_t w;

	if (try_write(l, &w))
		return;
	atomic_fetch_add(&l->writers_waiting, 1);
	for (unsigned i = 0; !try_write(l, &w); i++) {
		if (host.cpus > 1 && i < SPINS)
			cpu_pause();
		else if (w & (WRITER | READERS))
			rw_sleep(l, w);
	}
	atomic_fetch_sub(&l->writers_waiting, 1);
}

void mach_write_unlock(struct mach_rwlock *l)
{
	uint32_t old =
		atomic_fetch_and_explicit(&l->word, ~(WRITER | SLEEPERS), memory_order_release);

	if (old & SLEEPERS)
		wake_all(&l->word);
}
