/*
 * direct.h - what a program asks of the mm itself, without a userfaultfd: memory of a type that it
 * names, and the wake-up that belongs to a fill of memory that anybody may have registered.
 */
#ifndef UF_MM_DIRECT_H
#define UF_MM_DIRECT_H

#include "mm/mm.h"

/*
 * Make [start, start + len), private anonymous memory that nobody has touched, an area of this
 * type, whatever the host calls it. owner becomes the table's. -EINVAL: the range is something
 * else; -ENOMEM.
 */
int mm_manage(struct mm_space *space, const struct mm_type *type, uint64_t owner, uint64_t start,
	      uint64_t len);

/* Which page of whose memory of this type stands at addr? -ENOENT: none. */
struct mm_place {
	uint64_t owner;
	uint64_t page; /* numbered by the owner: the table's file_page is its page 0 */
};
int mm_place(struct mm_space *space, const struct mm_type *type, uint64_t addr,
	     struct mm_place *out);

/* Is there memory of this type and owner? */
bool mm_owned(struct mm_space *space, const struct mm_type *type, uint64_t owner);

/*
 * Empty the pages of this type in [start, start + len), wherever they are, and have drop, the
 * program's code, forget what it saved of them: no fetch or writeback comes between. No locks held.
 * -ENOMEM; -EDEADLK: asked for by such a function itself.
 */
int mm_discard(struct mm_space *space, const struct mm_type *type, uint64_t start, uint64_t len,
	       void (*drop)(const struct mm_place *first, uint64_t n));

/* Does one table show all of [start, start + len)? -ENOENT: nothing is managed at start; -EINVAL.
 */
int mm_one_table(struct mm_space *space, uint64_t start, uint64_t len);

/* Whoever waits for pages of [start, start + len), of whatever handler, looks again. */
void mm_wake(struct mm_space *space, uint64_t start, uint64_t len);

#endif
