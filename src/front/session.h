/*
 * session.h - the ledger of a session: one sparse memory file ("userfault-session") that all
 * processes of the session share, and everything that they share.
 *
 * `userfault run` makes it and PROGRAM inherits it at a high descriptor number, without
 * close-on-exec; the environment names it, USERFAULT_SESSION=FD:INODE. A program that only links
 * the library makes one at its first userfaultfd, for itself and the children it forks.
 *
 *   header     what this is; sums of processes whose slots were used again
 *   slot[]     one for each process that uses a userfaultfd, made by itself or by another
 *   door[]     one for each slot: what its contexts have to say, and cells for requests
 *
 * Addresses, page tables and queues are private to each address space. Who holds a descriptor of
 * another address space sends its operation to the owner's door, and the owner does it. So nobody
 * ever waits for a lock that another process holds, and the ledger has none but those that the host
 * takes from the dead: locks on bytes of the file, held by an open file description (F_OFD_SETLK).
 * A process opens one of its own, through /proc/self/fd/N, closed on exec and by a forked child,
 * and with it locks byte number SLOT while it lives: a slot without its lock belongs to nobody.
 *
 * Nothing in here is believed: indices, lengths and states are checked where they are used, and a
 * field that another process may change is read once.
 *
 * To look only: map it (O_RDONLY will do), check the header with session_valid, look at slots below
 * `high`; one is alive when F_OFD_GETLK with F_WRLCK on its byte answers something other than
 * F_UNLCK.
 */
#ifndef UF_FRONT_SESSION_H
#define UF_FRONT_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "mm/stats.h"

#define SESSION_FILE_NAME "userfault-session"
#define SESSION_ENV	  "USERFAULT_SESSION"

#define SESSION_MAGIC	0x6e6f697373657366ull
#define SESSION_VERSION 4u
#define SESSION_SLOTS	4096u

struct session_header {
	uint64_t magic;
	uint32_t version; /* every other field may move with it */
	uint32_t nslots;
	uint32_t slot_size, ncells;
	uint64_t slots_at;	      /* where in the file slot 0 is */
	uint64_t doors_at, door_size; /* and the door of slot 0, and how far to the next one */
	uint64_t size;		      /* of the file */
	uint64_t id;		      /* random */
	uint64_t made;		      /* seconds since 1970 */
	uint32_t maker;		      /* its pid */
	_Atomic uint32_t high;	      /* slots from here on were never used */
	char program[64];	      /* what was run, ends with 0 */

	/* Of processes with SLOT_OWNER whose slot went to another one. */
	_Atomic uint32_t departed;
	_Atomic uint32_t departed_traps;		     /* bit 0: guard, bit 1: mprotect */
	_Atomic uint64_t departed_mappings, departed_budget; /* of the one that used most */
	struct mm_stats departed_stats;
};

enum session_slot_state {
	SLOT_FREE,
	SLOT_SETUP, /* somebody has it, whose fields are not all filled in */
	SLOT_LIVE,  /* if its lock is held; else what a process left behind */
};

enum session_slot_role {
	SLOT_OWNER = 1,	  /* it has made userfaultfds */
	SLOT_HANDLER = 2, /* it has used one of another address space */
};

enum session_service {
	SERVICE_NONE, /* there is no service thread: a SIGSEGV with SESSION_COOKIE starts it */
	SERVICE_STARTING,
	SERVICE_AWAKE,
	SERVICE_ASLEEP, /* on `kick` */
};

/* A thread that sleeps until its fault is resolved, or its event is read. */
struct session_waiter {
	_Atomic uint32_t tid; /* 0: free */
	uint32_t event;	      /* 0: a fault; 1: an event that nobody has read */
	uint64_t addr;	      /* the address it touched; 0 for an event */
	uint64_t since;	      /* CLOCK_MONOTONIC, ns */
};
#define SESSION_WAITERS 48u

struct session_slot {
	_Atomic uint32_t state;	     /* enum session_slot_state */
	_Atomic uint32_t generation; /* one more with each process that gets the slot */
	_Atomic uint32_t pid;	     /* as its own pid namespace numbers it */
	_Atomic uint32_t roles;	     /* SLOT_OWNER, SLOT_HANDLER */
	uint64_t started; /* field 22 of /proc/PID/stat: tells one pid from its next use */
	uint64_t pid_ns;  /* inode of its pid namespace */
	char comm[16];	  /* ends with 0 */
	char trap[16];	  /* "guard" or "mprotect", ends with 0 */

	_Atomic uint32_t kick;	  /* one more with each request; the service thread sleeps on it */
	_Atomic uint32_t service; /* enum session_service */
	_Atomic uint32_t posted;  /* requests nobody has taken on yet (a hint) */
	_Atomic uint32_t looking; /* threads that look at `posted` right now (a hint) */
	_Atomic uint32_t service_tid, service_cpu; /* cpu + 1 where it was put; 0: anywhere */
	_Atomic uint32_t door_used;		   /* there may be memory to give back */

	_Atomic uint64_t contexts; /* userfaultfds open now */
	_Atomic uint64_t ranges;   /* areas registered now */
	_Atomic uint64_t pages;	   /* and their pages */
	_Atomic uint64_t requests; /* served for others */

	_Atomic uint32_t waiting; /* threads asleep, also those that found no room in waiter[] */
	uint32_t pad;
	struct session_waiter waiter[SESSION_WAITERS];

	struct mm_stats stats;
} __attribute__((aligned(4096)));

/*
 * ---- Doors
 */

#define SESSION_CONTEXTS 16384u /* of one address space at a time */
#define SESSION_CELLS	 8u
#define SESSION_DATA	 (2u << 20) /* one huge page */

enum session_context_flag {
	CONTEXT_INITIALISED = 1, /* UFFDIO_API has been done */
	CONTEXT_BY_WRITE = 2,	 /* opened for write(2) to resolve faults */
};

/* What others may see of a context without asking. `name` is 24 bits of its descriptor's id. */
struct session_context {
	_Atomic uint32_t name;	  /* 0: none */
	_Atomic uint32_t flags;	  /* enum session_context_flag */
	_Atomic uint32_t pending; /* unread messages */
	_Atomic uint32_t bell;	  /* one more when there are some; readers elsewhere sleep on it */
	_Atomic uint32_t sleepers;
	uint32_t pad[3];
};

enum session_op {
	OP_READ = 1, /* at most `len` bytes of messages into the data */
	OP_IOCTL,    /* cmd; the struct is in args. COPY: `len` bytes of its source in the data */
	OP_WATCH,    /* the descriptor's level is to be true from now on */
	OP_FDINFO,   /* the text into the data; its length is the result */
	OP_SEND_FD,  /* descriptor `arg`, which a message named, to the socket named at _NAME_AT */
	OP_DROP_FD,  /* descriptor `arg` has arrived, or is not wanted */
};

enum session_cell_state {
	CELL_FREE,
	CELL_CLAIMED, /* the requester fills it in */
	CELL_POSTED,
	CELL_RUNNING, /* a thread of the owner has it */
	CELL_DONE,    /* the requester reads it, and frees it */
	CELL_TAKEN,   /* it is somebody's, whose `tid` is not in it yet */
};

/*
 * A request. `word` tells both what state it is in and whose it is: a cell that is not FREE, and
 * whose requester's slot is dead, is anybody's to free, unless the owner has it (RUNNING), or it
 * holds messages that nobody will read any more (`unread`): then the owner frees it, and gives them
 * again. The rest belongs to the requester until POSTED and from DONE on, and to the owner in
 * between.
 *
 * The messages of a READ are the reader's when he says so, by taking `unread` back to 0: when his
 * program has them. For the descriptors in them he uses the same cell meanwhile.
 */
struct session_cell {
	_Atomic uint32_t word;	   /* session_cell_word; the requester sleeps on it */
	_Atomic uint32_t sleeping; /* it does */
	_Atomic uint32_t decided;  /* what the answer is, though not all of it has been done */
	uint32_t tid;		   /* its thread, in its own pid namespace */
	uint32_t op;
	uint32_t context; /* struct session_context's name */
	uint32_t cmd;
	uint32_t cpu; /* where the requester runs */
	uint64_t len;
	uint64_t arg;
	int64_t result;
	uint64_t args[8]; /* an ioctl's struct, in and out */
	uint64_t posted;  /* when; CLOCK_MONOTONIC, about */
	_Atomic uint64_t
		unread; /* the number of the READ whose messages are in the data; 0: none */
	uint8_t pad[4096 - 8 * 4 - 5 * 8 - 8 * 8];
	uint8_t data[SESSION_DATA];
};

#define CELL_STATE 7u

/* Where in the data OP_SEND_FD has its name: behind any messages. */
#define SESSION_NAME_AT (SESSION_DATA - 256u)
/* Descriptors in messages that readers elsewhere have yet to fetch, at a time. */
#define SESSION_FETCHED 64u

/* No real result: in the output field of an ioctl's struct until the owner writes one. */
#define SESSION_UNWRITTEN 0x6e6f7477726974ull

static inline uint32_t session_cell_word(enum session_cell_state state, uint32_t slot,
					 uint32_t generation)
{
	return (uint32_t)state | (slot & 0xfff) << 4 | (generation & 0xfff) << 16;
}

static inline uint32_t session_cell_slot(uint32_t word)
{
	return word >> 4 & 0xfff;
}

static inline uint32_t session_cell_generation(uint32_t word)
{
	return word >> 16 & 0xfff;
}

struct session_door {
	struct session_context context[SESSION_CONTEXTS];
	struct session_cell cell[SESSION_CELLS];
};

#define SESSION_SLOTS_AT ((uint64_t)4096)
#define SESSION_DOORS_AT (SESSION_SLOTS_AT + SESSION_SLOTS * sizeof(struct session_slot))
#define SESSION_SIZE	 (SESSION_DOORS_AT + SESSION_SLOTS * sizeof(struct session_door))

_Static_assert(sizeof(struct session_header) <= SESSION_SLOTS_AT, "the header is one page");
_Static_assert(sizeof(struct session_slot) == 4096, "a slot is one page");
_Static_assert(sizeof(struct session_cell) == 4096 + SESSION_DATA, "whole pages");

/*
 * ---- A descriptor's id --------------------------------------------------------------------------
 * A userfaultfd is an epoll instance that watches its context's eventfd, and its open file
 * description holds a write lock on one byte of the inode that all such files share: the byte's
 * number is the id (/proc/PID/fdinfo/N has it, in the line "lock:", also when the owner is dead).
 * The lock is gone when the last descriptor is, in whatever process.
 *
 *   bit 62..48  tag of the session   47..36  slot   35..24  its generation   23..0  context
 */
#define SESSION_TAG_BITS  15
#define CONTEXT_NAME_BITS 24

static inline uint32_t session_tag(uint64_t session_id)
{
	uint32_t tag = (uint32_t)(session_id >> 17) & 0x7fff;

	return tag ? tag : 1;
}

static inline uint64_t session_fd_id(uint32_t tag, uint32_t slot, uint32_t generation,
				     uint32_t context)
{
	return (uint64_t)tag << 48 | (uint64_t)(slot & 0xfff) << 36 |
	       (uint64_t)(generation & 0xfff) << 24 | (context & 0xffffff);
}

static inline uint32_t session_fd_tag(uint64_t id)
{
	return (uint32_t)(id >> 48) & 0x7fff;
}

static inline uint32_t session_fd_slot(uint64_t id)
{
	return (uint32_t)(id >> 36) & 0xfff;
}

static inline uint32_t session_fd_generation(uint64_t id)
{
	return (uint32_t)(id >> 24) & 0xfff;
}

static inline uint32_t session_fd_context(uint64_t id)
{
	return (uint32_t)id & 0xffffff;
}

/* In the SIGSEGV that asks a process to start its service thread: si_code SI_QUEUE, si_value. */
#define SESSION_COOKIE ((void *)0x7566732d646f6f72ull)

/* What the header of every ledger of this version begins with, for an initialiser. */
#define SESSION_LAYOUT                                                                             \
	.magic = SESSION_MAGIC, .version = SESSION_VERSION, .nslots = SESSION_SLOTS,               \
	.slot_size = sizeof(struct session_slot), .ncells = SESSION_CELLS,                         \
	.slots_at = SESSION_SLOTS_AT, .doors_at = SESSION_DOORS_AT,                                \
	.door_size = sizeof(struct session_door), .size = SESSION_SIZE

enum session_check {
	SESSION_GOOD,
	SESSION_FOREIGN, /* not a ledger at all */
	SESSION_OLD,	 /* of another version of Userfault */
};

static inline enum session_check session_valid(const struct session_header *h, uint64_t size)
{
	if (size < SESSION_SLOTS_AT || h->magic != SESSION_MAGIC)
		return SESSION_FOREIGN;
	if (h->version != SESSION_VERSION || h->nslots != SESSION_SLOTS ||
	    h->slot_size != sizeof(struct session_slot) || h->ncells != SESSION_CELLS ||
	    h->slots_at != SESSION_SLOTS_AT || h->doors_at != SESSION_DOORS_AT ||
	    h->door_size != sizeof(struct session_door) || h->size != SESSION_SIZE ||
	    size < SESSION_SIZE)
		return SESSION_OLD;
	return SESSION_GOOD;
}

#endif
