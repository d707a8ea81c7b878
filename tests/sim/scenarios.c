/*
 * scenarios.c - one behaviour of the mm and userfaultfd each, on the simulated machine, run under
 * many seeds: the threads of a scenario meet in a different order every time.
 *
 *   sim-scenarios [NAME [SEED]]
 */
#include "front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scenarios.h"

#define SEEDS 100

static const struct scenario *running;
static uint64_t running_seed;

static void say_how(void)
{
	fprintf(stderr, "replay: sim-scenarios %s %llu\n", running->name,
		(unsigned long long)running_seed);
}

static void body(void *arg)
{
	(void)arg;
	running->run();
}

static void run_one(const struct scenario *s, uint64_t seed)
{
	struct sim_config config = {
		.mode = SIM_DETERMINISTIC,
		.seed = seed,
		.pages = 4608,
		.swap = 12,
		.evict = seed % 3 ? 20 : 0,
		.signal = s->signal,
		.may_ptrace = true,
		.stutter = seed % 5 ? 0 : 100,
		.max_points = 2000000,
		.quiet = front_check,
		.failed = say_how,
	};

	running = s;
	running_seed = seed;
	front_start(&config);
	sim_spawn(s->name, body, NULL);
	sim_run();
	front_stop();
}

/* Returns how many of the table were run. */
static unsigned run_table(const struct scenario *table, int argc, char **argv)
{
	unsigned ran = 0;

	for (const struct scenario *s = table; s->name; s++) {
		if (argc > 1 && strcmp(argv[1], s->name) != 0)
			continue;
		if (argc > 2)
			run_one(s, strtoull(argv[2], NULL, 0));
		else
			for (uint64_t seed = 0; seed < SEEDS; seed++)
				run_one(s, seed);
		ran++;
	}
	return ran;
}

int main(int argc, char **argv)
{
	unsigned ran;

	alarm(300);
	ran = run_table(fault_scenarios, argc, argv);
	ran += run_table(map_scenarios, argc, argv);
	ran += run_table(type_scenarios, argc, argv);
	ran += run_table(swap_scenarios, argc, argv);
	ran += run_table(fork_scenarios, argc, argv);
	printf("%u scenarios\n", ran);
	return ran ? 0 : 2;
}
