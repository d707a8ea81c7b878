/*
 * sigsegv.h - the program's sigaction of SIGSEGV, which is ours while the trap is armed.
 */
#ifndef UF_FRONT_SIGSEGV_H
#define UF_FRONT_SIGSEGV_H

#include <signal.h>
#include <stdbool.h>

/*
 * As sigaction(SIGSEGV, act, old), if the trap is armed; false, and nothing done, if it is not:
 * then the kernel has the program's sigaction.
 */
bool sigsegv_swap(const struct sigaction *act, struct sigaction *old);

#endif
