/*
 * machine.h - everything the mm and userfaultfd need of the world below them.
 *
 * Two machines implement this file: `host` (this process on Linux) and `sim` (a simulated MMU under
 * a deterministic scheduler). A program links exactly one of them. Nothing above this line makes a
 * system call, knows a signal or a host descriptor, or looks at a clock.
 *
 * Conventions: functions return 0 or a negative errno. A "page" is UF_PAGE_SIZE bytes. Addresses of
 * the managed program are uint64_t, pointers of our own are pointers. Unless a comment says "may
 * wait", a function does not block on anything but short internal locks, and is safe in the trap
 * handler.
 */
#ifndef UF_MACHINE_H
#define UF_MACHINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UF_PAGE_SHIFT 12
#define UF_PAGE_SIZE  ((uint64_t)1 << UF_PAGE_SHIFT)
#define UF_PAGE_MASK  (~(UF_PAGE_SIZE - 1))

/* Protection bits, with the values of PROT_*. */
#define UF_PROT_READ  1u
#define UF_PROT_WRITE 2u
#define UF_PROT_EXEC  4u

/* One past the highest address a program can map; TASK_SIZE. */
uint64_t mach_task_size(void);

/* ---- Arena -------------------------------------------------------------------------------------
 * One zeroed, sparse stretch of memory for all bookkeeping; src/mm/arena.c allocates in it. Set
 * once by the machine's own start-up, before anything else here is called.
 */
extern char *mach_arena_base;
extern uint64_t mach_arena_size; /* bytes, at most 64 GiB (references are 32-bit, 16-byte units) */

/* The whole pages in [p, p + len) hold nothing any more: give their memory back, read as zero. */
void mach_arena_trim(void *p, size_t len);

/* ---- Entering and leaving ----------------------------------------------------------------------
 * Between the two no handler of the program's signals runs on this thread, so that none can meet a
 * lock its own thread holds. Nests. The trap handler is already inside.
 */
struct mach_entry {
	uint64_t saved[2];
};
void mach_enter(struct mach_entry *e);
void mach_leave(const struct mach_entry *e);

/*
 * Around code that runs inside the trap handler and may itself fault on managed memory, or call
 * what enters (a handler's callback). No locks held. Begin and end nest.
 */
void mach_nest_begin(struct mach_entry *e);
void mach_nest_end(const struct mach_entry *e);

/* Nanoseconds, monotonic, cheap (no system call). */
uint64_t mach_now(void);

/* The calling thread's id and its thread group's, as the kernel numbers them. */
uint32_t mach_tid(void);
uint32_t mach_tgid(void);

/* May this caller ask for EVENT_FORK (CAP_SYS_PTRACE in the ABI)? */
bool mach_may_ptrace(void);

/* ---- Locks -------------------------------------------------------------------------------------
 * Zero is unlocked. Held only between mach_enter and mach_leave. Not recursive. They live in the
 * arena, and sleep in the kernel when contended for long.
 */
struct mach_lock {
	_Atomic uint32_t word;
};
void mach_lock(struct mach_lock *l);
void mach_unlock(struct mach_lock *l);

struct mach_rwlock {
	_Atomic uint32_t word; /* readers, or the writer bit */
	_Atomic uint32_t writers_waiting;
};
void mach_read_lock(struct mach_rwlock *l);
void mach_read_unlock(struct mach_rwlock *l);
void mach_write_lock(struct mach_rwlock *l);
void mach_write_unlock(struct mach_rwlock *l);

/* ---- Waiting -----------------------------------------------------------------------------------
 * One thread waits on one waiter. The waiter lives in the arena. Protocol: mach_wait_init, put it
 * where wakers find it, re-check the condition, mach_wait. mach_wake may come at any time after
 * init, from any thread, at most once per init, and does not touch the waiter after the waiting
 * thread can have seen it.
 */
struct mach_trap; /* the trapped access being served; opaque to the mm */

struct mach_waiter {
	_Atomic uint32_t state;
	uint32_t tid, tgid;
	uint32_t cpu;
	uint64_t since; /* when it fell asleep; the machine's own */
};
void mach_wait_init(struct mach_waiter *w);

/*
 * Wait until woken: spins for up to spin_ns where that makes sense on this machine now, then
 * sleeps. With a trap, a signal that the trapped program would take ends the wait with -EINTR (the
 * caller then takes the waiter out of its queue and lets the trap return; the signal is delivered
 * after that). Without one only death ends it. Returns 0 when woken. May wait; no locks held.
 */
int mach_wait(struct mach_waiter *w, struct mach_trap *trap, uint32_t spin_ns);
void mach_wake(struct mach_waiter *w);

/*
 * May threads here be killed alone, being another process's in the same memory? Then: has that
 * happened to the one that waits? Nobody else is left to touch its waiter.
 */
bool mach_waiters_die(void);
bool mach_waiter_dead(const struct mach_waiter *w);

/*
 * The same without a trap, for a thread that the outside is to see blocked (state D). No handler of
 * a signal runs; a signal that ends the program does, if it could before mach_enter filled in
 * `entry`; NULL: only what cannot be blocked.
 */
void mach_wait_blocked(struct mach_waiter *w, const struct mach_entry *entry, uint32_t spin_ns);

/* Do nothing for so long, whatever signals come. May wait; no locks held. */
void mach_delay(uint64_t ns);

/* One turn of a spin loop (a pause; the scheduler's turn on sim). */
void mach_relax(void);

/* ---- Notification ------------------------------------------------------------------------------
 * The descriptor a reader of a userfaultfd polls. `level` up makes it readable. create gives the
 * program's descriptor in *fd (flags: O_CLOEXEC, O_NONBLOCK of the host), which the program may
 * dup, send and close as it likes; the machine keeps the source of the level, and no duplicate.
 * `id`, not 0, is what others recognise the descriptor by, at most 63 bits, in use by no other one.
 * Errors: -EMFILE, -ENFILE, -ENOMEM, -EEXIST (the id is in use). set is called with the owning
 * context's lock held; up when up, or down when down, is allowed.
 */
struct mach_notify {
	int32_t fd;    /* the source of the level, which is readable when it is up; or -1 */
	uint32_t told; /* the machine can tell when nobody has the descriptor any more */
	uint64_t id;
};
int mach_notify_create(struct mach_notify *n, int flags, uint64_t id, int *fd);
/*
 * Does anybody, in whatever process, have a descriptor of it? 1, 0, or -EOPNOTSUPP: this machine
 * cannot tell.
 */
int mach_notify_held(const struct mach_notify *n);
void mach_notify_set(struct mach_notify *n, bool level);
/*
 * Readable for one who sleeps on it: cheaper than set, for a descriptor nobody else looks at. Any
 * number of times, without a lock.
 */
void mach_notify_poke(struct mach_notify *n);
void mach_notify_destroy(struct mach_notify *n);
/* Another hidden descriptor of what `hidden` is one of, or a negative errno; and its end. */
int mach_hidden_dup(int hidden);
void mach_hidden_close(int hidden);

/*
 * A bell: a word to sleep on where the descriptor need not become readable, at half the cost. wait
 * sleeps while the word is `heard`, at most timeout_ns: 0 rung, -ETIMEDOUT, -EINTR (a signal's
 * handler has run). May wait, in the program's normal context; no locks held.
 */
int mach_bell_wait(_Atomic uint32_t *bell, uint32_t heard, uint64_t timeout_ns);
void mach_bell_ring(_Atomic uint32_t *bell);

/* ---- The program's memory ----------------------------------------------------------------------
 * Copies between our memory and the program's, at any address it may have named. -EFAULT when the
 * program's side cannot be accessed. They go through the fault path like the program's own accesses
 * and may wait for a handler; no locks held.
 */
int mach_copy_in(void *dst, uint64_t src, size_t len);
int mach_copy_out(uint64_t dst, const void *src, size_t len);

/* What the host has mapped. `kind` says which memory type it could become. */
enum mach_vma_kind {
	MACH_VMA_ANON,	  /* private anonymous, heap and stacks included */
	MACH_VMA_DEVZERO, /* private mapping of /dev/zero */
	MACH_VMA_SHMEM,	  /* shared anonymous, memfd, tmpfs, SysV; shared or private */
	MACH_VMA_HUGETLB,
	MACH_VMA_FILE,	  /* a regular file */
	MACH_VMA_GMEM,	  /* a guest_memfd of KVM */
	MACH_VMA_SECRET,  /* memfd_secret */
	MACH_VMA_SPECIAL, /* vdso, vvar, device memory, droppable, our own: never */
};
struct mach_vma {
	uint64_t start, end;
	uint32_t prot;
	enum mach_vma_kind kind;
	bool shared;
	bool maywrite; /* false: a shared mapping that can never be made writable */
	bool growsdown;
	uint64_t dev, ino;   /* of the file, 0 without one */
	uint64_t file_page;  /* where in the file `start` is, in UF_PAGE_SIZE */
	uint32_t page_shift; /* of HUGETLB, real or emulated; else UF_PAGE_SHIFT */
};
/* The first mapping that ends above addr; -ENOENT when there is none; -EMFILE, -ENFILE, -ENOMEM. */
int mach_vma_next(uint64_t addr, struct mach_vma *vma);
/* Is the private anonymous mapping at addr locked in memory (mlock)? */
bool mach_vma_locked(uint64_t addr);

/* Plain host calls on ranges of the program, made under the space's write lock. */
int mach_munmap(uint64_t addr, uint64_t len);
/* fixed mapping over a range; arguments as mmap(2) */
int mach_mmap_over(uint64_t addr, uint64_t len, int prot, int flags, int fd, uint64_t off);

/* ---- Maps: a run of managed pages --------------------------------------------------------------
 * A map is one run of `npages` pages: where their contents live (an extent of frames, or a file of
 * the program), and the TLB's state for each page. Frame i of the map belongs to page i. A span
 * says where a stretch of the map's pages stands in the program now: an area is one span; after
 * mremap or splits a map is covered by several.
 */
enum mach_map_kind {
	MACH_MAP_FRAMES,  /* an extent of the machine's own; what stood there before is aside */
	MACH_MAP_SHARED,  /* in place: the program's shared mapping of a file, whose pages it shows
			   */
	MACH_MAP_PRIVATE, /* in place: its private mapping of a file; the host copies on write */
};

struct mach_map {
	uint64_t npages;
	uint64_t extent; /* first page in the frames file (host), or of the frame array (sim) */
	uint64_t alias;	 /* address of the hidden alias of frame 0; 0 for PRIVATE */
	uint64_t aside;	 /* where earlier contents stand (address of page 0), or 0 */
	uint64_t aside_pages;  /* how many pages of the aside range are still mapped there */
	uint32_t tlb;	       /* arena reference: the machine's state per page */
	uint32_t id;	       /* the machine's own index of this map */
	uint64_t chunk_pages;  /* the machine's own granule */
	struct mach_lock lock; /* innermost lock; the machine's */
	uint32_t flags;	       /* the machine's own */
	enum mach_map_kind kind;
	uint32_t page_shift; /* the granule of opening and closing: 21 for real huge pages */
	uint64_t file;	     /* the machine's own: which file SHARED and PRIVATE show */
	uint64_t file_page;  /* the page of the file that page 0 shows */
};

struct mach_span {
	struct mach_map *map;
	uint64_t addr;	/* the program's address of page `first` */
	uint64_t first; /* first page of the map that is in the span */
	uint64_t npages;
	uint32_t prot; /* what the area allows: the most any page in the span can have */
};

/*
 * Take over private anonymous memory that the host has mapped at [addr, addr + npages pages), all
 * inside one host mapping: what stood there is moved aside (map->aside != 0 if there was anything),
 * the range becomes a mapping of a new extent, every page closed. No access of another thread may
 * be lost or see a half-done state: it traps, and finds the space locked. Called with the space's
 * write lock held. Errors: -ENOMEM; then nothing has changed.
 */
int mach_map_adopt(struct mach_map *map, uint64_t addr, uint64_t npages, uint32_t prot);

/*
 * Take over a mapping of a file in place: it stays where and what it is, with every page closed,
 * and nothing of it is lost. vma describes the mapping; shared: MACH_MAP_SHARED. The same promise
 * to other threads as mach_map_adopt. Errors: -ENOMEM; -EINVAL when this machine has no way to fill
 * such a mapping; then nothing has changed.
 */
int mach_map_adopt_file(struct mach_map *map, uint64_t addr, uint64_t npages,
			const struct mach_vma *vma);

/*
 * Make a new map in place at [addr, addr + npages pages), closed, replacing what is there: the file
 * of `like`, from its page `first` on, which may lie beyond its end. Write lock held. -ENOMEM.
 */
int mach_map_extend(struct mach_map *map, const struct mach_map *like, uint64_t first,
		    uint64_t addr, uint64_t npages);

/*
 * Does the program's range still show the map? Not when the program, or its C library, has unmapped
 * it without a word to anybody, and perhaps mapped something else there. Slow: for rare occasions.
 */
bool mach_map_stands(const struct mach_span *span);
/* What stood at these addresses is gone in that way. Write lock held. */
void mach_map_left(uint64_t addr, uint64_t npages);

/* All pages of the map are gone from the program (unmapped): release extent, alias, aside. */
void mach_map_destroy(struct mach_map *map);

/*
 * The host's mremap of a managed stretch [from, from + npages pages) to `to` (what is there is
 * replaced), TLB state and all. The old range becomes unmapped, or, with keep, stays taken for the
 * caller to give it a new map with mach_map_fresh, so that nobody else's mapping lands there
 * meanwhile. Write lock held. -ENOMEM.
 */
int mach_map_move(const struct mach_span *from, uint64_t to, bool keep);

/* Make a new empty map at [addr, addr + npages pages), replacing what is there. Write lock held. */
int mach_map_fresh(struct mach_map *map, uint64_t addr, uint64_t npages, uint32_t prot);

/* A free range of the program's address space of len bytes, mapped PROT_NONE; -ENOMEM. */
int mach_reserve(uint64_t hint, uint64_t len, uint64_t *addr);

/* ---- The TLB -----------------------------------------------------------------------------------
 * open: let accesses of `prot` (a subset of span->prot, not 0) through for pages [page, page + n).
 * The host may let through less, or nothing, at any time; never more. Frames must be complete.
 * limit: afterwards nothing beyond `prot` is let through; prot 0 closes. Complete for every thread
 * when it returns. Both may be called under a page-table lock. -ENOMEM from open when the host has
 * no room even after closing other pages. limit does not fail.
 *
 * open_set: the same for those pages whose bit is set (bit i: page + i). The others are left as
 * they are, or get less. All of them are the caller's, as if they were opened.
 */
#define MACH_SET_PAGES 4096 /* the most that n may be */
int mach_tlb_open(const struct mach_span *span, uint64_t page, uint64_t n, uint32_t prot);
int mach_tlb_open_set(const struct mach_span *span, uint64_t page, uint64_t n, const uint64_t *bits,
		      uint32_t prot);
void mach_tlb_limit(const struct mach_span *span, uint64_t page, uint64_t n, uint32_t prot);

/* ---- Frames ------------------------------------------------------------------------------------
 * Contents of pages, named by a span: those of a PRIVATE map can only be reached where the program
 * has them. A span with addr 0 stands nowhere any more. The caller sees to it that pages
 * [page, page + n) are closed and that nobody else writes them. On a map with large pages
 * (page_shift) both are multiples of one.
 *
 * copy takes from the memory of this process, the program's included, and does not wait: it returns
 * the number of whole pages copied, or, when not even the first could be, -EFAULT (the source
 * cannot be read right now, or the page lies past the end of the file) or -ENOMEM. On SHARED it
 * makes pages of the file, complete before a managed mapping of it can see them; on PRIVATE private
 * copies.
 */
long mach_frames_copy(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src);
/* The same from memory of ours, which is always there. */
long mach_frames_write(const struct mach_span *span, uint64_t page, uint64_t n, const void *buf);
/* The same with zeroes; all or an error: -EFAULT (past the end of the file), -ENOMEM. */
int mach_frames_zero(const struct mach_span *span, uint64_t page, uint64_t n);
/* Takes the contents from src, which has nothing there afterwards. -ENOMEM, -EFAULT. */
int mach_frames_move(const struct mach_span *dst, uint64_t dpage, const struct mach_span *src,
		     uint64_t spage, uint64_t n);
/*
 * The same from [src, src + n pages), private anonymous memory of the program that is not managed
 * and not locked, in one host mapping. No write of another thread is lost. As many pages as have
 * contents, from the first on: how many; 0: the first has none. -ENOMEM; -EBUSY: shared by fork;
 * -EINVAL: not in this way.
 */
long mach_frames_take(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src);
/*
 * The contents are not needed any more: the next fill of FRAMES finds a warm frame or a hole,
 * unspecified; PRIVATE shows the file again; the pages of SHARED stay in the file.
 */
void mach_frames_drop(const struct mach_span *span, uint64_t page, uint64_t n);
/* The same for FRAMES, and the memory goes back to the system at once. */
void mach_frames_give(const struct mach_span *span, uint64_t page, uint64_t n);
/* Copy one page's contents to buf. -EFAULT: it has none. */
int mach_frames_read(const struct mach_span *span, uint64_t page, void *buf);
/* Our own pointer to a frame of FRAMES or SHARED, valid while the map lives. */
void *mach_frame(struct mach_map *map, uint64_t page);

/* ---- Files -------------------------------------------------------------------------------------
 * What SHARED and PRIVATE maps show. Bit i of bits[] (n at most 512) stands for page + i.
 */

/* Which pages the file has contents for. Returns how many of the n lie before its end. */
uint64_t mach_file_lookup(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits);
/* Which pages the host has in the program's mapping, open or closed. */
void mach_pages_mapped(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits);
/* Which of them are the program's private copies. */
void mach_pages_private(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits);
/* Make a hole in the file (MADV_REMOVE). -EINVAL, -EPERM (sealed), -ENOMEM. Closed in our maps. */
int mach_file_punch(const struct mach_span *span, uint64_t page, uint64_t n);
/* Advice that is the host's affair, for its mapping of these pages, as madvise(2). */
int mach_file_advise(const struct mach_span *span, uint64_t page, uint64_t n, int advice);

/* ---- Swap --------------------------------------------------------------------------------------
 * Where pages go that leave memory. out saves a closed page of FRAMES and names its slot (at least
 * MACH_SWAP_FIRST); -ENOSPC when there is no store or it is full. in brings it back into the page's
 * frame and frees the slot; -EIO: it could not be read, and the slot stays.
 */
#define MACH_SWAP_FIRST 2
int mach_swap_out(const struct mach_span *span, uint64_t page, uint64_t *slot);
int mach_swap_in(const struct mach_span *span, uint64_t page, uint64_t slot);
void mach_swap_free(uint64_t slot);

/* ---- Aside -------------------------------------------------------------------------------------
 * Earlier contents of an adopted range. query sets bit i of bits[] (n at most 512) where page + i
 * stands aside; draw copies such pages into their frames and forgets them aside (-ENOMEM); drop
 * forgets.
 */
void mach_aside_query(struct mach_map *map, uint64_t page, uint64_t n, uint64_t *bits);
int mach_aside_draw(const struct mach_span *span, uint64_t page, uint64_t n);
void mach_aside_drop(struct mach_map *map, uint64_t page, uint64_t n);

/* ---- Fork --------------------------------------------------------------------------------------
 * A forked child has a copy of the arena and of all maps; what either side writes from then on the
 * other never sees. begin is called with the space's write lock held and the arena locked, before
 * the process is forked; then parent in the parent, also when the fork failed, and child in the
 * child, where no lock of ours is held by anybody.
 *
 * From begin on the pages of FRAMES maps are shared by fork, and let through for reading at most,
 * whatever open is asked for; until the map is unshared. mach_frames_* do that by themselves where
 * they change contents; who is about to let the program write calls unshare. It may be called under
 * a page-table lock. -ENOMEM.
 */
void mach_fork_begin(void);
void mach_fork_parent(void);
void mach_fork_child(void);
bool mach_fork_pending(void); /* is this the child, which has not called mach_fork_child yet? */
/* In the child: release a write lock that the forking thread took, and for which nobody waits. */
void mach_fork_unlock(struct mach_rwlock *l);
int mach_map_unshare(const struct mach_span *span);
/*
 * How many of the n pages, from the first on, nobody shares by fork: those written since, or filled
 * since. Of pages that only one process is left with, both answers are right.
 */
uint64_t mach_pages_unshared(const struct mach_span *span, uint64_t page, uint64_t n);

/* How many host mappings the managed ranges take now, and how many they may. */
void mach_usage(uint64_t *mappings, uint64_t *budget);

#endif
