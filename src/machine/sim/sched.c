/* sched.c - what both schedulers share: start and stop, numbers, the hash, failing. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "machine/sim/sched.h"

struct sim_config sim_config;
const struct sim_sched *sim_sched;
struct sim_thread sim_threads[SIM_MAX_THREADS + 1];
unsigned sim_nthreads;
__thread struct sim_thread *sim_current;
_Atomic unsigned sim_locks_held;

char *mach_arena_base;
uint64_t mach_arena_size;

static uint64_t points;
static uint64_t hash;
static unsigned atomic_depth;

uint64_t sim_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static bool deterministic(void)
{
	return sim_config.mode == SIM_DETERMINISTIC;
}

/* The deterministic world has one generator, so that every draw is part of the schedule. */
uint64_t sim_random(uint64_t n)
{
	uint64_t *state = deterministic() ? &sim_threads[0].random : &sim_current->random;

	*state += 0x9e3779b97f4a7c15ull;
	return n ? sim_mix(*state) % n : 0;
}

bool sim_chance(unsigned permille)
{
	return permille && sim_random(1000) < permille;
}

bool sim_no_memory(void)
{
	return !sim_in_atomic() && sim_current->id && sim_chance(sim_config.nomem);
}

void sim_decide(uint64_t what)
{
	hash = sim_mix(hash ^ what);
}

void sim_note(uint64_t value)
{
	if (deterministic())
		sim_decide(value);
}

uint64_t sim_points(void)
{
	return points;
}

uint64_t sim_hash(void)
{
	return hash;
}

unsigned sim_self(void)
{
	return sim_current->id;
}

void sim_atomic_begin(void)
{
	atomic_depth++;
}

void sim_atomic_end(void)
{
	atomic_depth--;
}

bool sim_in_atomic(void)
{
	return deterministic() && atomic_depth;
}

bool sim_unlocked(void)
{
	return atomic_load(&sim_locks_held) == 0;
}

void sim_at_point(void)
{
	points++;
	if (sim_config.max_points && points > sim_config.max_points)
		sim_fail("more than %llu scheduling points: livelock",
			 (unsigned long long)sim_config.max_points);
	if (sim_config.quiet && sim_unlocked()) {
		sim_atomic_begin();
		sim_config.quiet();
		sim_atomic_end();
	}
}

void sim_point(void)
{
	if (sim_in_atomic() || sim_current->id == 0)
		return;
	sim_sched->point(false);
}

/* Most of the core's atomic operations are counters: not each of them needs its own turn. */
void sim_atomic_point(void)
{
	if (deterministic() && !sim_in_atomic() && sim_current->id && sim_random(3) == 0)
		sim_sched->point(false);
}

void sim_wait_while(bool (*cond)(void *), void *arg, const char *why)
{
	if (!cond(arg))
		return;
	if (sim_in_atomic() || (deterministic() && sim_current->id == 0))
		sim_fail("would block where it must not: %s", why);
	sim_sched->wait_while(cond, arg, why);
}

void mach_relax(void)
{
	if (sim_in_atomic() || sim_current->id == 0)
		return;
	sim_sched->point(true);
}

/* Where a sanitizer is linked in, it can say how we got here. */
extern void __sanitizer_print_stack_trace(void) __attribute__((weak));

void sim_fail(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "sim: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	for (unsigned i = 1; i <= sim_nthreads; i++) {
		const struct sim_thread *t = &sim_threads[i];

		if (t->done)
			continue;
		fprintf(stderr, "  thread %u %s%s: %s", i, t->name, t == sim_current ? " *" : "",
			t->blocked ? t->why : "can run");
		for (unsigned h = 0; h < t->nheld; h++)
			fprintf(stderr, "%s %+lld%s", h ? "" : ", holds",
				(long long)((const char *)t->held[h].lock - mach_arena_base),
				t->held[h].shared ? "(read)" : "");
		fprintf(stderr, "\n");
	}
	if (__sanitizer_print_stack_trace)
		__sanitizer_print_stack_trace();
	if (sim_config.failed)
		sim_config.failed();
	fflush(stderr);
	_exit(1);
}

void sim_start(const struct sim_config *config)
{
	sim_config = *config;
	sim_sched = deterministic() ? &sim_sched_coroutines : &sim_sched_threads;
	memset(sim_threads, 0, sizeof(sim_threads));
	sim_nthreads = 0;
	sim_current = &sim_threads[0];
	sim_current->name = "main";
	sim_current->random = sim_mix(config->seed);
	points = 0;
	hash = 0;
	atomic_depth = 0;
	sim_locks_reset();
	sim_notify_reset();

	void *arena = mmap(NULL, SIM_ARENA, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (arena == MAP_FAILED)
		sim_fail("no memory for the arena: %s", strerror(errno));
	mach_arena_base = arena;
	mach_arena_size = config->arena ? config->arena : SIM_ARENA;
	sim_world_start();
	sim_swap_start();
}

void sim_left(struct sim_left *left)
{
	sim_world_left(left);
	left->notifies = sim_notify_left();
	left->slots = sim_swap_left();
}

void sim_stop(void)
{
	sim_world_stop();
	sim_swap_stop();
	munmap(mach_arena_base, SIM_ARENA);
	mach_arena_base = NULL;
	mach_arena_size = 0;
}

unsigned sim_spawn(const char *name, void (*fn)(void *), void *arg)
{
	struct sim_thread *t;

	if (sim_nthreads == SIM_MAX_THREADS)
		sim_fail("too many threads");
	t = &sim_threads[++sim_nthreads];
	memset(t, 0, sizeof(*t));
	t->id = sim_nthreads;
	t->name = name;
	t->fn = fn;
	t->arg = arg;
	t->random = sim_mix(sim_config.seed ^ ((uint64_t)t->id << 32));
	t->priority = (unsigned)sim_random(1000);
	sim_sched->start(t);
	return t->id;
}

void sim_run(void)
{
	sim_sched->run();
	sim_current = &sim_threads[0];
	sim_nthreads = 0;
}

static bool not_done(void *arg)
{
	return !atomic_load((_Atomic bool *)arg);
}

void sim_join(unsigned thread)
{
	sim_wait_while(not_done, &sim_threads[thread].done, "joins a thread");
}

void mach_arena_trim(void *p, size_t len)
{
	sim_point();
	if (madvise(p, len, MADV_DONTNEED))
		sim_fail("trim of pages that are not in the arena");
}

uint64_t mach_now(void)
{
	struct timespec ts;

	if (deterministic())
		return points * 100;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

uint32_t mach_tid(void)
{
	return 1000 + sim_current->id;
}

uint32_t mach_tgid(void)
{
	return 1000;
}

bool mach_may_ptrace(void)
{
	return sim_config.may_ptrace;
}

void mach_enter(struct mach_entry *e)
{
	e->saved[0] = sim_current->nest++;
	e->saved[1] = sim_current->id;
}

void mach_leave(const struct mach_entry *e)
{
	if (e->saved[1] != sim_current->id || e->saved[0] != sim_current->nest - 1)
		sim_fail("mach_leave does not match mach_enter");
	if (--sim_current->nest == 0 && sim_current->nheld)
		sim_fail("left with a lock held");
}
