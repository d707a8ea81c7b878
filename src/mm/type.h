/*
 * type.h - what a memory type is, and all that a type may call back.
 *
 * A type is one file in src/types and one line in src/types/list.c. Its table says what the type
 * can do; NULL means "not supported", and the ioctl bits that REGISTER advertises are computed from
 * it (mm_type_ops_mask). Shared defaults are functions with a name (mm_default_*), never implied.
 */
#ifndef UF_MM_TYPE_H
#define UF_MM_TYPE_H

#include "mm/arena.h"

struct mm_table;

/* Registration modes, with the values of UFFDIO_REGISTER_MODE_*. */
#define MM_MODE_MISSING 1u
#define MM_MODE_WP	2u
#define MM_MODE_MINOR	4u
#define MM_MODE_RWP	8u

struct mm_type {
	const char *name;
	enum mach_vma_kind kind; /* the host mappings it takes over */
	unsigned page_shift;	 /* size of its pages */
	uint32_t modes;		 /* MM_MODE_*: the registrations it can serve */
	bool mark_empty;	 /* WRITEPROTECT marks empty entries even without WP_UNPOPULATED */

	/*
	 * Take over [start, end) of a host mapping: fill in table->map. Write lock held. -ENOMEM.
	 */
	int (*adopt)(struct mm_table *table, uint64_t start, uint64_t end,
		     const struct mach_vma *vma);
	/* Is there a page at this index although the entry is empty (a page cache)? */
	bool (*lookup)(struct mm_table *table, uint64_t page);
	/* Make a frame for an empty entry, contents unspecified. -ENOMEM, -EEXIST. Leaf lock held.
	 */
	int (*alloc)(struct mm_table *table, uint64_t page);
	/* The frame is complete: publish it where others may find it (a page cache). */
	int (*insert)(struct mm_table *table, uint64_t page);
	/* Pages [page, page + n) leave the page table; contents are not needed any more. */
	void (*remove)(struct mm_table *table, uint64_t page, uint64_t n);
	/* Fill made frames with zeroes for UFFDIO_ZEROPAGE and ordinary faults. */
	void (*zero)(struct mm_table *table, uint64_t page, uint64_t n);
	/* Map a page that lookup found: UFFDIO_CONTINUE. */
	int (*map)(struct mm_table *table, uint64_t page);
	/* Give page `spage` of src to `dpage` of dst, both of this type: UFFDIO_MOVE. */
	int (*move)(struct mm_table *dst, uint64_t dpage, struct mm_table *src, uint64_t spage,
		    uint64_t n);
	/* Save a dirty page where it lives before its frame goes. */
	int (*writeback)(struct mm_table *table, uint64_t page);
};

/* All types there are, by index; src/types/list.c. */
extern const struct mm_type *const mm_types[];
extern const unsigned mm_types_count;

/* The type that takes over such host mappings, or NULL. */
const struct mm_type *mm_type_for(enum mach_vma_kind kind);

/* The UFFDIO ioctls (bit = nr) that a range of this type can serve in these modes. */
uint64_t mm_type_ops_mask(const struct mm_type *type, uint32_t modes);

/* Defaults. */
bool mm_default_lookup_none(struct mm_table *table, uint64_t page);
int mm_default_insert_none(struct mm_table *table, uint64_t page);
void mm_default_zero(struct mm_table *table, uint64_t page, uint64_t n);
int mm_default_move_copy(struct mm_table *dst, uint64_t dpage, struct mm_table *src, uint64_t spage,
			 uint64_t n);

#endif
