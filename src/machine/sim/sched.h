/*
 * sched.h - inside the simulated machine: threads, and the one interface of the two schedulers.
 */
#ifndef UF_SIM_SCHED_H
#define UF_SIM_SCHED_H

#include "machine/sim/sim.h"

#define SIM_MAX_HELD 16

struct sim_held {
	const void *lock;
	enum sim_lock_class cls;
	bool shared;
};

struct sim_thread {
	unsigned id;
	const char *name;
	void (*fn)(void *);
	void *arg;
	_Atomic bool done;
	bool (*blocked)(void *); /* waits while this says so; NULL: can run */
	void *blocked_arg;
	const char *why;
	unsigned nest;		/* mach_enter depth */
	bool trapped;		/* inside the trap handler, where no trap is let through */
	unsigned nheld, nouter; /* of those held, SIM_LOCK_OUTER */
	struct sim_held held[SIM_MAX_HELD];
	uint64_t random;
	unsigned priority;
	void *own; /* the scheduler's */
};

struct sim_sched {
	void (*start)(struct sim_thread *t);
	void (*run)(void);
	void (*point)(bool yield); /* yield: the thread has nothing to do for now */
	void (*wait_while)(bool (*cond)(void *), void *arg, const char *why);
};

extern const struct sim_sched sim_sched_coroutines;
extern const struct sim_sched sim_sched_threads;

extern struct sim_config sim_config;
extern const struct sim_sched *sim_sched;
extern struct sim_thread sim_threads[SIM_MAX_THREADS + 1]; /* [0] is the caller of sim_run */
extern unsigned sim_nthreads;				   /* highest number in use */
extern __thread struct sim_thread *sim_current;
extern _Atomic unsigned sim_locks_held; /* but for SIM_LOCK_OUTER */

/* Does the running thread hold a lock with which none of the program's code may run? */
static inline bool sim_holds_lock(void)
{
	return sim_current->nheld > sim_current->nouter;
}

uint64_t sim_mix(uint64_t x);
void sim_decide(uint64_t what); /* into the hash */
/* Called by a scheduler at a point, on the running thread, before it chooses. */
void sim_at_point(void);
bool sim_in_atomic(void);
/* Shall this call fail for want of memory? */
bool sim_no_memory(void);

/* The world's part of sim_start, sim_stop. */
void sim_world_start(void);
void sim_world_stop(void);
void sim_world_left(struct sim_left *left);
void sim_notify_reset(void);
unsigned sim_notify_left(void);
unsigned sim_swap_left(void);
void sim_swap_start(void);
void sim_swap_stop(void);
void sim_locks_reset(void);

#endif
