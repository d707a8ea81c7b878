/*
 * coroutines.c - the deterministic scheduler: threads are coroutines of one host thread.
 *
 * A run's seed also picks how it schedules, since no one way finds every bug: even dice at each
 * point; bursts, in which a thread runs on for a while; or priorities that change rarely, which
 * starves some threads for long at the worst moment.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "machine/sim/sched.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif

#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_SIZE (1ul << 20)
#define GUARD_SIZE 4096ul

struct fiber {
	ucontext_t context;
	char *stack; /* GUARD_SIZE unmapped, then STACK_SIZE */
	void *fake;  /* ASan's fake stack of a fiber that is switched out */
	const void *bottom; /* as ASan knows the stack */
	size_t size;
};

enum policy { POLICY_DICE, POLICY_BURST, POLICY_PRIORITY, POLICY_MAX };

static struct fiber fibers[SIM_MAX_THREADS + 1];

static enum policy policy(void)
{
	return (enum policy)(sim_mix(sim_config.seed ^ 0x706f6c696379ull) % POLICY_MAX);
}

static void switched_in(struct fiber *from)
{
#ifdef WITH_ASAN
	struct fiber *me = sim_current->own;

	__sanitizer_finish_switch_fiber(me->fake, &from->bottom, &from->size);
#else
	(void)from;
#endif
}

static struct fiber *left_fiber;

static void switch_to(struct sim_thread *next)
{
	struct sim_thread *prev = sim_current;
	struct fiber *from = prev->own, *to = next->own;

#ifdef WITH_ASAN
	__sanitizer_start_switch_fiber(prev->done ? NULL : &from->fake, to->bottom, to->size);
#endif
	left_fiber = from;
	sim_current = next;
	swapcontext(&from->context, &to->context);
	switched_in(left_fiber);
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
	switched_in(left_fiber);
	sim_current->fn(sim_current->arg);
	if (sim_current->nest)
		sim_fail("thread %s ended between mach_enter and mach_leave", sim_current->name);
	sim_current->done = true;
	switch_to(next_thread(false));
	__builtin_unreachable();
}

static void coroutine_start(struct sim_thread *t)
{
	struct fiber *f = &fibers[t->id];

	if (!f->stack) {
		f->stack = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (f->stack == MAP_FAILED || mprotect(f->stack, GUARD_SIZE, PROT_NONE))
			sim_fail("no memory for a stack");
	}
#ifdef WITH_ASAN
	__asan_unpoison_memory_region(f->stack + GUARD_SIZE, STACK_SIZE);
#endif
	getcontext(&f->context);
	f->context.uc_stack.ss_sp = f->stack + GUARD_SIZE;
	f->context.uc_stack.ss_size = STACK_SIZE;
	f->context.uc_link = NULL;
	makecontext(&f->context, fiber_main, 0);
	f->fake = NULL;
	f->bottom = f->stack + GUARD_SIZE;
	f->size = STACK_SIZE;
	t->own = f;
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
