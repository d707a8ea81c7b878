/*
 * patch.h - instructions that are to be done elsewhere.
 */
#ifndef UF_FRONT_PATCH_H
#define UF_FRONT_PATCH_H

#include <stdbool.h>
#include <stdint.h>

/* libc's own fork comes to the gate with its system call. */
extern bool patch_forks;

/* Most bytes that a slot has room for, beginning with a mov of 5. */
#define PATCH_FAR 44

struct patch_insn {
	uint8_t size;
	uint8_t relative; /* where in it a distance from its end is, 0: nowhere */
};

/*
 * An instruction, ending before `end`, that does the same wherever it stands: one of those that
 * compilers put between loading a system call's number and making it. False: another, or one that
 * loads another number.
 */
bool patch_decode(const uint8_t *p, const uint8_t *end, struct patch_insn *insn);

#endif
