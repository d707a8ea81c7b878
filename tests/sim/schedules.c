/*
 * schedules.c - random programs against random schedules.
 *
 *   sim-schedules [--seed N] [--seeds N] [--steps N] [--threads N] [--tight] [--real] [--replay]
 *
 * Some threads load, store, zap, map, move and protect at random; others are the handlers, which
 * answer what they read, sometimes late, twice, wrongly at first or not at all until asked again.
 * Half of it happens to anonymous memory, the other half to memory of every type and to the files
 * behind it (cells.h). What is seen is held against the models, the page tables against the TLB,
 * and at the end nothing may be left. The seed also says how much swap there is for what a limit
 * drives out, and which policy does. --tight runs out of memory now and then. A failing seed is
 * printed with the command that replays it; --replay also tells each step. --real runs real threads
 * without the model, for the thread sanitizer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cell-operations.h"
#include "schedules.h"

struct schedule schedule;

static void say_how(void)
{
	fprintf(stderr,
		"replay: sim-schedules --seed %llu --steps %llu --threads %u%s%s --replay\n",
		(unsigned long long)schedule.seed, (unsigned long long)schedule.steps,
		schedule.threads, schedule.tight ? " --tight" : "", schedule.real ? " --real" : "");
}

static uint64_t run_one(uint64_t seed)
{
	struct sim_config config = {
		.mode = schedule.real ? SIM_THREADS : SIM_DETERMINISTIC,
		.seed = seed,
		.pages = WINDOW,
		.evict = seed % 3 ? 250 : 0,
		.signal = seed % 4 ? 60 : 0,
		.stutter = seed % 5 ? 0 : 50,
		.nomem = schedule.tight ? 5 + 10 * (seed % 4) : 0,
		.arena = schedule.tight && seed % 2 ? 120 * UF_PAGE_SIZE : 0,
		.max_points = schedule.steps * 1500 + 200000,
		.quiet = schedule.real ? NULL : schedule_look,
		.failed = say_how,
	};
	uint64_t hash;

	/* Enough of it, or too little, or none, or some that cannot be relied on. */
	config.swap = seed % 6 < 3 ? WINDOW : seed % 6 == 3 ? 0 : SPACE / 4;
	config.swap_eio = seed % 6 == 5 ? 50 : 0;
	schedule.scarce = seed % 6 >= 3;
	schedule.seed = seed;
	atomic_store(&schedule.done, 0);
	schedule.faults = schedule.events = schedule.closes = 0;
	front_start(&config);
	if (!schedule.real)
		model_start(SPACE);
	schedule_spawn();
	sim_run();
	hash = sim_hash();
	if (schedule.replay)
		printf("seed %llu: %llu points, %u faults, %u events, %u closes, "
		       "largest sets %u, hash %016llx\n",
		       (unsigned long long)seed, (unsigned long long)sim_points(), schedule.faults,
		       schedule.events, schedule.closes,
		       schedule.real ? 0 : model_most() + cells_most(), (unsigned long long)hash);
	if (!schedule.real)
		model_stop();
	cells_close();
	front_stop();
	return hash;
}

static void usage(void)
{
	fprintf(stderr, "usage: sim-schedules [--seed N] [--seeds N] [--steps N] [--threads N] "
			"[--tight] [--real] [--replay]\n");
	exit(2);
}

static uint64_t number(char **argv, int *i)
{
	char *end;
	uint64_t n;

	if (!argv[*i + 1])
		usage();
	n = strtoull(argv[++*i], &end, 0);
	if (*end || end == argv[*i])
		usage();
	return n;
}

int main(int argc, char **argv)
{
	uint64_t seed = 1, seeds = 1;

	schedule.steps = 5000;
	schedule.threads = 4;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--seed") == 0)
			seed = number(argv, &i);
		else if (strcmp(argv[i], "--seeds") == 0)
			seeds = number(argv, &i);
		else if (strcmp(argv[i], "--steps") == 0)
			schedule.steps = number(argv, &i);
		else if (strcmp(argv[i], "--threads") == 0)
			schedule.threads = (unsigned)number(argv, &i);
		else if (strcmp(argv[i], "--tight") == 0)
			schedule.tight = true;
		else if (strcmp(argv[i], "--real") == 0)
			schedule.real = true;
		else if (strcmp(argv[i], "--replay") == 0)
			schedule.replay = true;
		else
			usage();
	}
	if (schedule.threads < 1 || schedule.threads > 16)
		usage();
	for (uint64_t s = seed; s < seed + seeds; s++) {
		uint64_t hash = run_one(s);

		/* A failure is worth nothing that does not come again. */
		if (s == seed && !schedule.real && !schedule.replay && run_one(s) != hash)
			sim_fail("seed %llu does not replay", (unsigned long long)s);
	}
	printf("%llu seeds of %llu steps\n", (unsigned long long)seeds,
	       (unsigned long long)schedule.steps);
	return 0;
}
