/*
 * cells.h - what memory of every type must look like, kept independently of the mm.
 *
 * A cell is one page of a file (a huge one whole) and every place in the program where it can be
 * seen: shared views, private ones, and beside them a page of anonymous memory and one of the
 * program's own type, so that mremap and MOVE go from one place of a cell to another. The cell as a
 * whole has a set of states that it may be in, exactly as model.h has it for a single page: pending
 * operations add states, results and what is seen at one moment strike states out.
 */
#ifndef TESTS_SIM_CELLS_H
#define TESTS_SIM_CELLS_H

#include "model.h"

#define CELLS_SMALL 16
#define CELLS_HUGE  2
#define CELLS	    (CELLS_SMALL + CELLS_HUGE)
#define CELL_PLACES 6
#define CELL_GROUP  512 /* pages of a huge one */

enum cell_backing {
	CELL_NONE, /* no place */
	CELL_SHARED,
	CELL_PRIVATE,
	CELL_ANON,
	CELL_PROGRAM
};

static inline bool cell_is_huge(unsigned cell)
{
	return cell >= CELLS_SMALL;
}

/* What stands at a place of a cell, and where. */
enum cell_backing cell_backing(unsigned cell, unsigned place);
uint64_t cell_addr(unsigned cell, unsigned place);
/* False: the address is in no cell. */
bool cell_find(uint64_t addr, unsigned *cell, unsigned *place);
/* Pages of a cell. */
uint64_t cell_pages(unsigned cell);

struct cell_contents {
	uint32_t base; /* which fill they come from; 0: zeroes */
	uint32_t pad;
	uint64_t slot[MODEL_SLOTS];
};

/* own: of ANON and PROGRAM what it contains, of PRIVATE its copy. */
struct cell_place {
	uint8_t mapped, prot, modes, owner;
	uint8_t kind, wp, rwp, copy;
	struct cell_contents own;
};

struct cell_state {
	uint64_t applied;
	uint8_t there, inside, pad[6]; /* the file has the page; ends behind it */
	struct cell_contents file;
	struct cell_place place[CELL_PLACES];
};

enum cell_type {
	CELL_COPY,
	CELL_ZERO,
	CELL_CONTINUE,
	CELL_SET_POISON,
	CELL_SET_WP,
	CELL_CLEAR_WP,
	CELL_SET_RWP,
	CELL_CLEAR_RWP,
	CELL_ZAP,
	CELL_UNMAP,
	CELL_MAP,
	CELL_PROTECT,
	CELL_REGISTER,
	CELL_UNREGISTER,
	CELL_CLOSE,
	CELL_REMAP,
	CELL_MOVE,
	CELL_WRITE,
	CELL_TRUNCATE, /* they lie behind the new end */
	CELL_GROW,
	CELL_PUNCH,
};

struct cell_op {
	enum cell_type type;
	unsigned place, to; /* to: of REMAP and MOVE */
	unsigned first, n;  /* cells */
	uint32_t base;	    /* COPY, WRITE: of cell i: base + i */
	uint8_t owner, modes, prot;
	bool wp, holes, keeps; /* as in model_op */
	bool any;	       /* COPY: need not be registered */
	unsigned bit;
};

/*
 * tight: there may be too little memory for all of what is asked. empty: pages of the program's
 * type begin absent.
 */
void cells_start(bool tight, bool empty);
void cells_stop(void);
void cells_begin(struct cell_op *op);
void cells_end(struct cell_op *op, uint64_t done, enum model_result rest);
void cells_owner_changed(void);

struct cell_access {
	unsigned cell, place;
	bool write, could_segv, could_bus;
};
void cells_access_begin(struct cell_access *a, unsigned cell, unsigned place, bool write);
void cells_access_end(struct cell_access *a);
void cells_touch(unsigned cell, unsigned place, bool write, bool begin);

/* Contents of all pages: words is of one page, `page` which of the cell. */
void cells_fill(uint64_t *words, uint32_t base, uint64_t page);
/* What a page of the program's type is in the beginning; zeroes where they begin absent. */
uint32_t cells_program_base(unsigned cell);
/* Fails the run when the pages are of no one fill. Words of page i: from at(arg, i). */
void cells_look(unsigned cell, const uint64_t *(*at)(const void *arg, uint64_t page),
		const void *arg, struct cell_contents *out);

void cells_loaded(unsigned cell, unsigned place, const struct cell_contents *seen);
void cells_stored(unsigned cell, unsigned place, unsigned slot, const struct cell_contents *seen);
/* read(2): zeroes where nothing is. */
void cells_read(unsigned cell, const struct cell_contents *seen);

/* Everything of a cell at one moment. Of a place that is mapped: all but `owner`. */
void cells_sight(unsigned cell, const struct cell_state *seen);

const struct cell_state *cells_guess(unsigned cell);
void cells_explain(unsigned cell);
unsigned cells_most(void);

#endif
