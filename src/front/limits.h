/*
 * limits.h - what the environment says about memory limits, swap, and the record of faults; see
 * userfault-run(1). Names: USERFAULT_MEMORY_LIMIT (bytes), USERFAULT_SWAP ("none", "zstd", or an
 * absolute path; then ":BYTES", 0 for all there is), USERFAULT_POLICY, USERFAULT_RECORD,
 * USERFAULT_INJECT.
 */
#ifndef UF_FRONT_LIMITS_H
#define UF_FRONT_LIMITS_H

#include "mm/mm.h"

/* Remember what the environment says. */
void limits_environment(void);
/* Frames that may be kept although nothing is in them (host_config); 0: as many as usual. */
uint64_t limits_warm_pages(void);
/*
 * Make it so, for a new space; between mach_enter and mach_leave. 0, or a negative errno and in
 * *why what is wrong.
 */
int limits_start(struct mm_space *space, const char **why);

#endif
