/* scenarios.h - the table of scenarios, and the threads they are made of. */
#ifndef TESTS_SIM_SCENARIOS_H
#define TESTS_SIM_SCENARIOS_H

#include "front.h"

struct scenario {
	const char *name;
	void (*run)(void);
	unsigned signal; /* as in sim_config */
};

/* Each ends with a NULL name. */
extern const struct scenario fault_scenarios[], map_scenarios[], type_scenarios[], swap_scenarios[],
	fork_scenarios[];

#define MISSING UF_REGISTER_MODE_MISSING
#define WP	UF_REGISTER_MODE_WP
#define RWP	UF_REGISTER_MODE_RWP

/* Where the sources of copies stand: native, never registered. */
#define SOURCE PAGE(1500)

/*
 * A userfaultfd with [addr, addr + pages) registered, new and empty, and 8 source pages that
 * contain 100, 101, ... and the end of it all.
 */
struct front_uffd *open_on(struct front_uffd *u, uint64_t features, uint64_t addr, uint64_t pages,
			   uint64_t mode);
void done_with(struct front_uffd *u, uint64_t addr, uint64_t pages);
/* COPY that must do all of it. */
void copy_all(struct front_uffd *u, uint64_t dst, uint64_t src, uint64_t pages, uint64_t mode);
/* The pagemap word. */
uint64_t word_at(uint64_t addr);

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
