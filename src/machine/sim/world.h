/*
 * world.h - inside the simulated machine: the pages of the program's window and what is behind
 * them.
 */
#ifndef UF_SIM_WORLD_H
#define UF_SIM_WORLD_H

#include "machine/sim/sched.h"

#define PAGE_WORDS (UF_PAGE_SIZE / sizeof(uint64_t))

/* Contents. A frame is complete once something filled it; until then it holds rubbish. */
struct sim_frame {
	_Atomic bool complete;
	uint64_t word[PAGE_WORDS];
};

struct sim_map {
	bool used;
	uint64_t npages;
	struct sim_frame *frames;
	struct sim_frame **aside; /* NULL where nothing stands aside */
	uint64_t *where;	  /* the program's address that shows the page, 0: none */
};

enum sim_page_kind {
	SIM_HOLE,
	SIM_NATIVE,
	SIM_MANAGED
};

struct sim_page {
	_Atomic uint32_t lock;
	enum sim_page_kind kind;
	struct mach_vma vma;	  /* native: attributes (start and end unused) */
	struct sim_frame *native; /* native: contents, or NULL: never touched */
	uint32_t tlb;		  /* managed */
	struct sim_map *map;	  /* managed */
	uint64_t index;		  /* managed: page of the map */
};

extern struct sim_page *sim_pages;

/* The page of an address in the window, or NULL. */
struct sim_page *sim_page_at(uint64_t addr);
/* The same, for callers that must have a page. */
struct sim_page *sim_page_must(uint64_t addr);
uint64_t sim_page_addr(const struct sim_page *p);

/* A page's own lock: an access and a shootdown exclude each other. Nothing is scheduled inside. */
void sim_page_lock(struct sim_page *p);
void sim_page_unlock(struct sim_page *p);

/* Make it a hole, whatever it is. */
void sim_page_clear(struct sim_page *p);

struct sim_frame *sim_frame_new(void);
struct sim_map *sim_map_of(const struct mach_map *map);

/* Sometimes the host forgets what it let through. */
void sim_maybe_evict(void);

#endif
