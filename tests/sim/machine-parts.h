/* machine-parts.h - what the tests of the simulated machine by itself share. */
#ifndef TESTS_SIM_MACHINE_PARTS_H
#define TESTS_SIM_MACHINE_PARTS_H

#include "machine/sim/sim.h"

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			sim_fail("%s:%d: %s", __FILE__, __LINE__, #cond);                          \
	} while (0)

#define PAGE(n) (SIM_BASE + (n)*UF_PAGE_SIZE)

/* What the next world is to be started with. */
extern struct sim_config config;
void start(enum sim_mode mode, uint64_t seed);

/* The misuse must end the process with status 1 and these words. */
void expect_failure(void (*fn)(void *), const char *words);

/* machine-files.c */
void test_files(void);

#endif
