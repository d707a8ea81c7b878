/*
 * host.h - the host machine's start-up and what the front and the command may ask of it.
 *
 * This room is freestanding: raw system calls (cpu.h), no libc beyond memcpy and its kin, no errno,
 * no thread-local storage, no malloc.
 */
#ifndef UF_HOST_HOST_H
#define UF_HOST_HOST_H

#include "machine/machine.h"

#include <ucontext.h>

enum host_trap_choice {
	HOST_TRAP_AUTO,
	HOST_TRAP_GUARD,
	HOST_TRAP_MPROTECT
};

struct host_config {
	enum host_trap_choice trap;
	uint64_t warm_pages; /* frames kept warm after a drop, 0: the default */
	uint64_t budget;     /* host mappings that may be used, 0: half of what the host allows */
};

/*
 * Probe, map the arena, choose the trap, install the SIGSEGV handler's machinery (not yet the
 * handler: host_arm does, at the first use). Once. On failure returns a negative errno and *why
 * says in one sentence what is missing.
 */
int host_init(const struct host_config *config, const char **why);

/* Install the trap handler; idempotent, cheap when armed. Called when the first range is managed.
 */
int host_arm(void);
bool host_armed(void);

/*
 * An access for the program as inside a system call: mm_fault and its outcome. Entered by `entry`,
 * no locks held. While it waits for a handler no signal of the program is taken but one that ends
 * the process: then the outcome is MM_INTERRUPTED, and the process ends when this has left.
 */
int host_access(const struct mach_entry *entry, uint64_t addr, bool write);

/* "guard" or "mprotect": the trap in use. */
const char *host_trap_name(void);

/* What works here, tried out, for `userfault doctor`. Usable without host_init. */
struct host_probe {
	bool guard_anon, guard_shared, guard_keeps_contents;
	bool mprotect;
	bool memfd;
	bool pagemap_scan;
	bool procmap_query;
	uint64_t max_map_count;
};
void host_probe(struct host_probe *out);

/*
 * The program's view of SIGSEGV, which the trap handler occupies: its sigaction (struct kernel
 * layout is private; these take and give the C library's struct sigaction fields).
 */
struct host_sigaction {
	void *handler;	/* SIG_DFL 0, SIG_IGN 1, or the function */
	uint64_t flags; /* SA_* */
	uint64_t mask;	/* signals 1..64, bit n-1 */
};
void host_program_sigsegv(const struct host_sigaction *set, struct host_sigaction *old);

/*
 * Alternate stacks for threads that have none: take one from the pool and install it with
 * sigaltstack (0, or negative errno), give the current thread's back at its exit.
 */
int host_altstack_enter(void);
void host_altstack_leave(void);

/*
 * A process is about to be made that shares this memory and can be killed alone: locks have to name
 * their holders from now on. Not for one that only lives until it calls exec.
 */
void host_expect_siblings(void);

/*
 * What threads do for others while they wait for a handler; all of it with no locks held, in the
 * trap handler. Who spins calls serve when *posted is not 0, and is counted in *looking meanwhile;
 * who sleeps calls look about every 100 ms. asleep and awake are told of each sleep: the address,
 * or that it is over an event; what asleep returns is given to awake. A queued SIGSEGV with this
 * cookie calls asked. NULL: nothing any more.
 */
struct host_waiting {
	_Atomic uint32_t *posted, *looking;
	void (*serve)(void);
	void (*look)(void);
	unsigned (*asleep)(uint64_t addr, bool event);
	void (*awake)(unsigned place);
	void *cookie;
	void (*asked)(void);
};
void host_set_waiting(const struct host_waiting *w);
/* The program's signal mask, where the calling thread's is not that: inside of a gate. */
void host_mask_is(uint64_t (*fn)(uint64_t own));
/* For a thread that was interrupted for that: where it goes on. */
void host_when_asked(void (*fn)(ucontext_t *uc));

/*
 * For who spins: is spinning in somebody's way at present? So that this is known, tell of the time
 * between two looks at the clock (given: the CPU was given away between them), and of success.
 */
bool host_crowded(void);
void host_note_gap(uint64_t ns, bool given);
void host_note_spun(void);

/* From now on everybody may ask for EVENT_FORK, whatever the process is capable of. */
void host_allow_fork_events(void);

/* Is [addr, addr + len) memory of the machine's own (arena, alias, aside, altstacks)? */
bool host_owns(uint64_t addr, uint64_t len);
/* Is fd one of the machine's hidden descriptors? */
bool host_owns_fd(int fd);
/* The lowest number hidden descriptors may have; they stay above it. */
int host_fd_floor(void);
/* Move fd above the floor, close-on-exec, and remember that it is ours. The new number. */
int host_hide_fd(int fd);
/* As host_hide_fd with a duplicate; the original stays. */
int host_hide_dup(int fd);
void host_close_hidden(int fd);
/* A forked child keeps it; it closes the others. */
void host_keep_hidden(int fd);
/*
 * Before mach_fork_begin: the child will share the table of descriptors (CLONE_FILES), so neither
 * side closes what the other may need. Counts for one fork.
 */
void host_fork_shares_files(bool shares);

/*
 * Hints about files that the program maps, by the device and inode that fstat tells. Huge: the
 * ordinary pages of this memory file are to be taken for huge ones. File: a descriptor to fill it
 * with, found even when the program has closed all of its own; a duplicate is kept until the file
 * is forgotten. 0, -ENOMEM, or what is wrong with the descriptor.
 */
int host_note_huge(uint64_t dev, uint64_t ino);
/* In dev for a SysV segment, whose inode, the segment's id, may be a file's on that device, too. */
#define HOST_DEV_SYSV (1ull << 63)
void host_forget_huge(uint64_t dev, uint64_t ino);
int host_note_file(int fd);
void host_forget_file(uint64_t dev, uint64_t ino);

#endif
