/*
 * gate_quick.h - what can be told of a system call by a look at its number and its arguments.
 */
#ifndef UF_FRONT_GATE_QUICK_H
#define UF_FRONT_GATE_QUICK_H

#include <stdbool.h>

/*
 * Is the call none of our business, or one that only the place which makes it can make? Touches no
 * vector register.
 */
bool gate_quick(long nr, const long a[6]);

/* Is that so for every call of the number? */
bool gate_never(long nr);

/* Before the first gate_quick: descriptors from here on are the machine's. */
void gate_quick_start(int floor);

#endif
