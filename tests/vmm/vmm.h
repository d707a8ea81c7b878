/*
 * vmm.h - a mini VMM: a guest whose memory somebody else fills through userfaultfd, as Firecracker
 * has it, and which knows at any time what must stand on each of its pages.
 *
 *   mini-vmm.c  the command line; one guest, or many
 *   memory.c    memory in regions, the userfaultfd, the message to the page server
 *   pages.c     what each page must contain
 *   vcpu.c      what a vCPU does, and whether what it saw is right
 *   kvm.c       ... in a virtual machine
 *   plain.c     ... in a thread of this process
 *   balloon.c   memory given back while the guest runs; forks and moves of memory
 *
 * It is an ordinary program that knows of no particular page server.
 */
#ifndef VMM_H
#define VMM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "image.h"

#define REGIONS	      8u
#define VCPUS	      16u
#define BATCH	      256u /* commands */
#define SCRATCH_PAGES 64u

#define STATUS_WRONG  1
#define STATUS_USAGE  2
#define STATUS_WEDGED 3
#define STATUS_SKIP   77

enum order {
	ORDER_SEQUENTIAL,
	ORDER_RANDOM,
	ORDER_FILE
};

enum check {
	CHECK_ALL,
	CHECK_TOUCHED,
	CHECK_NONE
};

enum use_kvm {
	KVM_AUTO,
	KVM_YES,
	KVM_NO
};

struct options {
	const char *socket;
	struct image image;
	uint64_t pages, offset, seed;
	uint64_t touch; /* pages of the order that are visited; 0: all */
	unsigned regions, vcpus, passes;
	unsigned writes;  /* percent of visits */
	unsigned balloon; /* percent of pages to give back */
	double seconds;	  /* go on at random for so long */
	double timeout;	  /* without progress: wedged */
	bool minor, huge, flood, forks, moves, keep_socket, device;
	bool reverse; /* regions in the message from the last to the first */
	enum order order;
	const char *order_file;
	enum check check;
	enum use_kvm kvm;
	bool allow_poison;
	const char *expect_poison; /* "17,40-63" */
	unsigned guests, at_once;
	bool quiet;
};

struct region {
	char *hva;
	uint64_t gpa, size, offset;
};

/* What a vCPU is told to do with one page. The layout is known to the guest's code in kvm.c. */
enum op {
	OP_END,
	OP_TOUCH, /* result = the word at offset arg of the page */
	OP_READ,  /* result = hash of the page */
	OP_WRITE, /* word i = arg + i * OWN_STEP */
};
#define OWN_STEP  0x9e3779b97f4a7c15ull
#define HASH_STEP 0xd6e8feb86659fd93ull
enum done {
	DONE_NOT,
	DONE_RIGHT,
	DONE_POISONED
};
struct command {
	uint64_t op;
	uint64_t gpa;
	uint64_t arg;
	uint64_t result;
	uint64_t ticks;	       /* how long it took */
	_Atomic uint64_t done; /* written last */
};
_Static_assert(sizeof(struct command) == 48, "the guest's code counts on it");

/* Times of visits, in ticks: bucket b has [2^(b/4), 2^((b+1)/4)). */
#define BUCKETS 256u
struct times {
	uint64_t count[BUCKETS], longest;
	uint64_t longest_page;
};

struct vm;

struct visit {
	uint64_t page, before;
	enum op op;
	uint32_t own;
};

struct vcpu {
	struct vm *vm;
	unsigned index;
	pthread_t thread;
	struct command *command; /* BATCH + 1 */
	struct visit visit[BATCH];
	unsigned n;
	uint64_t random;
	int kvm; /* its descriptor, or -1: plain */
	struct kvm_run *run;
	uint64_t efaults; /* pages that KVM could not reach and the VMM touched for it */
	struct times times;
	_Atomic uint64_t visits;
	uint64_t written, poisoned, raced;
	_Atomic bool executes, finished;
};

struct kvm;

struct vm {
	const struct options *options;
	struct region region[REGIONS];
	unsigned nregions;
	uint64_t pages;
	uint64_t unit; /* pages of 4 KiB in a page of the memory's */
	int uffd, memfd, socket;
	_Atomic uint64_t *page; /* pages.c */
	uint64_t *order;
	uint64_t norder;
	unsigned char *poison; /* one for each page, or NULL */
	_Atomic uint32_t next_own;

	/* A region of its own that is moved about; not the vCPUs'. */
	char *scratch, *scratch_at[2];

	struct kvm *kvm;
	struct vcpu vcpu[VCPUS + 1]; /* the last: the balloon's */
	_Atomic uint64_t next;	     /* of the order */
	_Atomic uint64_t removed, removals, moved, forked;
	_Atomic uint64_t steps; /* of the threads that are not vCPUs: they live */
	_Atomic bool stop;
	_Atomic uint64_t wrong;
	uint64_t began, ticks_began; /* ns */
};

uint64_t now_ns(void);
uint64_t ticks_now(void);
uint64_t next_random(uint64_t *state);
/* Prints a sentence with the guest's process id before it. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void give_up(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- memory.c
 */
void memory_make(struct vm *vm);
void memory_send(struct vm *vm);
char *page_hva(const struct vm *vm, uint64_t page);
uint64_t page_gpa(const struct vm *vm, uint64_t page);
/* How many pages follow in the same region, with this one. */
uint64_t page_run(const struct vm *vm, uint64_t page);
/* Gives n pages back: zero from then on. */
void memory_remove(struct vm *vm, uint64_t page, uint64_t n);

/* ---- pages.c: what must be where. A change of a page is between page_claim and page_set.
 */
enum kind {
	KIND_SOURCE,
	KIND_ZERO,
	KIND_OWN
};
#define PAGE_KIND(state)    ((enum kind)((state)&3))
#define PAGE_OWN(state)	    ((uint32_t)((state) >> 4 & 0xfffffff))
#define PAGE_VERSION(state) ((uint32_t)((state) >> 32))
uint64_t page_state(const struct vm *vm, uint64_t page);
/* Nobody else changes the page until it is released or set. False: somebody does. */
bool page_claim(struct vm *vm, uint64_t page);
/* Its contents begin to change. */
void page_change(struct vm *vm, uint64_t page);
/* They have, to something that does not last. */
void page_turn(struct vm *vm, uint64_t page, enum kind kind, uint32_t own);
/* They have. */
void page_set(struct vm *vm, uint64_t page, enum kind kind, uint32_t own);
void page_release(struct vm *vm, uint64_t page);
uint64_t own_key(uint64_t page, uint32_t own);
uint64_t page_word(const struct vm *vm, uint64_t page, uint64_t state, unsigned word);
uint64_t page_hash(const struct vm *vm, uint64_t page, uint64_t state);
bool page_must_be_poisoned(const struct vm *vm, uint64_t page, uint64_t state);
bool page_may_be_poisoned(const struct vm *vm, uint64_t page, uint64_t state);
/* Says what is there instead. */
void page_wrong(struct vm *vm, uint64_t page, uint64_t state, const char *by, uint64_t got);

/* ---- vcpu.c
 */
void vcpu_init(struct vm *vm, unsigned index);
void *vcpu_main(void *vcpu);
void vcpu_add(struct vcpu *v, enum op op, uint64_t page);
/* Executes what was added and checks what came of it. */
void vcpu_flush(struct vcpu *v);
void times_add(struct times *to, const struct times *from);
/* Ticks that the fraction q of visits did not exceed. */
double times_quantile(const struct times *times, double q);

/* ---- kvm.c, plain.c
 */
/* NULL: there is none, and why. */
struct kvm *kvm_new(struct vm *vm, const char **why);
void kvm_vcpu(struct vcpu *v);
void kvm_execute(struct vcpu *v);
void plain_execute(struct vcpu *v);
void plain_init(void);
/* Touches a page as its op would, without changing it. False: poisoned. */
bool plain_touch(char *page, bool write);
/* The signal handler's word since the last call: this thread met a poisoned page. */
bool plain_poisoned(void);

/* ---- balloon.c
 */
void *balloon_main(void *vm);
void *fork_main(void *vm);
void *move_main(void *vm);

#endif
