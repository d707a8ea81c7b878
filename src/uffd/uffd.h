/*
 * uffd.h - userfaultfd: contexts, registration, messages and events, the ioctls.
 *
 * A context is what a userfaultfd descriptor stands for. This room knows contexts, not descriptor
 * numbers: mapping the program's descriptors to contexts is the front's business. Every function
 * enters and leaves (mach_enter) by itself; none may be called with locks held. User addresses are
 * uint64_t and may be bad.
 */
#ifndef UF_UFFD_UFFD_H
#define UF_UFFD_UFFD_H

#include "mm/mm.h"

/* Once, before anything else; after mm_space_init. profile NULL: everything. */
struct uffd_profile;
void uffd_init(const struct uffd_profile *profile);

/*
 * What a kernel of some version offers. Bits not in `features`, `modes`, `ioctls` do not exist.
 */
struct uffd_profile {
	const char *name;    /* "linux-5.13", "all" */
	uint64_t features;   /* UFFDIO_API */
	uint64_t ioctls;     /* bit = nr, of the range ioctls REGISTER can report */
	uint64_t api_ioctls; /* reported by UFFDIO_API */
	uint32_t modes;	     /* UFFDIO_REGISTER_MODE_* */
	bool user_mode_only; /* the flag exists (5.11) */
	bool dev;	     /* /dev/userfaultfd exists (6.1) */
};
/* "linux-X.Y" (4.11 to 7.2; versions between two changes are accepted) or "all". NULL: no such. */
const struct uffd_profile *uffd_profile_find(const char *name);
/* The n-th known profile, NULL past the last. For listings. */
const struct uffd_profile *uffd_profile_at(unsigned n);

/*
 * userfaultfd(2), and USERFAULTFD_IOC_NEW, which is the same: flags O_CLOEXEC, O_NONBLOCK,
 * UFFD_USER_MODE_ONLY. *fd is a real host descriptor, known to others by `id` (mach_notify_create);
 * fd NULL: a context without one. -EINVAL, -EMFILE, -ENFILE, -ENOMEM, -EEXIST.
 */
int uffd_create(struct mm_space *space, int flags, uint64_t id, uf_ref *ctx, int *fd);

/* The last descriptor of the context is closed: release everything that waits. */
void uffd_close(uf_ref ctx);

/*
 * ioctl(2) on it. 0 or a negative errno. Not for FIONBIO, which is the host's. May wait. The second
 * form is for another process's thread.
 */
int uffd_ioctl(uf_ref ctx, unsigned long cmd, uint64_t arg);
int uffd_ioctl_by(uf_ref ctx, unsigned long cmd, uint64_t arg, uint32_t thread);

/*
 * read(2) that never blocks: bytes read (k * 32), -EAGAIN when nothing is pending, -EINVAL,
 * -EFAULT. buf is one contiguous buffer of the program's.
 */
long uffd_read(uf_ref ctx, uint64_t buf, size_t count);

/*
 * The same for a reader that wants more of it:
 *   install  for the descriptor of a child (EVENT_FORK): makes the reader a duplicate of `hidden`,
 *            with O_CLOEXEC in flags or without. Its number, or a negative errno, which is what the
 *            read gives if the event would be the first message. Called with locks held. NULL: the
 *            message stays as it is.
 *   told     the result is n, and the messages are where they were wanted; called before threads go
 *            on whose events are among them. NULL: nobody needs to know.
 *   by       the thread that reads; 0: the calling one.
 *   mayfail  it bears EAGAIN when something is to be read: it looks again, or its program does.
 *   held     for a reader that can die alone, in another process: he has the events when *held is
 *            not `due` any more. Until then they are kept: no later ones are given to anybody, and
 *            fills are refused as before. NULL: he has them when this returns.
 */
struct uffd_reader {
	int (*install)(int hidden, int flags, void *arg);
	void (*told)(long n, void *arg);
	void *arg;
	uint32_t by;
	bool mayfail;
	_Atomic uint64_t *held;
	uint64_t due; /* not 0; no two reads have the same */
};
long uffd_read_here(uf_ref ctx, uint64_t buf, size_t count, const struct uffd_reader *reader);

/* Are events on their way to a reader elsewhere? One load. */
bool uffd_given(uf_ref ctx);
/* Let go of those that have arrived. */
void uffd_look_at_given(uf_ref ctx);
/* The reader is dead. What he was given by this read comes again, before all later events. */
void uffd_give_again(uf_ref ctx, uint64_t due);

/* POLLIN, POLLERR or 0. nonblock: the descriptor has O_NONBLOCK now. */
unsigned uffd_poll(uf_ref ctx, bool nonblock);

/* Is something to be read? One load; for spin loops. */
bool uffd_ready(uf_ref ctx);

/*
 * A reader that found nothing is about to spin, or to sleep on the descriptor until it is readable.
 * spin_begin tells faulting threads that somebody looks at the queue right now; sleep_begin returns
 * false, and changes nothing, when there is something to read after all. Each begin has its end.
 */
void uffd_spin_begin(uf_ref ctx);
void uffd_spin_end(uf_ref ctx);
bool uffd_sleep_begin(uf_ref ctx);
void uffd_sleep_end(uf_ref ctx, bool taken);

/*
 * The same for one who sleeps for this context alone: not on the descriptor, but in uffd_listen,
 * until it is rung, a signal's handler has run (-EINTR), or time is up (-ETIMEDOUT). ring lets all
 * who listen look again.
 */
bool uffd_listen_begin(uf_ref ctx, uint32_t *heard);
int uffd_listen(uf_ref ctx, uint32_t heard, uint64_t timeout_ns);
void uffd_listen_end(uf_ref ctx);
void uffd_ring(uf_ref ctx);

/* Where the thread ran whose fault was read last; spinning on that CPU keeps it from running. */
uint32_t uffd_fault_cpu(uf_ref ctx);
/* The same for faulting threads: a reader begins to wait on this CPU (UINT32_MAX: unknown). */
void uffd_looks_from(uf_ref ctx, uint32_t cpu);

/*
 * Somebody may now poll the descriptor natively, behind our back (epoll, another process): from now
 * on its level always tells whether something is to be read.
 */
void uffd_watch(uf_ref ctx);

/*
 * The hidden source of the descriptor's level, for sleeping on: it stays what it is when the
 * program reuses the number of its own. Until uffd_close.
 */
int uffd_hidden_fd(uf_ref ctx);
/* As mach_notify_held. */
int uffd_held(uf_ref ctx);

/*
 * Words for who cannot look into this space: how many messages are unread, and a bell
 * (mach_bell_ring) for those whom *sleepers counts. NULL: nobody can see any any more.
 */
struct uffd_shown {
	_Atomic uint32_t *pending, *bell, *sleepers;
};
void uffd_show(uf_ref ctx, const struct uffd_shown *words);

/*
 * Forks, for contexts that are told of them (EVENT_FORK). Between mm_fork_begin and the end there
 * is a list of those: list and next go through it. In the child, behind mm_fork_child, a context's
 * counterpart (0: without memory there is none) gets a descriptor, which the parent is to have.
 * done ends it, on both sides. Then, in the parent, event posts the event with a hidden descriptor
 * of its own of that (negative: nothing has come of it), and waits until it is read; once for each
 * that done has returned the list of.
 */
uf_ref uffd_fork_list(void);
uf_ref uffd_fork_next(uf_ref ctx);
uf_ref uffd_fork_child(uf_ref ctx);
int uffd_fork_name(uf_ref child, uint64_t id, int *fd);
uf_ref uffd_fork_done(void);
void uffd_fork_event(uf_ref ctx, int fd);
/* What userfaultfd(2) was called with. */
int uffd_flags(uf_ref ctx);

/* The "pending", "total" and "API" lines of fdinfo; returns the length. */
size_t uffd_fdinfo(uf_ref ctx, char *buf, size_t size);

/*
 * A callback instead of a reader: runs on the faulting thread with no locks and signals blocked but
 * SIGSEGV and SIGBUS; resolves the fault with uffd_fill and friends; returns 0, or a negative errno
 * for SIGBUS. The context needs no UFFDIO_API. arg is passed on.
 */
typedef int (*uffd_callback)(const struct mm_fault *fault, void *arg);
int uffd_set_callback(uf_ref ctx, uffd_callback fn, void *arg);

#endif
