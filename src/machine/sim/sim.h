/*
 * sim.h - the simulated machine: machine.h in plain memory, driven by a scheduler with a seed.
 *
 * The program's address space is a window of pages that exist only in an array: its addresses are
 * numbers, never pointers. Every page is a hole, native (the program's own memory that nobody
 * manages), or managed (a page of a map, let through as far as the software TLB says). Tests reach
 * it with sim_load and sim_store, which trap into the `fault` hook as the hardware would. Files are
 * arrays of pages and holes, shown by any number of mappings, native and managed, shared and
 * private, and reached by reads and writes beside them.
 *
 * Addresses, as mach_copy_in and mach_copy_out and so the ioctls take them:
 *   below mach_task_size()   the simulated program; only [SIM_BASE, SIM_BASE + window) can be
 * mapped bit 63 set (SIM_HOST)    a pointer of the test itself, always accessible: ioctl arguments
 * and message buffers need no simulated memory
 *
 * Two schedulers stand behind one interface (sched.h). Deterministic: threads are coroutines, every
 * mach_ function, frame copy and access is a scheduling point, and the same seed gives the same
 * run. Threads: real ones, for the thread sanitizer; the same calls, nothing replayable.
 *
 * The machine checks its own contract as it goes and ends the run through sim_fail when the code
 * above breaks it: locks (order, self-lock, held while waiting or leaving), waking a waiter that is
 * not armed, opening an incomplete frame or more than the span allows, writing a frame that is
 * open, a span that does not stand where it says, destroying a map that is still in use, half a
 * huge page, reading contents that are gone, changing a file's pages while a managed mapping shows
 * them, a swap slot freed twice or never.
 */
#ifndef UF_SIM_H
#define UF_SIM_H

#include "machine/machine.h"

#define SIM_BASE  0x10000000ull
#define SIM_ARENA (64ull << 20)

/* The address under which the simulated program's system calls find the test's own memory at p. */
#define SIM_HOST(p) ((uint64_t)(uintptr_t)(p) | (1ull << 63))

enum sim_mode {
	SIM_DETERMINISTIC,
	SIM_THREADS
};

/* How a trapped access goes on. */
enum sim_trap {
	SIM_RETRY,
	SIM_INTERRUPTED,
	SIM_UNMANAGED,
	SIM_SEGV,
	SIM_BUS
};

struct sim_config {
	enum sim_mode mode;
	uint64_t seed;
	uint64_t pages; /* size of the window */
	uint64_t arena; /* bytes of arena that may be used; 0: as much as there is */
	/* Chances in a thousand. */
	unsigned evict;	     /* the TLB forgets a page at an access or a TLB operation */
	unsigned signal;     /* a waiting trap is ended by a signal */
	unsigned stutter;    /* mach_frames_copy reads nothing although it could */
	unsigned nomem;	     /* a call that may fail with -ENOMEM does */
	unsigned swap_eio;   /* a page cannot be read back from swap, this time */
	uint64_t swap;	     /* slots of the swap store; 0: there is none */
	uint64_t max_points; /* a run of more scheduling points is a livelock; 0: no limit */
	bool may_ptrace;

	/* Serve a trapped access (mm_fault in disguise), between mach_enter and mach_leave. */
	enum sim_trap (*fault)(uint64_t addr, bool write, struct mach_trap *trap);
	/* Nobody can run. True: something was changed, look again. Deterministic only. */
	bool (*idle)(void);
	/* Called at scheduling points at which no lock is held by anybody, atomically. */
	void (*quiet)(void);
	/* The run failed: say how to replay it. */
	void (*failed)(void);
};

/* Build the world and the arena. sim_stop takes it down and tells what was left in it. */
void sim_start(const struct sim_config *config);
void sim_stop(void);

struct sim_left {
	unsigned maps;	   /* maps never destroyed */
	unsigned notifies; /* notifications never destroyed */
	unsigned slots;	   /* swap slots never freed */
};
void sim_left(struct sim_left *left);

/* ---- Threads -------------------------------------------------------------------------------- */

#define SIM_MAX_THREADS 64

/* Before sim_run, or from a running thread of the deterministic scheduler. */
unsigned sim_spawn(const char *name, void (*fn)(void *), void *arg);
/* Run all threads until every one has returned. */
void sim_run(void);
/* Wait for a thread to return. */
void sim_join(unsigned thread);

/* A scheduling point; and one that only sometimes is: see atomics.h. */
void sim_point(void);
void sim_atomic_point(void);
/* Wait while cond(arg) holds; `why` is shown when the run is stuck. */
void sim_wait_while(bool (*cond)(void *), void *arg, const char *why);
/* A number below n from the run's (threads: the thread's) generator. */
uint64_t sim_random(uint64_t n);
/* Happens with a chance of permille in a thousand. */
bool sim_chance(unsigned permille);
/* The running thread's number, from 1; 0 outside. */
unsigned sim_self(void);
/* How many scheduling points there were, and a hash of every decision and every noted value. */
uint64_t sim_points(void);
uint64_t sim_hash(void);
void sim_note(uint64_t value);
/* No scheduling between the two; nests. Everything that would block in there fails the run. */
void sim_atomic_begin(void);
void sim_atomic_end(void);
/* Does nobody hold a lock? */
bool sim_unlocked(void);

/* Report what is wrong and end the process with status 1. */
_Noreturn void sim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * What kind a lock is, by where it lies. OUTER: taken when nothing else is held, and code of the
 * program may run with it held. TOP: taken when nothing or OUTER is held. ALONE: under TOP only,
 * and only INNER under it. Plain locks, the rest, nest in a consistent order under TOP. INNER:
 * under anything, nothing under it. The last call for an address counts. With real threads only
 * what is said before they run.
 */
enum sim_lock_class {
	SIM_LOCK_PLAIN,
	SIM_LOCK_OUTER,
	SIM_LOCK_TOP,
	SIM_LOCK_ALONE,
	SIM_LOCK_INNER
};
void sim_lock_class(const void *start, size_t len, enum sim_lock_class cls);
/* Memory of locks is used anew: forget in which order they were taken. */
void sim_lock_forget(void);

/* ---- The program ---------------------------------------------------------------------------- */

enum sim_outcome {
	SIM_OK,
	SIM_GOT_SEGV,
	SIM_GOT_BUS
};

/*
 * One aligned 8-byte access by the running thread. No scheduling point stands between the access
 * and the return. sim_try is one attempt at the TLB without any trap.
 */
enum sim_outcome sim_load(uint64_t addr, uint64_t *value);
enum sim_outcome sim_store(uint64_t addr, uint64_t value);
bool sim_try_load(uint64_t addr, uint64_t *value);

/* Native memory, as mmap, mprotect, munmap and madvise(MADV_DONTNEED) of unmanaged ranges. */
void sim_mmap(uint64_t addr, uint64_t len, uint32_t prot);
void sim_mmap_kind(uint64_t addr, uint64_t len, const struct mach_vma *like);
void sim_mprotect(uint64_t addr, uint64_t len, uint32_t prot);
void sim_munmap(uint64_t addr, uint64_t len);
void sim_zap(uint64_t addr, uint64_t len);

/* ---- Files ----------------------------------------------------------------------------------- */

struct sim_file;

/*
 * A file of some pages, all holes, which can grow to `most`; page_shift 12 or 21. It lives until
 * the world stops. Its descriptor is for mach_mmap_over; dev and ino are as in struct mach_vma.
 */
struct sim_file *sim_file_new(enum mach_vma_kind kind, uint64_t size, uint64_t most,
			      uint32_t page_shift);
int sim_file_fd(const struct sim_file *file);
void sim_file_id(const struct sim_file *file, uint64_t *dev, uint64_t *ino);
uint64_t sim_file_size(const struct sim_file *file);
/* Sealed: no hole can be made. Room: most pages with contents it may have (a full tmpfs). */
void sim_file_seal(struct sim_file *file);
void sim_file_limit(struct sim_file *file, uint64_t pages);

/* A native mapping of it, as mmap. */
void sim_mmap_file(uint64_t addr, uint64_t len, uint32_t prot, bool shared, struct sim_file *file,
		   uint64_t page);
/* As pread, pwrite of one page, by somebody who maps nothing. False: past the end, or no room. */
bool sim_file_read(struct sim_file *file, uint64_t page, uint64_t *words);
bool sim_file_write(struct sim_file *file, uint64_t page, const uint64_t *words);
/* As ftruncate and fallocate: what the host does when the mm has closed the pages. */
int sim_file_truncate(struct sim_file *file, uint64_t size);
int sim_file_punch(struct sim_file *file, uint64_t page, uint64_t n);
/* Its contents, NULL for a hole. Valid until the next scheduling point. */
const uint64_t *sim_file_peek(struct sim_file *file, uint64_t page);

/* Slots of the swap store in use, and what one of them holds. Valid until the next point. */
uint64_t sim_swap_used(void);
const uint64_t *sim_swap_peek(uint64_t slot);

/* Has the host a page of the file in its table for this page? Is it a private copy? */
bool sim_file_mapped(uint64_t addr);
bool sim_file_copied(uint64_t addr);

/* A native page of anonymous memory gets these words, without an access. */
void sim_fill_native(uint64_t addr, const uint64_t *words);

/* What the TLB lets through now, for any page (native: its protection, hole: 0). */
uint32_t sim_tlb(uint64_t addr);
bool sim_is_managed(uint64_t addr);
bool sim_is_mapped(uint64_t addr);
/*
 * The contents of a page behind the TLB's back: its frame, what stands aside for it, or NULL when
 * it has none. Valid until the next scheduling point.
 */
const uint64_t *sim_peek(uint64_t addr);
/* Close everything (the host may at any time). */
void sim_evict_all(void);

/* ---- Descriptors ---------------------------------------------------------------------------- */

/* Is the notification behind fd readable? */
bool sim_readable(int fd);
/* Wait until it is, or until *stop is set. */
void sim_poll(int fd, _Atomic bool *stop);
/* The same as a read of the notification, which takes the level down. False: stopped instead. */
bool sim_take_level(int fd, _Atomic bool *stop);

#endif
