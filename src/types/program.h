/*
 * program.h - how the type "program" reaches the functions that the program gave.
 *
 * A table's owner names a mapping of the program's; what the name means is known to whoever set the
 * functions. Bit 0 says that the mapping's pages begin absent.
 */
#ifndef UF_TYPES_PROGRAM_H
#define UF_TYPES_PROGRAM_H

#include <stdint.h>

#define PROGRAM_EMPTY 1ull

struct program_ops {
	/* One page each; 0 or a negative errno. No locks but the store's. */
	int (*fetch)(uint64_t owner, uint64_t page, void *buf);
	int (*writeback)(uint64_t owner, uint64_t page, const void *buf);
};

/* Once, before the first mapping. */
void program_set_ops(const struct program_ops *ops);

extern const struct mm_type mm_type_program;

#endif
