/* threads.c - the other scheduler: real threads, for the thread sanitizer. */
#include <pthread.h>
#include <sched.h>

#include "machine/sim/sched.h"

static pthread_t ids[SIM_MAX_THREADS + 1];

static void *thread_main(void *arg)
{
	sim_current = arg;
	sim_current->fn(sim_current->arg);
	if (sim_current->nest)
		sim_fail("thread %s ended between mach_enter and mach_leave", sim_current->name);
	sim_current->done = true;
	return NULL;
}

static void threads_start(struct sim_thread *t)
{
	t->own = NULL;
}

static void threads_run(void)
{
	unsigned n = sim_nthreads;

	for (unsigned i = 1; i <= n; i++)
		if (pthread_create(&ids[i], NULL, thread_main, &sim_threads[i]))
			sim_fail("no memory for a thread");
	for (unsigned i = 1; i <= n; i++)
		pthread_join(ids[i], NULL);
}

/* Give the CPU away now and then: that is where real threads meet in the middle of things. */
static void threads_point(bool yield)
{
	if (yield || sim_random(32) == 0)
		sched_yield();
}

static void threads_wait_while(bool (*cond)(void *), void *arg, const char *why)
{
	(void)why;
	while (cond(arg))
		sched_yield();
}

const struct sim_sched sim_sched_threads = {
	.start = threads_start,
	.run = threads_run,
	.point = threads_point,
	.wait_while = threads_wait_while,
};
