/*
 * coroutines.c - the deterministic scheduler: threads are coroutines of one host thread.
 *
 * A run's seed also picks how it schedules, since no one way finds every bug: even dice at each
 * point; bursts, in which a thread runs on for a while; or priorities that change rarely, which
 * starves some threads for long at the worst moment.
 */
#include "machine/sim/fiber.h"
#include "machine/sim/sched.h"

enum policy {
	POLICY_DICE,
	POLICY_BURST,
	POLICY_PRIORITY,
	POLICY_MAX
};

static struct fiber fibers[SIM_MAX_THREADS + 1];

static enum policy policy(void)
{
	return (enum policy)(sim_mix(sim_config.seed ^ 0x706f6c696379ull) % POLICY_MAX);
}

static void switch_to(struct sim_thread *next)
{
	struct sim_thread *prev = sim_current;

	sim_current = next;
	fiber_switch(prev->own, next->own, prev->done);
}

static bool can_run(struct sim_thread *t)
{
	return !t->done && (!t->blocked || !t->blocked(t->blocked_arg));
}

static struct sim_thread *choose(struct sim_thread **ready, unsigned n, bool yield)
{
	struct sim_thread *best = NULL;
	bool me = sim_current->id && can_run(sim_current) && !yield;

	switch (policy()) {
	case POLICY_BURST:
		if (me && sim_random(16))
			return sim_current;
		break;
	case POLICY_PRIORITY:
		if (sim_random(50) == 0)
			ready[sim_random(n)]->priority = (unsigned)sim_random(1000);
		if (yield)
			sim_current->priority = (unsigned)sim_random(sim_current->priority + 1);
		if (yield && sim_random(4) == 0)
			break;
		for (unsigned i = 0; i < n; i++)
			if (!best || ready[i]->priority > best->priority)
				best = ready[i];
		return best;
	case POLICY_DICE:
	case POLICY_MAX:
		break;
	}
	return ready[sim_random(n)];
}

/* Who runs now? The caller of sim_run when all are done. */
static struct sim_thread *next_thread(bool yield)
{
	struct sim_thread *ready[SIM_MAX_THREADS];
	unsigned n, left;

	do {
		n = left = 0;
		for (unsigned i = 1; i <= sim_nthreads; i++) {
			left += !sim_threads[i].done;
			if (can_run(&sim_threads[i]))
				ready[n++] = &sim_threads[i];
		}
		if (!left)
			return &sim_threads[0];
	} while (!n && sim_config.idle && sim_config.idle());
	if (!n)
		sim_fail("deadlock: nobody can run");

	struct sim_thread *next = choose(ready, n, yield);

	sim_decide(next->id);
	return next;
}

static void coroutine_point(bool yield)
{
	struct sim_thread *next;

	sim_at_point();
	next = next_thread(yield);
	if (next != sim_current)
		switch_to(next);
}

static void coroutine_wait_while(bool (*cond)(void *), void *arg, const char *why)
{
	struct sim_thread *me = sim_current;

	me->blocked = cond;
	me->blocked_arg = arg;
	me->why = why;
	coroutine_point(false);
	me->blocked = NULL;
}

static void fiber_main(void)
{
	fiber_entered();
	sim_current->fn(sim_current->arg);
	if (sim_current->nest)
		sim_fail("thread %s ended between mach_enter and mach_leave", sim_current->name);
	sim_current->done = true;
	switch_to(next_thread(false));
	__builtin_unreachable();
}

static void coroutine_start(struct sim_thread *t)
{
	t->own = &fibers[t->id];
	fiber_make(t->own, fiber_main);
}

static void coroutine_run(void)
{
	sim_threads[0].own = &fibers[0];
	sim_threads[0].done = false;

	struct sim_thread *first = next_thread(false);

	if (first != &sim_threads[0])
		switch_to(first);
}

const struct sim_sched sim_sched_coroutines = {
	.start = coroutine_start,
	.run = coroutine_run,
	.point = coroutine_point,
	.wait_while = coroutine_wait_while,
};
