/* schedules.h - what the files of the random schedules share. */
#ifndef TESTS_SIM_SCHEDULES_H
#define TESTS_SIM_SCHEDULES_H

#include "model.h"

#define SPACE	40   /* pages of the window that the program plays with */
#define FIRST	500  /* where they begin in the window: across the border of two leaves */
#define WHOLE	1024 /* pages around them that may be registered in one go */
#define SOURCES 1040 /* from this page on: sources of copies, RUN a thread */
#define SOURCED 1400 /* and up to here; behind it are the cells (cells.h) */
#define WINDOW	6656
#define RUN	6 /* longest range, in pages */
#define SLOTS	2 /* userfaultfds open at a time */
#define READERS 2 /* threads that answer each */

#define AT(page) PAGE(FIRST + (page))

/* One place for a userfaultfd; it is closed and opened anew now and then. */
struct slot {
	struct front_uffd u;
	uint8_t owner; /* the model's number of the one that is open */
	uint64_t modes, features;
	uint64_t minor; /* MM_MODE_MINOR, or 0: what mappings of files are registered for beside */
	_Atomic bool busy; /* somebody is closing or opening it, or changing its mode */
};

struct schedule {
	uint64_t seed, steps;
	unsigned threads;
	bool real, replay;
	bool tight;	       /* short of memory */
	bool scarce;	       /* a limit, and too little swap for it, or swap that fails */
	_Atomic uint64_t done; /* steps */
	_Atomic unsigned working;
	_Atomic bool stop;
	_Atomic uint32_t next_base, next_value, opened;
	struct slot slots[SLOTS];
	_Atomic unsigned faults, events, closes;
};

extern struct schedule schedule;

/* workers.c */
void schedule_spawn(void);
/* The `quiet` hook: look at one page of the program, and at everything now and then. */
void schedule_look(void);
/* The handler that runs on the faulting thread. */
int schedule_callback(const struct mm_fault *fault, void *slot);
/* The area at an address. */
bool schedule_area(uint64_t addr, struct mm_area_info *info);
/* Fails the run when there is no memory, and nobody said that it is short. */
int schedule_checked(int err);
void schedule_say(const char *what, uint64_t page, uint64_t n, int64_t result);

/*
 * operations.c. Whether a range is managed or native is asked before the call that then does one or
 * the other, so calls that change which it is keep off those that ask. Taken before a slot is.
 */
void shape_begin(bool change);
void shape_end(bool change);
/* A native source becomes managed by being moved from. Returns what to end it with. */
bool shape_for_move(uint64_t from, uint64_t n);

/* Register all that is around the program's pages too, so that they share one table. */
void do_register_whole(struct slot *s);

/* One operation each, with the model told. A slot must be held open; shape for move, register. */
int64_t do_copy(struct slot *s, uint64_t page, uint64_t n, bool wp, bool dontwake);
int64_t do_zero(struct slot *s, uint64_t page, uint64_t n, bool dontwake);
int64_t do_poison(struct slot *s, uint64_t page, uint64_t n);
int do_protect(struct slot *s, uint64_t page, uint64_t n, bool rwp, bool set);
void do_move(struct slot *s, uint64_t to, uint64_t from, uint64_t n, bool holes);
void do_register(struct slot *s, uint64_t page, uint64_t n);
void do_unregister(struct slot *s, uint64_t page, uint64_t n);
void do_access(uint64_t page, bool write);
void do_fork(void);
void do_populate(uint64_t page, uint64_t n, bool write);
void do_zap(uint64_t page, uint64_t n);
void do_pageout(uint64_t page, uint64_t n);
void do_limit(uint64_t page);
void do_mprotect(uint64_t page, uint64_t n, uint32_t prot);
int do_map(uint64_t page, uint64_t n, uint32_t prot);
int do_unmap(uint64_t page, uint64_t n);
void do_remap(uint64_t to, uint64_t from, uint64_t n, bool keep);
void do_shrink(uint64_t page, uint64_t n, uint64_t left);
void do_open(struct slot *s);
void do_set_mode(struct slot *s);
void do_close(struct slot *s);

#endif
