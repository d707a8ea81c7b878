/*
 * types.h - what memory.c tells types.c.
 */
#ifndef UF_FRONT_TYPES_H
#define UF_FRONT_TYPES_H

#include <userfault/userfault.h>

#include "front/front.h"

/* Has there been memory of a type of the program's? */
extern _Atomic bool types_used;

/*
 * The contents of [addr, addr + len) are not needed any more: of such memory, the program forgets
 * what it saved. Cheap when there is none. -ENOMEM.
 */
int types_discard(uint64_t addr, uint64_t len);

/* In the child of a fork, which has none of it. */
void types_child(void);

#endif
