/* scenarios.h - the table of scenarios, and the threads they are made of. */
#ifndef TESTS_SIM_SCENARIOS_H
#define TESTS_SIM_SCENARIOS_H

#include "front.h"

struct scenario {
	const char *name;
	void (*run)(void);
	unsigned signal; /* as in sim_config */
};

extern const struct scenario scenarios[];

/* Contents: a whole page of one number, each word its own. */
void page_write(uint64_t addr, uint64_t id);
void page_expect(uint64_t addr, uint64_t id);

/* A thread that makes one access. */
struct toucher {
	uint64_t addr, value;
	bool write;
	_Atomic bool done;
	enum sim_outcome outcome;
	unsigned thread;
};
void touch_start(struct toucher *t, uint64_t addr, bool write, uint64_t value);
/* Wait for it: it must have come through, or not. */
void touch_end(struct toucher *t, enum sim_outcome outcome);

/* The next message must be this fault. */
void expect_fault(struct front_uffd *u, uint64_t addr, uint64_t flags);
void expect_event(struct front_uffd *u, unsigned event, uint64_t a, uint64_t b, uint64_t c);
void expect_nothing(struct front_uffd *u);

/* Let others run for a while; what they wait for does not come. */
void settle(void);

#endif
