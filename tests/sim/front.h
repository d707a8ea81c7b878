/*
 * front.h - what the tests on the simulated machine stand on: a world with a space and userfaultfd
 * in it, and the system calls of its program. What a real front does with descriptors is done here
 * with a count: a context closes when its last user lets go.
 */
#ifndef TESTS_SIM_FRONT_H
#define TESTS_SIM_FRONT_H

#include "machine/sim/sim.h"
#include "uffd/uffd.h"
#include "userfault/abi.h"

#define PAGES(n) ((uint64_t)(n)*UF_PAGE_SIZE)
#define PAGE(n)	 (SIM_BASE + PAGES(n))

#define RW (UF_PROT_READ | UF_PROT_WRITE)

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			sim_fail("%s:%d: %s", __FILE__, __LINE__, #cond);                          \
	} while (0)

/* Says both numbers when they differ. */
#define CHECK_EQ(a, b)                                                                             \
	do {                                                                                       \
		long long a_ = (long long)(a), b_ = (long long)(b);                                \
		if (a_ != b_)                                                                      \
			sim_fail("%s:%d: %s is %lld, not %lld", __FILE__, __LINE__, #a, a_, b_);   \
	} while (0)

/* A world with nothing mapped. config->fault is set here. */
void front_start(struct sim_config *config);
/* Everything was closed and unmapped: nothing may be left of it. */
void front_stop(void);

/* A userfaultfd as the program holds it. */
struct front_uffd {
	uf_ref ref;
	int fd;
	_Atomic unsigned users;
	_Atomic bool stop;   /* for those who poll: it is being closed */
	_Atomic bool closed; /* it is */
	bool watched;
};

/* Open, and API with these features unless they are ~0. */
void front_open(struct front_uffd *u, uint64_t features);
/* The same in two steps: nobody can get it before it is published. */
void front_make(struct front_uffd *u, uint64_t features);
void front_publish(struct front_uffd *u);
/* From now on it may be polled natively. Before it is published. */
void front_watch(struct front_uffd *u);
/* For a call that uses it: false when it is closed already. Every get has its put. */
bool front_get(struct front_uffd *u);
void front_put(struct front_uffd *u);
/* close(2) by the program, and wait until it is released: when nobody is in a call. */
void front_close(struct front_uffd *u);

int front_ioctl(struct front_uffd *u, unsigned long cmd, void *arg);
/* One message; false: nothing to read now. */
bool front_read(struct front_uffd *u, struct uf_msg *msg);
/* Waits for one message as a blocking reader does; false: it is being closed. */
bool front_wait(struct front_uffd *u, struct uf_msg *msg);

/* fdinfo's numbers: unread faults, and all that wait. */
void front_pending(struct front_uffd *u, unsigned *unread, unsigned *all);

/* The ioctls, with the errno (0 or negative) and the bytes done. */
int front_register(struct front_uffd *u, uint64_t start, uint64_t len, uint64_t mode);
int front_unregister(struct front_uffd *u, uint64_t start, uint64_t len);
int front_wake(struct front_uffd *u, uint64_t start, uint64_t len);
int front_copy(struct front_uffd *u, uint64_t dst, uint64_t src, uint64_t len, uint64_t mode,
	       int64_t *done);
int front_zero(struct front_uffd *u, uint64_t start, uint64_t len, uint64_t mode, int64_t *done);
int front_poison(struct front_uffd *u, uint64_t start, uint64_t len, uint64_t mode, int64_t *done);
int front_continue(struct front_uffd *u, uint64_t start, uint64_t len, uint64_t mode,
		   int64_t *done);
int front_move(struct front_uffd *u, uint64_t dst, uint64_t src, uint64_t len, uint64_t mode,
	       int64_t *done);
int front_wp(struct front_uffd *u, uint64_t start, uint64_t len, uint64_t mode);
int front_rwp(struct front_uffd *u, uint64_t start, uint64_t len, uint64_t mode);

/* The program's mappings. */
int front_munmap(uint64_t addr, uint64_t len);
int front_mmap(uint64_t addr, uint64_t len, uint32_t prot);
/* Over what is there, as a mapping of the file from that page of it on. */
int front_mmap_file(uint64_t addr, uint64_t len, uint32_t prot, bool shared,
		    const struct sim_file *file, uint64_t page);
int front_mprotect(uint64_t addr, uint64_t len, uint32_t prot);
int front_zap(uint64_t addr, uint64_t len);
/* MADV_REMOVE of what is all managed. */
int front_remove(uint64_t addr, uint64_t len);
/* MADV_POPULATE_READ, _WRITE of the managed part. */
int front_populate(uint64_t addr, uint64_t len, bool write);
int front_mremap(uint64_t from, uint64_t from_len, uint64_t to_len, int flags, uint64_t to,
		 uint64_t *result);

/*
 * A fork as the parent has it, and one after which we are the child: then nobody else may run, and
 * nothing is registered, but for those who are told of forks (EVENT_FORK), who have counterparts:
 * the first of them, or 0.
 */
void front_fork_parent(void);
uf_ref front_fork_child(void);

/* COPY without a descriptor, of memory that need not be registered. *done bytes, as mm_fill. */
int front_mcopy(uint64_t dst, uint64_t src, uint64_t len, uint64_t *done);
/* MADV_PAGEOUT, and a limit on all memory together, or of what stands at addr. */
void front_pageout(uint64_t addr, uint64_t len);
int front_limit(uint64_t addr, uint64_t pages);
/* The i-th replacement policy, round and round. -ENOMEM. */
int front_policy(unsigned i);
/*
 * The contents of a page, wherever they are; NULL: it has none. When nobody holds a lock; valid
 * until the next scheduling point.
 */
const uint64_t *front_contents(uint64_t addr);

/* Is the entry a poison marker? When nobody holds a lock. */
bool front_is_poison(uint64_t addr);
/* The pagemap word of a managed page; false when the page is not managed. */
bool front_pagemap(uint64_t addr, uint64_t *word);
bool front_scan(uint64_t addr, struct mm_scan_page *page);

#define PM_PRESENT (1ull << 63)
#define PM_SWAP	   (1ull << 62)
#define PM_WP	   (1ull << 57)

#define SCAN_ACCESSED (1ull << 9)

/* Every invariant that holds whenever nobody is in the middle of something. */
void front_check(void);

#endif
