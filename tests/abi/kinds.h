/* SPDX-License-Identifier: MIT */
/* The kinds of memory that a test can be made to run over. */
#ifndef KINDS_H
#define KINDS_H

#include "abi.h"

#define HUGE_PG (2ul << 20)

enum {
	ANON = 1 << 0,
	ANON_SHARED = 1 << 1,
	MEMFD = 1 << 2,
	TMPFS = 1 << 3,
	SYSV = 1 << 4,
	ZERO_SHARED = 1 << 5,
	MEMFD_PRIVATE = 1 << 6,
	TMPFS_PRIVATE = 1 << 7,
	HUGE_MEMFD = 1 << 8,
	HUGE_SHARED = 1 << 9,
	HUGE_MEMFD_PRIVATE = 1 << 10,
	HUGE_PRIVATE = 1 << 11,
	ZERO_PRIVATE = 1 << 12,
	FILE_SHARED = 1 << 13,
	FILE_PRIVATE = 1 << 14,
	SECRET = 1 << 15,
	GUEST = 1 << 16,
};

/* All of shmem but SysV, which has operations of its own and is no shmem to REGISTER. */
#define SHMEM_SHARED  (ANON_SHARED | MEMFD | TMPFS | ZERO_SHARED)
#define SHMEM_PRIVATE (MEMFD_PRIVATE | TMPFS_PRIVATE)
#define SHMEM	      (SHMEM_SHARED | SHMEM_PRIVATE)
#define HUGE	      (HUGE_MEMFD | HUGE_SHARED | HUGE_MEMFD_PRIVATE | HUGE_PRIVATE)
#define SHARED	      (SHMEM_SHARED | HUGE_MEMFD | HUGE_SHARED | SYSV | FILE_SHARED | SECRET | GUEST)
/* Those whose pages in the page cache a test can reach by another mapping, or by a descriptor. */
#define VIEWED	(SHMEM | HUGE_MEMFD | HUGE_MEMFD_PRIVATE)
#define WITH_FD (MEMFD | TMPFS | MEMFD_PRIVATE | TMPFS_PRIVATE | HUGE_MEMFD | HUGE_MEMFD_PRIVATE)
#define REGULAR (FILE_SHARED | FILE_PRIVATE)

struct memory {
	unsigned kind;
	size_t unit; /* the size of its pages */
	size_t len;
	/*
	 * The mapping under test, with unmapped pages on either side. A test that unmaps or moves
	 * it writes NULL here: something else may be at that place by the time it ends.
	 */
	char *p;
	/* The same pages of the file, mapped shared and left alone by userfaultfd; or NULL. */
	char *view;
	int file; /* or -1 */
};

/* A fresh stretch of empty memory; false where the system has none of this kind. */
bool memory_map(struct memory *m, unsigned kind, size_t units);
void memory_unmap(struct memory *m);
/* A place that this memory can be moved to, taken until then. */
char *memory_place(const struct memory *m);
/* Skips unless there is more: what a child copies of private huge pages, nobody has reserved. */
void need_spare(unsigned kind, size_t units);
/*
 * Runs the check over each kind of the set, with so many pages of its size. The result is for
 * main to return; it skips at the end, by name, for a kind that the system has none of.
 */
int each(unsigned kinds, size_t units, void (*check)(struct memory *m));
/* The same for one kind: skips where there is none. */
struct memory memory_of(unsigned kind, size_t units);

/* A name in a directory on a file system of disks, and an open file there that has no name. */
int regular_file(void);
/* Good as a source for so many pages (up to 4) of this memory, filled with this byte. */
char *source(const struct memory *m, size_t units, int byte);
/*
 * Whether the page cache has this page, without making one. The answer no punches a hole into a
 * huge file, which costs every mapping what it has there.
 */
bool cached(const struct memory *m, size_t index);
/* Whether the page of the file is this byte throughout, by the view and by read(2). */
bool file_is(const struct memory *m, size_t index, int byte);
/* Fills that page of the file through the view. */
void file_set(const struct memory *m, size_t index, int byte);
/* REGISTER must succeed with the bits that this kind and these modes have. */
#define REGISTERS(fd, m, modes) DONE(reg_out(fd, (m)->p, (m)->len, modes), ioctls_of(m, modes))
uint64_t ioctls_of(const struct memory *m, uint64_t modes);
/* What pagemap says of the page, without the bits that do not matter here. */
uint64_t state(const char *page);

#endif
