/*
 * siblings.h - processes that share this memory, and can be killed alone: children of
 * clone(CLONE_VM) without CLONE_THREAD.
 *
 * A process ends with all its threads, so that nobody is left to miss a lock that one of them held.
 * As soon as there may be a sibling it is otherwise: from then on a lock names its holder, and who
 * has waited long asks whether the holder is still alive. The locks of a dead one are freed
 * (lock.c), and what it may have left half done in the TLB is done away with (siblings.c).
 */
#ifndef UF_HOST_SIBLINGS_H
#define UF_HOST_SIBLINGS_H

#include "machine/host/host.h"
#include "machine/host/sys.h"
#include "machine/machine.h"

/* Waiters look after so long whether who they wait for is alive. */
#define HOLDER_NS 10000000

/* A holder that is not named: a thread of the process that all of this began in. */
#define UNNAMED 1u

struct siblings {
	_Atomic bool expected;	 /* never again false in this process */
	_Atomic bool torn;	 /* a dead one may have left the TLB half changed */
	_Atomic uint32_t first;	 /* the process that all of this began in */
	_Atomic uint32_t deaths; /* how often one was found to have died with a lock */
};
extern struct siblings siblings;

static inline bool siblings_expected(void)
{
	return __builtin_expect(atomic_load_explicit(&siblings.expected, memory_order_relaxed), 0);
}

/* The calling thread's name as a holder. */
static inline uint32_t siblings_name(void)
{
	return siblings_expected() ? sys_gettid() : UNNAMED;
}

/* Is the thread with this name gone, for good? Slow. */
bool siblings_gone(uint32_t name);

/* One has. To be said before its lock is free. */
static inline void siblings_note_death(void)
{
	atomic_store(&siblings.torn, true);
	atomic_fetch_add(&siblings.deaths, 1);
}

void siblings_after_fork(void);

/* Close what a dead sibling may have left half open. Before the TLB is used; no machine locks. */
void siblings_mend(void);
static inline void siblings_look(void)
{
	if (__builtin_expect(atomic_load_explicit(&siblings.torn, memory_order_relaxed), 0))
		siblings_mend();
}

/*
 * Readers of any lock, where siblings are expected: a reader enters itself before it looks at the
 * lock's word, a writer looks here after it has changed it. A reader that is dead can be told from
 * the others, which a count could not. false from enter: there is no room.
 */
bool readers_enter(const struct mach_rwlock *l);
bool readers_leave(const struct mach_rwlock *l);
/* Is anybody in it? clean: forget those that are dead first. */
bool readers_any(const struct mach_rwlock *l, bool clean);

#endif
