/*
 * swap.h - the swap store of the host machine: where pages go that leave memory (mach_swap_*).
 *
 * Either a file without a name, whole pages in it, or memory, pages compressed in it.
 */
#ifndef UF_HOST_SWAP_H
#define UF_HOST_SWAP_H

#include "machine/machine.h"

/*
 * How pages are made smaller. The machine is freestanding, so whoever has a library for it brings
 * this along. Called in the trap handler: no memory beyond the context, which is used by one thread
 * at a time.
 */
struct host_swap_codec {
	size_t context_size;
	/* Make a context in context_size bytes of zeroes, aligned to a page. */
	bool (*start)(void *context);
	/* One page into at most cap bytes; how many, or 0: it does not fit. */
	size_t (*compress)(void *context, void *dst, size_t cap, const void *page);
	/* The page out of exactly len bytes. */
	bool (*decompress)(void *context, void *page, const void *src, size_t len);
};

struct host_swap_config {
	/*
	 * The directory that holds the file, or a file that is not there yet. NULL: in memory.
	 */
	const char *path;
	const struct host_swap_codec *codec; /* NULL: pages are kept as they are */
	uint64_t size;			     /* most bytes that it takes; 0: as much as there is */
	_Atomic uint64_t *peak;		     /* kept at the most bytes in use; NULL: not wanted */
	bool none;			     /* there is no store: only `tell` counts */
	bool tell;			     /* say on stderr, once, when it is full */
};

/*
 * Once; forked children go on with it. On failure a negative
 * errno, and *why says in one sentence what is wrong; pages then do not leave.
 */
int host_swap_init(const struct host_swap_config *config, const char **why);

/* Before the fork of this number (fork.c), and in the child. */
void swap_before_fork(uint32_t fork);
void swap_after_fork(void);
/* In the child, before that: may it have to read what its parent has saved? */
bool swap_inherited(void);

/* Bytes in use, without what is kept for use. */
uint64_t host_swap_used(void);

#endif
