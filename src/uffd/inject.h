/*
 * inject.h - what goes wrong on purpose, for those who test their own handlers (userfault run
 * --inject): only what a kernel may do, too, so that a handler that is right bears all of it.
 *
 * Operations of a context are counted, each kind by itself. Whether the n-th is met depends on the
 * seed, the kind and n, and on nothing else.
 *
 *   what             where it is allowed (userfaultfd's ABI)
 *   OP:EAGAIN        mappings are changing: nothing is done. Kernels before 6.15 leave the output
 *                    field untouched, later ones write -EAGAIN into it: each is met half of the
 * time OP:ENOMEM        the kernel is short of memory; the output field says so move:EBUSY       a
 * page of the source is shared or pinned at this moment read:EAGAIN      what made the descriptor
 * readable is gone when it is read, for a thread was interrupted; it asks again, so the descriptor
 * becomes readable once more partial-copy     a fill that something gets in the way of ends early:
 * EAGAIN, bytes done spurious-wake    a woken thread finds no page and asks again dup-message a
 * thread that was interrupted has asked twice: the first message has nobody that waits any more
 *   event-storm      changes of mappings come one after the other: EAGAIN many times in a row; and
 *                    a REMOVE event comes in pieces, one of them twice, as if several threads had
 *                    given the advice at once
 *   delay            everything takes as long as it takes
 */
#ifndef UF_UFFD_INJECT_H
#define UF_UFFD_INJECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mm/mm.h"

/* What is counted. The first ones are ioctls. */
enum inject_op {
	INJECT_COPY,
	INJECT_ZEROPAGE,
	INJECT_CONTINUE,
	INJECT_MOVE,
	INJECT_POISON,
	INJECT_WRITEPROTECT,
	INJECT_RWPROTECT,
	INJECT_REGISTER,
	INJECT_UNREGISTER,
	INJECT_WAKE,
	INJECT_READ,	/* reads that find something */
	INJECT_FAULT,	/* faults that are about to become messages */
	INJECT_MESSAGE, /* messages of faults that are read */
	INJECT_CHANGE,	/* ioctls that a change of mappings refuses */
	INJECT_REMOVE,	/* REMOVE events */
	INJECT_OPS
};

enum inject_kind {
	INJECT_EAGAIN,
	INJECT_ENOMEM,
	INJECT_EBUSY,
	INJECT_PARTIAL,
	INJECT_WAKE_UP,
	INJECT_TWICE,
	INJECT_STORM,
	INJECT_DELAY,
	INJECT_KINDS
};

struct inject_when {
	uint64_t chance; /* of 2^32 */
	uint64_t every;	 /* not 0: each so many-th instead */
};

/* Half of the delays are below p50, all but one in a hundred below p99; equal: always that. */
struct inject_delay {
	uint64_t p50, p99; /* ns */
};

struct uffd_inject {
	uint64_t seed;
	struct inject_when when[INJECT_OPS][INJECT_KINDS];
	struct inject_delay delay[INJECT_OPS];
};

/* ---- inject_parse.c: the words, for the command and for the library ----------------------------
 */

enum inject_problem {
	INJECT_FINE,
	INJECT_UNKNOWN,	  /* no such word */
	INJECT_NO_ERROR,  /* that operation cannot fail so */
	INJECT_NEVER,	  /* no kernel would do that */
	INJECT_NO_NUMBER, /* seed= */
	INJECT_NO_WHEN,	  /* neither 5% nor every=20 */
	INJECT_NO_TIME,	  /* no duration, or one beyond ten seconds */
	INJECT_NO_DELAY,  /* delay without one */
	INJECT_ORDER,	  /* p99 below p50 */
};

struct inject_answer {
	enum inject_problem problem;
	char word[40]; /* the one it is about */
	char op[16];   /* NO_ERROR, NEVER: of this operation */
};

/* True: all of text is understood. */
bool uffd_inject_parse(const char *text, struct uffd_inject *out, struct inject_answer *answer);
/* What an item may begin with; NULL at the end. */
extern const char *const inject_words[];

/* ---- inject.c ----------------------------------------------------------------------------------
 */

/* From now on, in this process. */
void uffd_inject_begin(const struct uffd_inject *inject);

struct uffd_ctx;
extern const struct uffd_inject *uffd_injecting; /* NULL: nothing */

/* The number of the context's next operation of this kind. */
uint64_t inject_next(struct uffd_ctx *ctx, enum inject_op op);
/* Is the n-th met? */
bool inject_met(enum inject_op op, enum inject_kind kind, uint64_t n);
/* Is the n-th change in a storm? */
bool inject_stormy(uint64_t n);
/* A number below `limit` that goes with the n-th. */
uint64_t inject_pick(enum inject_op op, uint64_t n, uint64_t limit);
/* How long the n-th is to take, in ns; 0: no longer than it does. Counted. */
uint64_t inject_delay(struct uffd_ctx *ctx, enum inject_op op, uint64_t n);
/* It has been done. */
void inject_count(struct uffd_ctx *ctx, enum mm_stat what);

#endif
