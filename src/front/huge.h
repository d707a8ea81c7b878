/*
 * huge.h - huge pages: the program's mappings of them, and those that we emulate.
 *
 * Where the host has no huge pages to give, ordinary shared memory takes their place: files on the
 * host's tmpfs, mapped at multiples of 2 MiB. To the machine their inodes are noted as huge
 * (host_note_huge), so that a fault, a fill and a mark there is one of 2 MiB; to the program the
 * calls answer as for huge pages, which cannot be cut.
 *
 *   huge.c       which mappings and files those are
 *   huge_map.c   mmap and its kin on them
 *   huge_fd.c    memfd_create, fstat, write (interposer)
 *   sysv.c       shmget and its kin (interposer)
 *   meminfo.c    /proc/meminfo (interposer)
 */
#ifndef UF_FRONT_HUGE_H
#define UF_FRONT_HUGE_H

#include "front/front.h"

#define HUGE_SHIFT 21
#define HUGE_SIZE  (1ull << HUGE_SHIFT)
#define HUGE_MASK  (~(HUGE_SIZE - 1))

/* Where flags of mmap, memfd_create and shmget have the logarithm of the page size. */
#define HUGE_FLAG_SHIFT 26
#define HUGE_FLAG_MASK	(63u << HUGE_FLAG_SHIFT)

/* ---- huge.c ------------------------------------------------------------------------------------
 */

/* Has this process, or one that it was forked from, got any huge pages that we know of? */
extern _Atomic bool huge_used;

static inline bool huge_in_use(void)
{
	return unlikely(atomic_load_explicit(&huge_used, memory_order_relaxed));
}

/* A mapping of huge pages. */
struct huge_range {
	uint64_t start, end;
	uint64_t dev, ino; /* the file behind it, if that is in the list of files */
	bool emulated;
};

/* From now on `r` is one. -ENOMEM: there are too many. */
int huge_add(const struct huge_range *r);
/* [start, end) is none any more. */
void huge_remove(uint64_t start, uint64_t end);
/* The mapping of huge pages at addr; false: none. */
bool huge_find(uint64_t addr, struct huge_range *r);
/* The first one of [start, end). */
bool huge_find_next(uint64_t start, uint64_t end, struct huge_range *r);
/* Would the border of [start, end) cut a huge page? */
bool huge_cuts(uint64_t start, uint64_t end);
/* Learn of the host's huge pages in [start, end), which is about to be managed. */
void huge_learn(uint64_t start, uint64_t end);

/* A file with huge pages. */
struct huge_file {
	uint64_t dev, ino;
	bool emulated;
	bool named; /* the program can name it: then it may be mapped again */
};

/*
 * fd, if it is not -1: the machine keeps it open as long as the file is mapped. -ENOMEM: there are
 * too many.
 */
int huge_file_add(const struct huge_file *f, int fd);
bool huge_file_find(uint64_t dev, uint64_t ino, struct huge_file *f);
/* It could not be mapped: what was kept for that is given up. */
void huge_file_unmapped(uint64_t dev, uint64_t ino);
/* Is it mapped anywhere? */
bool huge_file_mapped(uint64_t dev, uint64_t ino);
/* Is it one with emulated huge pages? */
bool huge_emulates(uint64_t dev, uint64_t ino);
bool huge_file_slow(int fd);
static inline bool huge_file(int fd)
{
	return huge_in_use() && huge_file_slow(fd);
}

/* Pages [first, end) of an emulated file are a hole now: private copies of them go as well. */
void huge_drop_copies(uint64_t dev, uint64_t ino, uint64_t first, uint64_t end);

/* How many huge pages of 2 MiB the host could give now; -1: it knows none. */
long huge_available(void);
/* Can it be that these have to be emulated? For flags of mmap, memfd_create and shmget. */
bool huge_size_ours(unsigned flags);
/* The host refused huge pages with this error: is that for want of them? */
bool huge_wanting(long err);
/* Never use the host's; set by the environment. */
extern bool huge_always_emulated;
/* Emulated huge pages that are mapped now. */
uint64_t huge_emulated_pages(void);

/* There is a place to count. */
void huge_started(void);
/* In the child of a fork. */
void huge_child(void);

/* ---- huge_map.c --------------------------------------------------------------------------------
 */

/* False: nothing about this call is huge. Else its result is in *ret. */
bool huge_mmap(uint64_t addr, size_t len, int prot, int flags, int fd, uint64_t off, long *ret);
/* Map a file with emulated huge pages; len is a multiple of HUGE_SIZE. */
long huge_map_file(uint64_t addr, uint64_t len, int prot, int flags, int fd, uint64_t off);
/* A free range of len bytes at a multiple of HUGE_SIZE, mapped inaccessible; or a negative errno.
 */
long huge_reserve(uint64_t hint, uint64_t len);
/* What munmap, or a mapping that lands there, does to huge pages: 0 or -EINVAL. */
int huge_unmap(uint64_t addr, uint64_t len);
int huge_mprotect(uint64_t addr, uint64_t len);
/* May change the range. 1: there is nothing left to do. */
int huge_madvise(uint64_t *addr, uint64_t *len, int advice);
/* False: nothing about this call is huge. */
bool huge_mremap(uint64_t old, uint64_t old_len, uint64_t new_len, int flags, uint64_t new_addr,
		 long *ret);

#endif
