/*
 * arena.h - memory for bookkeeping, inside the machine's arena.
 *
 * Everything the mm keeps is named by a 32-bit reference, not a pointer: an offset from the arena's
 * base in units of 16 bytes. 0 is "none". The arena belongs to one address space; a forked child
 * has a copy of it, in which references mean the same.
 */
#ifndef UF_MM_ARENA_H
#define UF_MM_ARENA_H

#include "machine/machine.h"

typedef uint32_t uf_ref;

#define ARENA_UNIT 16

/* A reference beyond the arena is answered with NULL. */
static inline void *arena_at(uf_ref ref)
{
	uint64_t off = (uint64_t)ref * ARENA_UNIT;

	if (ref == 0 || off >= mach_arena_size)
		return NULL;
	return mach_arena_base + off;
}

static inline uf_ref arena_ref(const void *p)
{
	return p ? (uf_ref)(((const char *)p - mach_arena_base) / ARENA_UNIT) : 0;
}

/* Prepare an all-zero arena. Once, before any other call. */
void arena_init(void);

/*
 * len bytes (any size), zeroed, 16-byte aligned (page-aligned from one page on). Sizes up to 2 KiB
 * come from free lists of powers of two, larger ones are whole pages. NULL when the arena is full.
 * Lock: the arena's own, below all others of the mm.
 */
void *arena_alloc(uint64_t len);
void arena_free(void *p, uint64_t len);

/*
 * Around a fork: nobody else is in the middle of anything here, and the calling thread may still
 * allocate and free; so may the child's, once it has taken over.
 */
void arena_hold(void);
void arena_take_over(void);
void arena_release(void);

/* Bytes handed out now. */
uint64_t arena_used(void);

#endif
