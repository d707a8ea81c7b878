/*
 * context.h - the inside of a context; what the files of src/uffd share.
 */
#ifndef UF_UFFD_CONTEXT_H
#define UF_UFFD_CONTEXT_H

#include "uffd/inject.h"
#include "uffd/uffd.h"

#include <userfault/abi.h>

/* Which queue a waiter stands in. */
enum uffd_queue_id {
	UFFD_NOWHERE,
	UFFD_FAULTS, /* faults nobody has read yet, oldest first: the queue of messages */
	UFFD_READ,   /* faults that were read and wait for their page */
	UFFD_EVENTS, /* events nobody has read yet */
	UFFD_GIVEN,  /* events on their way to one reader elsewhere, who may die before he has them
		      */
	UFFD_QUEUES,
};

struct uffd_waiter {
	struct mach_waiter wait;
	uf_ref next, prev;
	uf_ref wake;	/* in a list of those to be woken */
	uint32_t queue; /* enum uffd_queue_id; under the context's lock */
	uint32_t read;	/* somebody has its message; under the context's lock */
	_Atomic uint32_t
		refs;	 /* the thread that waits, and the queue or who took it out of there */
	bool phantom;	 /* nobody waits */
	uint64_t addr;	 /* as in the message: what WAKE ranges are compared with */
	uint64_t posted; /* a fault: when it began */
	/* Events that readers elsewhere are given (given.c): */
	_Atomic uint64_t *held;
	uint64_t due; /* on its way while *held is this */
	bool counted; /* in `changing`, for itself: its thread has gone on */
	bool owns_fd; /* the descriptor in a FORK message is closed with it */
	struct uf_msg msg;
};

struct uffd_queue {
	uf_ref head, tail;
	uint32_t len;
};

struct uffd_ctx {
	struct mach_lock lock;
	_Atomic uint32_t refs;
	_Atomic uint32_t pending;  /* unread faults and events */
	_Atomic uint32_t waiting;  /* faults and events in any queue */
	_Atomic uint32_t changing; /* mapping changes whose event is not read yet */
	_Atomic uint32_t given;	   /* how many stand in UFFD_GIVEN */
	_Atomic uint64_t features;
	_Atomic uint32_t initialised;
	_Atomic uint32_t rwp_async;
	bool closed;
	bool user_mode_only;
	bool watched;	    /* the descriptor's level always tells the truth */
	_Atomic bool level; /* up, or about to be; set under the lock */
	_Atomic uint32_t spinners;
	_Atomic uint32_t sleepers;
	_Atomic uint32_t bell, listeners; /* who sleeps without the descriptor */
	_Atomic uint32_t fault_cpu;	  /* where the last fault came from */
	_Atomic uint32_t reader_cpu;	  /* and where a reader last looked; UINT32_MAX: unknown */
	struct mach_notify notify;
	struct uffd_shown shown; /* or NULL all of them; under the lock */
	struct uffd_queue queue[UFFD_QUEUES];
	uf_ref space;
	int flags; /* that userfaultfd(2) was called with */
	/* fork.c: of the fork that is under way, and not used otherwise. */
	bool forking;
	uf_ref fork_next, fork_child;
	_Atomic uint64_t injected[INJECT_OPS]; /* operations so far, when something is injected */
	uffd_callback callback;
	void *callback_arg;
};

static inline struct uffd_ctx *uffd_at(uf_ref ref)
{
	return arena_at(ref);
}

static inline struct mm_space *uffd_space(const struct uffd_ctx *ctx)
{
	return arena_at(ctx->space);
}

extern const struct uffd_profile *uffd_profile;
extern const struct mm_handler_ops uffd_handler_ops;

void uffd_hold(uf_ref ref);
void uffd_release(uf_ref ref);

/* ---- fork.c -----------------------------------------------------------------------------------
 */

/* The space is about to be forked, and the context wants to be told. Space write-locked. */
void uffd_forking(uf_ref ref);
/* Its counterpart in the child; 0: it has none there. */
uf_ref uffd_child(uf_ref ref);

/* ---- queue.c. Context locked. -----------------------------------------------------------------
 */

void uffd_enqueue(struct uffd_ctx *ctx, enum uffd_queue_id q, struct uffd_waiter *w);
void uffd_enqueue_first(struct uffd_ctx *ctx, enum uffd_queue_id q, struct uffd_waiter *w);
void uffd_dequeue(struct uffd_ctx *ctx, struct uffd_waiter *w);
/* A message that nobody waits behind; false: no memory. */
bool uffd_enqueue_phantom(struct uffd_ctx *ctx, enum uffd_queue_id q, const struct uf_msg *msg);
/*
 * Release the lock, and bring the descriptor's level in line with what is pending and who looks: a
 * sleeper is told behind the lock, for it may run at once, where this thread ran, and want it.
 */
void uffd_unlock(struct uffd_ctx *ctx);

/* ---- given.c. Context locked. -----------------------------------------------------------------
 */

/*
 * The event at the head of its queue goes to a reader elsewhere, and is kept until he has it.
 * False: there is nothing to keep it with, and it stays where it is.
 */
bool uffd_give(struct uffd_ctx *ctx, struct uffd_waiter *w, const struct uffd_reader *reader);
/* It has been read, for good. */
void uffd_event_read(struct uffd_ctx *ctx, struct uffd_waiter *w);
/* Those whose readers have them are not kept any more. */
void uffd_settle_given(struct uffd_ctx *ctx);
/* Are there some on their way to another reader? Then later events wait. */
bool uffd_given_elsewhere(const struct uffd_ctx *ctx, uint64_t due);

/* Unlocked: these take the lock, and wake with it released. */

/*
 * UFFDIO_WAKE's work, and what a fill ends with: the faults, read or not, in [start, start + len).
 * by: the thread that wakes, 0: the calling one.
 */
void uffd_wake_range(struct uffd_ctx *ctx, uint32_t by, uint64_t start, uint64_t len);
/* Nobody waits any more from now on: everybody is woken, faults and events. */
void uffd_close_queues(struct uffd_ctx *ctx);

/* The messages of threads that were killed while they waited are nobody's. Unlocked. */
void uffd_drop_dead(struct uffd_ctx *ctx);

/* A waiter with two references. NULL: no memory. */
struct uffd_waiter *uffd_waiter_new(void);
void uffd_waiter_put(struct uffd_waiter *w);

#endif
