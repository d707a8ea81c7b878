/* access.h - inside the simulated machine: accesses to the program's memory. */
#ifndef UF_SIM_ACCESS_H
#define UF_SIM_ACCESS_H

#include "machine/sim/sim.h"

/* Read len bytes of the program's memory, or of the arena, as far as the TLB lets through right
 * now. False: not all of it. */
bool sim_read_now(uint64_t src, void *dst, size_t len);

#endif
