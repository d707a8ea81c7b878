/*
 * cell-operations.h - operations on cells, each with the model told. The range is op.first, op.n at
 * op.place; a slot must be held open.
 */
#ifndef TESTS_SIM_CELL_OPERATIONS_H
#define TESTS_SIM_CELL_OPERATIONS_H

#include "cells.h"
#include "schedules.h"

/* Files and the rest of the world around them; by the first thread, and after the run. */
void cells_open(void);
void cells_close(void);

int64_t do_cell_copy(struct slot *s, struct cell_op op, bool dontwake);
/* Without a descriptor. */
void do_cell_mcopy(struct cell_op op);
int64_t do_cell_zero(struct slot *s, struct cell_op op);
int64_t do_cell_continue(struct slot *s, struct cell_op op);
int64_t do_cell_poison(struct slot *s, struct cell_op op);
void do_cell_move(struct slot *s, struct cell_op op);
int do_cell_protect(struct slot *s, struct cell_op op, bool rwp, bool set);
void do_cell_register(struct slot *s, struct cell_op op);
void do_cell_unregister(struct slot *s, struct cell_op op);
void do_cell_access(unsigned cell, unsigned place, bool write);
void do_cell_populate(struct cell_op op, bool write);
void do_cell_zap(struct cell_op op);
void do_cell_pageout(struct cell_op op);
void do_cell_mprotect(struct cell_op op, uint32_t prot);
void do_cell_map(struct cell_op op);
void do_cell_unmap(struct cell_op op);
void do_cell_remap(struct cell_op op);
void do_cell_truncate(bool huge, unsigned left);
void do_cell_punch(struct cell_op op);
void do_cell_file(unsigned cell, bool write);

/* Look at all of one cell, when nobody holds a lock. */
void cells_look_at(unsigned cell);

/* cell-workers.c: one turn of a worker; a handler's right answer, false: not yet. */
void cells_turn(void);
bool cells_answer(struct slot *s, unsigned cell, unsigned place, uint64_t flags, bool dontwake);

#endif
