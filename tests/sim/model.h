/*
 * model.h - what each page of the program must look like, kept independently of the mm.
 *
 * An operation takes effect somewhere between its begin and its end; nobody but the mm knows when.
 * So every page has a set of states that it may be in. A pending operation adds, to each state it
 * could have met, the state it would have left, marked as having it applied. When it ends, the
 * states that disagree with its result go. Whatever is seen of the page at one exact moment (a
 * load, a store, its pagemap word) strikes out the states that it contradicts. When none is left,
 * what happened has no explanation, and the run has found a bug.
 */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include "front.h"

#define MODEL_SLOTS 2 /* words of a page that the program stores to */

enum model_kind {
	MODEL_EMPTY,
	MODEL_PRESENT,
	MODEL_MARKED,
	MODEL_POISON
};

struct model_state {
	uint8_t mapped, prot, modes, owner;
	uint8_t kind, wp, rwp, pad;
	uint32_t base; /* which fill the contents come from; 0: zeroes */
	uint32_t pad2;
	uint64_t slot[MODEL_SLOTS]; /* 0: still as the fill left it */
	uint64_t applied;	    /* pending operations that have happened, by bit */
};

enum model_type {
	MODEL_COPY,
	MODEL_ZERO,
	MODEL_SET_POISON,
	MODEL_SET_WP,
	MODEL_CLEAR_WP,
	MODEL_SET_RWP,
	MODEL_CLEAR_RWP,
	MODEL_ZAP,
	MODEL_UNMAP,
	MODEL_MAP,
	MODEL_PROTECT,
	MODEL_REGISTER,
	MODEL_UNREGISTER,
	MODEL_CLOSE,
	MODEL_MOVE,
	MODEL_REMAP,
};

struct model_op {
	enum model_type type;
	uint64_t page, n; /* the pages it is about; pairs: the destination */
	uint64_t from;	  /* MOVE and REMAP: first page of the source */
	uint32_t base;	  /* COPY: of page i: base + i */
	uint8_t owner, modes, prot;
	bool wp;    /* COPY */
	bool holes; /* MOVE: ALLOW_SRC_HOLES */
	bool keeps; /* REMAP: DONTUNMAP, the source stays mapped, empty */
	unsigned bit;
};

/* What userfaultfds do on their own. */
struct model_owner {
	bool wp_async, rwp_async, marks_empty, wants_remap, sigbus;
};

extern struct model_owner model_owners[256];
/* One of them does more than before from now on. */
void model_owner_changed(void);

/* pages: how many of the window, from its start. All are holes. */
void model_start(uint64_t pages);
void model_stop(void);

void model_begin(struct model_op *op);
enum model_result {
	MODEL_NO,
	MODEL_YES,
	MODEL_MAYBE
};
/* The first `done` pages happened; the rest as `rest` says. */
void model_end(struct model_op *op, uint64_t done, enum model_result rest);

/* An access by the program: it may populate and lift while it is under way. */
struct model_access {
	uint64_t page;
	bool write, could_segv, could_bus;
};
void model_access_begin(struct model_access *a, uint64_t page, bool write);
void model_access_end(struct model_access *a);

/* The same for a system call that faults pages in by itself. */
void model_touch_begin(uint64_t page, uint64_t n, bool write);
void model_touch_end(uint64_t page, uint64_t n, bool write);

/* The whole page as it stands at this moment. */
struct model_contents {
	uint32_t base;
	uint64_t slot[MODEL_SLOTS];
};
void model_fill(uint64_t *words, uint32_t base);
/* Fails the run when the words are of no one fill. */
void model_look(uint64_t page, const uint64_t *words, struct model_contents *out);

/* A load came through and the page looked so; a store, and the page looks so afterwards. */
void model_loaded(uint64_t page, const struct model_contents *seen);
void model_stored(uint64_t page, unsigned slot, const struct model_contents *seen);

/* What is so at this moment, whoever does what. */
struct model_sight {
	bool mapped, managed;
	uint32_t prot, modes;
	enum model_kind kind;
	bool wp, rwp;
	bool has_contents;
	struct model_contents contents;
};
void model_sight(uint64_t page, const struct model_sight *seen);

/* One of the states that the page may be in, to choose by. */
const struct model_state *model_guess(uint64_t page);

/* Print what is known of a page, for a failure. */
void model_explain(uint64_t page);

/* Largest set of states there was. */
unsigned model_most(void);

#endif
