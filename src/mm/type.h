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

/*
 * Where a type's pages stand: its table, and the part of it that one area shows. Pages are numbered
 * in UF_PAGE_SIZE also where the type's own pages are larger; a page argument is then the first of
 * a large page, and n a multiple of one. All operations are called with the leaf of the pages
 * locked, unless they say otherwise.
 */
struct mm_view {
	struct mm_table *table;
	struct mach_span span; /* addr 0: the pages have left the program's addresses */
};

struct mm_type {
	const char *name;
	uint32_t kinds;	     /* 1 << MACH_VMA_*: the host mappings it takes over */
	unsigned page_shift; /* size of its pages */
	uint32_t modes;	     /* MM_MODE_*: the registrations it can serve */
	uint32_t flags;	     /* MM_TYPE_* */

	/* Take over [start, end) of a host mapping: fill in table->map. Write lock held. -ENOMEM.
	 */
	int (*adopt)(struct mm_table *table, uint64_t start, uint64_t end,
		     const struct mach_vma *vma);
	/*
	 * Make table->map anew at [start, end), going on where page `first` of `like` would be
	 * (mremap that grows or leaves its place behind). Write lock held. -ENOMEM.
	 */
	int (*extend)(struct mm_table *table, struct mm_table *like, uint64_t first, uint64_t start,
		      uint64_t end);
	/* Which pages of an adopted range were mapped before; they become present entries. */
	void (*mapped)(const struct mm_view *v, uint64_t page, uint64_t n, uint64_t *bits);
	/* Is there a page although the entry is empty (a page cache)? 1, 0; -EFAULT: past its end.
	 */
	int (*lookup)(const struct mm_view *v, uint64_t page);
	/*
	 * May these empty entries get pages? How many of the n, from the first on; when not even
	 * that, -ENOMEM, -EEXIST (a page cache has one), -EFAULT (past the end).
	 */
	long (*alloc)(const struct mm_view *v, uint64_t page, uint64_t n);
	/* The frames are complete: publish them where others may find them (a page cache). */
	int (*insert)(const struct mm_view *v, uint64_t page, uint64_t n);
	/* Pages [page, page + n) leave the page table; contents are not needed any more. */
	void (*remove)(const struct mm_view *v, uint64_t page, uint64_t n);
	/* Fill with zeroes, for UFFDIO_ZEROPAGE (and ordinary faults). -ENOMEM, -EFAULT. */
	int (*zero)(const struct mm_view *v, uint64_t page, uint64_t n);
	/* Make a page for an ordinary fault, where nobody is asked. -ENOMEM, -EFAULT. */
	int (*populate)(const struct mm_view *v, uint64_t page);
	/* Map pages that lookup would find: UFFDIO_CONTINUE. How many, or -EFAULT: none there. */
	long (*map)(const struct mm_view *v, uint64_t page, uint64_t n);
	/* Give page `spage` of src to `dpage` of dst, both of this type: UFFDIO_MOVE. */
	int (*move)(const struct mm_view *dst, uint64_t dpage, const struct mm_view *src,
		    uint64_t spage, uint64_t n);
	/* Make a hole in the file (MADV_REMOVE). As madvise(2). No leaf lock, pages closed. */
	int (*punch)(const struct mm_view *v, uint64_t page, uint64_t n);
	/*
	 * The type's own store, for contents that left memory, or were never in it. No lock but the
	 * table's store_lock is held: they may run the program's code. fetch fills buf, one page;
	 * writeback saves it, and after that fetch finds it. Negative errno: the access gets
	 * SIGBUS, the page stays in memory.
	 */
	int (*fetch)(const struct mm_view *v, uint64_t page, void *buf);
	int (*writeback)(const struct mm_view *v, uint64_t page, const void *buf);
};

/* WRITEPROTECT marks empty entries even without WP_UNPOPULATED, and zap leaves the marks. */
#define MM_TYPE_MARK_EMPTY 1u
/* Registered for WP alone with an asynchronous handler, and for nothing else (regular files). */
#define MM_TYPE_ASYNC_ONLY 2u
/* UFFDIO_MOVE may take and give its pages without being asked to go beyond the kernel. */
#define MM_TYPE_MOVE 4u
/* Pages in memory count against the space's limit; they can leave (swap or writeback). */
#define MM_TYPE_RECLAIM 8u
/* COPY, ZEROPAGE and MOVE are advertised, as the kernel has it, and refused all the same. */
#define MM_TYPE_FEIGNS 16u
/* All types there are, by index; src/types/list.c. */
extern const struct mm_type *const mm_types[];
extern const unsigned mm_types_count;

/* The type that takes over such host mappings, or NULL. */
const struct mm_type *mm_type_for(const struct mach_vma *vma);

/* The UFFDIO ioctls (bit = nr) that a range of this type can serve in these modes. */
uint64_t mm_type_ops_mask(const struct mm_type *type, uint32_t modes);

/*
 * Defaults. "frames": contents in an extent of the machine's own; "file": a mapping of the
 * program's that stays in place.
 */
int mm_default_lookup_none(const struct mm_view *v, uint64_t page);
int mm_default_insert_none(const struct mm_view *v, uint64_t page, uint64_t n);
int mm_default_zero(const struct mm_view *v, uint64_t page, uint64_t n);
int mm_default_move_copy(const struct mm_view *dst, uint64_t dpage, const struct mm_view *src,
			 uint64_t spage, uint64_t n);
void mm_default_remove(const struct mm_view *v, uint64_t page, uint64_t n);

int mm_frames_adopt(struct mm_table *table, uint64_t start, uint64_t end,
		    const struct mach_vma *vma);
int mm_frames_extend(struct mm_table *table, struct mm_table *like, uint64_t first, uint64_t start,
		     uint64_t end);
long mm_frames_alloc(const struct mm_view *v, uint64_t page, uint64_t n);
int mm_frames_populate(const struct mm_view *v, uint64_t page);

int mm_file_adopt(struct mm_table *table, uint64_t start, uint64_t end, const struct mach_vma *vma);
int mm_file_extend(struct mm_table *table, struct mm_table *like, uint64_t first, uint64_t start,
		   uint64_t end);
void mm_file_mapped(const struct mm_view *v, uint64_t page, uint64_t n, uint64_t *bits);
int mm_file_lookup(const struct mm_view *v, uint64_t page);
long mm_file_alloc(const struct mm_view *v, uint64_t page, uint64_t n);
int mm_file_populate(const struct mm_view *v, uint64_t page);
long mm_file_map(const struct mm_view *v, uint64_t page, uint64_t n);
int mm_file_punch(const struct mm_view *v, uint64_t page, uint64_t n);

#endif
