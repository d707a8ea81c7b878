/*
 * mm.h - address spaces, areas, page tables, faults.
 *
 *   space ── areas (sorted, disjoint) ──▶ table ── leaves of 512 entries
 *                │                          └──── map: frames and TLB (machine.h)
 *                └── handler: who is asked about faults (userfaultfd is one)
 *
 * An area is a stretch of the program's addresses with one set of attributes. It looks into a table
 * at an offset; splitting, merging and moving areas leaves tables alone. A table is the page table
 * of one adopted run of memory and dies with its last area.
 *
 * Lock order (take from top to bottom; never upwards):
 *
 *   store lock             one fetch or writeback of a table's type at a time
 *   space->lock            read: faults, fills; write: whatever changes areas or long ranges
 *     ├── context lock     (src/uffd) queues of waiters and events of one userfaultfd
 *     └── leaf lock        entries of 512 pages, and the TLB state that goes with them
 *           └── machine locks (map->lock), arena lock
 *
 * The context lock and a leaf lock are never held together. Nobody waits for a handler, an event or
 * the program's memory with any of them held.
 *
 * Every function here is called between mach_enter and mach_leave. Ranges are [start, start + len),
 * page-aligned, not empty, below mach_task_size(): the callers' edge has checked it.
 */
#ifndef UF_MM_MM_H
#define UF_MM_MM_H

#include "mm/arena.h"
#include "mm/entry.h"
#include "mm/stats.h"
#include "mm/type.h"

#define MM_LEAF_ENTRIES 512
#define MM_STORE_LOCKS	16

struct mm_leaf {
	mm_entry entry[MM_LEAF_ENTRIES];
};

struct mm_leaf_slot {
	struct mach_lock lock;
	uf_ref leaf; /* 0: not made yet; its pages are empty, or stand aside */
};

struct mm_table {
	struct mach_map map;
	uf_ref slots; /* array of struct mm_leaf_slot */
	uint64_t nslots;
	uint64_t live;		   /* pages that areas still cover */
	uint32_t type;		   /* index in mm_types */
	_Atomic uint32_t pins;	   /* who uses it without holding the space */
	uint64_t dev, ino;	   /* the file that in-place maps show; 0: none */
	uint64_t file_page;	   /* its page that page 0 shows */
	_Atomic uint64_t resident; /* pages in memory that count against a limit */
	uint64_t limit;		   /* most of them, 0: no limit of its own */
	_Atomic uf_ref marks;	   /* reclaim.c's own, 0 until it has been here */
	uint64_t owner;		   /* the type's own */
};

/* Base pages in a page of the type that the view shows. */
static inline uint64_t mm_view_group(const struct mm_view *v)
{
	return (uint64_t)1 << (mm_types[v->table->type]->page_shift - UF_PAGE_SHIFT);
}

/* Attributes of an area beyond protection and registration. */
#define MM_AREA_SHARED	  1u
#define MM_AREA_MAYWRITE  2u
#define MM_AREA_GROWSDOWN 4u
#define MM_AREA_LOCKED	  8u
#define MM_AREA_DONTFORK  16u /* a forked child has a hole there */
#define MM_AREA_WIPEFORK  32u /* or no page */

struct mm_area {
	uint64_t start, end;
	uint64_t pgoff; /* page of the table that stands at start */
	uf_ref table;
	uf_ref handler; /* the handler's own object (a context), 0 when not registered */
	uint32_t prot;
	uint32_t flags;
	uint32_t modes; /* MM_MODE_*, 0 when not registered */
	uint32_t pad;
};

struct mm_space {
	struct mach_rwlock lock;
	uf_ref areas; /* sorted array of uf_ref to struct mm_area */
	uint32_t nareas, cap;
	_Atomic uint32_t active;   /* nonzero while there are areas */
	_Atomic uint32_t forker;   /* the thread that forks at this moment; 0: none */
	uint32_t parent;	   /* and the one that did so to make this space */
	_Atomic uint64_t changes;  /* areas that came, went, or changed their attributes */
	uint64_t pages;		   /* pages under management */
	_Atomic uint32_t options;  /* MM_OPTION_* */
	_Atomic uint64_t resident; /* pages in memory that count against the limit */
	_Atomic uint64_t limit;	   /* most of them, 0: no limit */
	uf_ref reclaimer;	   /* reclaim.c's own, 0 until there is a limit */
	struct mach_lock store_lock[MM_STORE_LOCKS];
	_Atomic uint32_t store_owner[MM_STORE_LOCKS]; /* thread id, 0: nobody */
	struct mm_stats *stats;			      /* never NULL */
	struct mm_stats own_stats;
};

/* Beyond what any kernel does; off unless asked for. */
#define MM_OPTION_FILE_FAULTS 1u /* regular files can be registered in every mode */
#define MM_OPTION_MOVE_ANY    2u /* UFFDIO_MOVE between all types that can give and take a page */

/* The space of this process (this simulated world). Set by mm_space_init. */
extern struct mm_space *mm_space_self;

/* Space in the arena; stats may be NULL (then its own). Makes it mm_space_self. -ENOMEM. */
int mm_space_init(struct mm_stats *stats);

/* ---- Faults ---------------------------------------------------------------------------------- */

struct mm_access {
	uint64_t addr; /* exact */
	uint64_t ip;   /* the instruction, 0: not known */
	bool write;
	bool exec;   /* an instruction fetch */
	bool kernel; /* made by mach_copy_in/out on the program's behalf, as inside a system call */
	struct mach_trap *trap; /* for mach_wait; NULL: not interruptible */
};

enum mm_outcome {
	MM_RETRY,	/* something changed: do the access again */
	MM_INTERRUPTED, /* a signal waits: let the trap return; the access faults again later */
	MM_UNMANAGED,	/* no area here: not ours */
	MM_SIGSEGV,	/* the area forbids the access (SEGV_ACCERR) */
	MM_SIGBUS,	/* poison, SIGBUS mode, or no memory (BUS_ADRERR) */
};

/* Serve a trapped access. May wait for a handler. No locks held. */
enum mm_outcome mm_fault(struct mm_space *space, const struct mm_access *access);

/*
 * A system call is about to access [start, start + len) for the program: open what is there
 * already, as far as the program itself could access it. What takes more stays as it is and makes
 * the answer false: a page to be made, a mark to be lifted (the call may never come that far), a
 * handler to be asked, unless it refuses system calls anyway. No locks held.
 */
bool mm_make_ready(struct mm_space *space, uint64_t start, uint64_t len, bool write);

/* Why a handler is asked: UFFD_PAGEFAULT_FLAG_* values. */
#define MM_FAULT_WRITE 1u
#define MM_FAULT_WP    2u
#define MM_FAULT_MINOR 4u
#define MM_FAULT_RWP   8u

struct mm_fault {
	uint64_t addr;	 /* exact */
	uint64_t page;	 /* masked to the type's page */
	uint64_t size;	 /* of that page */
	uint32_t flags;	 /* MM_FAULT_* */
	bool kernel;	 /* as in mm_access */
	uint64_t posted; /* mach_now() */
	struct mach_trap *trap;
};

enum mm_posted {
	MM_POST_WAIT,	/* queued: re-check, then wait() */
	MM_POST_INLINE, /* call run() with no locks held */
	MM_POST_SIGBUS, /* the access gets SIGBUS */
	MM_POST_NOMEM,
};

/*
 * Who is asked about faults. One table, set once by the room that implements it. `handler` is the
 * area's. post, hold and release are called with the space locked (read or write); they take the
 * handler's own lock. wait, run and the event_ functions are called with no lock and may wait.
 */
struct mm_handler_ops {
	enum mm_posted (*post)(uf_ref handler, const struct mm_fault *f, uf_ref *waiter);
	/* Not needed after all: take the waiter back. Was the handler asked already? */
	bool (*cancel)(uf_ref handler, uf_ref waiter);
	/* 0 woken, -EINTR a signal waits. Releases the waiter either way. */
	int (*wait)(uf_ref handler, uf_ref waiter, struct mach_trap *trap);
	/* The in-process handler: 0 resolved, or a negative errno: SIGBUS. */
	int (*run)(uf_ref handler, const struct mm_fault *f);
	/* Are protection faults of this kind (MM_MODE_WP, MM_MODE_RWP) lifted without asking? */
	bool (*async)(uf_ref handler, uint32_t mode);
	/* Does a system call's access that it would be asked about fail instead? */
	bool (*refuses)(uf_ref handler);
	/* Does WRITEPROTECT mark empty anonymous entries (WP_UNPOPULATED)? */
	bool (*wp_unpopulated)(uf_ref handler);
	/* The modes (MM_MODE_*) that it offers for memory of these kinds (1 << MACH_VMA_*). */
	uint32_t (*modes)(uint32_t kinds);
	/* Keep the handler's object alive while no lock is held. */
	void (*hold)(uf_ref handler);
	void (*release)(uf_ref handler);
	/* The space is about to be forked, and the handler wants FORK events. Write lock held. */
	void (*forking)(uf_ref handler);
	/*
	 * In the child of a fork: who is asked there about what this handler was asked about. 0:
	 * nobody. No lock is held; nobody else is there.
	 */
	uf_ref (*child)(uf_ref handler);
	/* Something in the range changed: wake its waiters. */
	void (*wake)(uf_ref handler, uint64_t start, uint64_t len);

	/* How long to wait, with no locks, before a fault is posted, in ns. */
	uint64_t (*delay)(uf_ref handler);
	/* Does the handler want this event (enum mm_event)? */
	bool (*wants)(uf_ref handler, unsigned event);
	/* A mapping change begins that will end in an event: fills fail EAGAIN until it is read. */
	void (*changing)(uf_ref handler);
	/* It came to nothing: undo one changing() without an event. */
	void (*unchanging)(uf_ref handler);
	/* Send it, wait until read, undo one changing(). a, b, c as in the message. */
	void (*event)(uf_ref handler, unsigned event, uint64_t a, uint64_t b, uint64_t c,
		      const struct mach_entry *entry);
};

/* Values of UFFD_EVENT_*. */
enum mm_event {
	MM_EVENT_FORK = 0x13,
	MM_EVENT_REMAP,
	MM_EVENT_REMOVE,
	MM_EVENT_UNMAP
};

void mm_set_handler_ops(const struct mm_handler_ops *ops);

/* ---- What a handler's owner does to a space -------------------------------------------------- */

/*
 * UFFDIO_REGISTER's work: order of checks as abi.md section 2. async_only: the context has WP_ASYNC
 * (wider kinds with WP alone). *types_mask gets the ioctls all areas of the range can serve.
 * Errors: -EINVAL, -EPERM, -EBUSY, -ENOMEM.
 */
int mm_register(struct mm_space *space, uf_ref handler, uint64_t start, uint64_t len,
		uint32_t modes, uint64_t *ops_mask);
int mm_unregister(struct mm_space *space, uf_ref handler, uint64_t start, uint64_t len);
/* Every area of this handler: as unregister, for close. */
void mm_forget_handler(struct mm_space *space, uf_ref handler);

enum mm_source {
	MM_SOURCE_COPY,
	MM_SOURCE_ZERO,
	MM_SOURCE_CONTINUE,
	MM_SOURCE_POISON
};

/* Where a fill, or a move, is to fail: behind so many bytes, whole pages; err 0: nowhere. */
struct mm_stop {
	uint64_t at;
	int err;
};

struct mm_fill {
	enum mm_source source;
	uint64_t dst, len;
	uint64_t src; /* COPY */
	bool wp;      /* leave it write-protected */
	bool any;     /* the destination need not be registered, nor managed yet */
	uint32_t by;  /* the thread it is for, in a trace; 0: the calling one */
	struct mm_stop stop;
};

/*
 * The one loop. Fills page by page, *done bytes; stops at the first error and returns it (0 when
 * all is done). -ENOENT, -EEXIST, -EFAULT, -EINVAL, -ENOMEM as abi.md. May wait for a source that
 * is itself missing, with no lock held, and starts again on a re-found area. changing() of the
 * handler is the caller's to check, through `may`, before each page run: nonzero stops the loop.
 */
int mm_fill(struct mm_space *space, const struct mm_fill *fill, int (*may)(uf_ref), uf_ref may_arg,
	    uint64_t *done);

/* UFFDIO_WRITEPROTECT and UFFDIO_RWPROTECT. mode: MM_MODE_WP or MM_MODE_RWP. -ENOENT, -ENOMEM. */
int mm_protect(struct mm_space *space, uint64_t start, uint64_t len, uint32_t mode, bool set);

/*
 * UFFDIO_MOVE. -EINVAL, -ENOENT, -EEXIST, -EBUSY, -ENOMEM; *done bytes. handler 0: the destination
 * need not be registered, nor managed yet. stop NULL: nowhere.
 */
int mm_move(struct mm_space *space, uf_ref handler, uint64_t dst, uint64_t src, uint64_t len,
	    bool allow_holes, const struct mm_stop *stop, uint64_t *done);

/* ---- What the program does to its memory ------------------------------------------------------
 * Each does what the system call of that name does to the managed part of the range and leaves
 * unmanaged memory to the caller, except munmap and mmap_fixed, which do the whole range. Events
 * are sent and waited for. Return 0 or a negative errno as the system call.
 */

/* Is any of [start, start + len) managed? Cheap when nothing is. */
bool mm_managed(struct mm_space *space, uint64_t start, uint64_t len);
/*
 * Cut [start, end) at borders of managed memory: the first piece is [start, *piece_end), managed or
 * not. For callers that do unmanaged pieces themselves.
 */
bool mm_piece(struct mm_space *space, uint64_t start, uint64_t end, uint64_t *piece_end);

/*
 * What may send events takes what the caller's mach_enter noted: a signal that ends the program
 * ends it while it waits for an event to be read, too. NULL: none does.
 */
int mm_munmap(struct mm_space *space, uint64_t start, uint64_t len, const struct mach_entry *entry);
int mm_mmap_fixed(struct mm_space *space, uint64_t start, uint64_t len, int prot, int flags, int fd,
		  uint64_t off, const struct mach_entry *entry);
int mm_mprotect(struct mm_space *space, uint64_t start, uint64_t len, uint32_t prot);
/* advice as madvise(2); -EINVAL for those the type cannot do. */
int mm_madvise(struct mm_space *space, uint64_t start, uint64_t len, int advice,
	       const struct mach_entry *entry);
/* As mremap(2); flags MREMAP_*; *result the new address. old range is all managed. */
int mm_mremap(struct mm_space *space, uint64_t old, uint64_t old_len, uint64_t new_len, int flags,
	      uint64_t new_addr, uint64_t *result, const struct mach_entry *entry);
/* Sets or clears the locked mark; locking faults the pages in first. */
int mm_mlock(struct mm_space *space, uint64_t start, uint64_t len, bool lock, bool on_fault);
/*
 * Pages [first, first + npages) of a file are about to change: they go away, or others come in
 * their place. Closes what areas show of them, calls change(arg), which does it and returns 0 or a
 * negative errno, and if it succeeded takes them out of the page tables; private copies with
 * private_too (truncation), of huge pages always. change runs with the space locked and must not
 * touch managed memory. Returns what change returned.
 */
int mm_file_change(struct mm_space *space, uint64_t dev, uint64_t ino, uint64_t first,
		   uint64_t npages, bool private_too, int (*change)(void *arg), void *arg);
/* Does any area show this file? Cheap when nothing is managed. */
bool mm_file_managed(struct mm_space *space, uint64_t dev, uint64_t ino);

/*
 * map(arg, &len) has the host map len bytes (it may change len) where it chooses, and returns the
 * address or a negative errno, as this does. Areas that we thought to be there are stale, and
 * dropped without events; nobody registers what has just been mapped before that.
 */
long mm_land(struct mm_space *space, uint64_t len, long (*map)(void *arg, uint64_t *len),
	     void *arg);
/* The same for what is known to be gone. */
void mm_forget_range(struct mm_space *space, uint64_t start, uint64_t len);

/* ---- Fork --------------------------------------------------------------------------------------
 * The address space is copied by the host's fork, which is the caller's to do, between begin and
 * parent (also when it fails) or child. From begin on the thread holds the space; it may touch
 * managed memory and fork, nothing else. The child counts in `stats` (NULL: its own), and has no
 * handler but where the handler's owner gives it one (mm_handler_ops.child); marks of protection
 * are gone there.
 */
void mm_fork_begin(struct mm_space *space);
void mm_fork_parent(struct mm_space *space);
void mm_fork_child(struct mm_space *space, struct mm_stats *stats);
/* Count there from now on (NULL: on its own), beginning with what the space has counted by itself.
 */
void mm_space_count(struct mm_space *space, struct mm_stats *stats);

/* ---- What the program can ask ---------------------------------------------------------------- */

/* /proc/PID/pagemap words for n pages from addr, all in one managed piece. */
int mm_pagemap(struct mm_space *space, uint64_t addr, uint64_t n, uint64_t *out);

/* PAGEMAP_SCAN categories of one managed page, and what area it is in. */
struct mm_scan_page {
	uint64_t categories; /* PAGE_IS_* */
	bool wp_async;	     /* WP-registered with an async handler */
};
int mm_scan_page(struct mm_space *space, uint64_t addr, struct mm_scan_page *out);
/* PM_SCAN_WP_MATCHING on a page that mm_scan_page found in a wp_async area. */
int mm_scan_protect(struct mm_space *space, uint64_t addr, uint64_t len);

/* One line of what there is, for the curious; the n-th area; -ENOENT past the last. */
struct mm_area_info {
	uint64_t start, end;
	uint32_t prot, modes, flags;
	const char *type;
};
int mm_area_info(struct mm_space *space, uint32_t n, struct mm_area_info *out);

/* How many areas are registered with a handler, and their pages. */
uint32_t mm_count_registered(struct mm_space *space, uint64_t *pages);

/* Check every invariant that can be checked from inside; NULL, or what is wrong. Tests only. */
const char *mm_check(struct mm_space *space);

#endif
