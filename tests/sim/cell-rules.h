/*
 * cell-rules.h - what accesses and operations make of a cell in one certain state: the rules of the
 * ABI and of what goes beyond it, for all types.
 */
#ifndef TESTS_SIM_CELL_RULES_H
#define TESTS_SIM_CELL_RULES_H

#include "cells.h"

/* Do pages of the program's type begin absent? */
extern bool cell_program_empty;

/* What the operation makes of the cell; false: it cannot happen to it in this state. */
bool cell_apply(const struct cell_op *op, unsigned cell, struct cell_state *s);

/* The same where there is not enough memory to do all of it. */
bool cell_apply_poorly(const struct cell_op *op, unsigned cell, struct cell_state *s);

/* What an access under way may do before it comes through; false: nothing. */
bool cell_touch(unsigned cell, unsigned place, bool write, struct cell_state *s);

/* The access comes through: what the host does to the file and to private copies on the way. False:
 * it cannot come through in this state. */
bool cell_access(unsigned cell, unsigned place, bool write, struct cell_state *s);

/* Would the access end with SIGBUS? */
bool cell_ends_with_bus(unsigned cell, unsigned place, bool write, const struct cell_state *s);

/* What the place shows, of a page that is there. */
struct cell_contents *cell_visible(unsigned cell, unsigned place, struct cell_state *s);

#endif
