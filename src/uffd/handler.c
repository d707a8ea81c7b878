/*
 * handler.c - userfaultfd as the mm's handler: faults become messages, changes become events.
 */
#include "uffd/context.h"

#include <errno.h>

/*
 * How long a faulting thread looks for its page before it sleeps. A thread's wake-up costs tens of
 * microseconds; the machine shortens this where spinning does not pay.
 */
#define SPIN_NS 120000u

static uint64_t feature_of(unsigned event)
{
	switch ((enum mm_event)event) {
	case MM_EVENT_FORK:
		return UF_FEATURE_EVENT_FORK;
	case MM_EVENT_REMAP:
		return UF_FEATURE_EVENT_REMAP;
	case MM_EVENT_REMOVE:
		return UF_FEATURE_EVENT_REMOVE;
	case MM_EVENT_UNMAP:
		return UF_FEATURE_EVENT_UNMAP;
	}
	return 0;
}

/* What nobody is asked about by message is not late, either. */
static uint64_t handler_delay(uf_ref ref)
{
	struct uffd_ctx *ctx = uffd_at(ref);

	if (!uffd_injecting || ctx->callback || (atomic_load(&ctx->features) & UF_FEATURE_SIGBUS))
		return 0;
	return inject_delay(ctx, INJECT_FAULT, inject_next(ctx, INJECT_FAULT));
}

static void fault_message(const struct uffd_ctx *ctx, const struct mm_fault *f,
			  struct uffd_waiter *w)
{
	uint64_t features = atomic_load(&ctx->features);

	w->addr = features & UF_FEATURE_EXACT_ADDRESS ? f->addr : f->page;
	w->posted = f->posted;
	w->msg.event = UF_EVENT_PAGEFAULT;
	w->msg.arg.pagefault.flags = f->flags;
	w->msg.arg.pagefault.address = w->addr;
	if (features & UF_FEATURE_THREAD_ID)
		w->msg.arg.pagefault.ptid = mach_tid();
}

static bool handler_refuses(uf_ref ref)
{
	struct uffd_ctx *ctx = uffd_at(ref);

	return ctx->user_mode_only || (atomic_load(&ctx->features) & UF_FEATURE_SIGBUS);
}

static enum mm_posted handler_post(uf_ref ref, const struct mm_fault *f, uf_ref *waiter)
{
	struct uffd_ctx *ctx = uffd_at(ref);
	struct uffd_waiter *w;

	if ((atomic_load(&ctx->features) & UF_FEATURE_SIGBUS) ||
	    (f->kernel && handler_refuses(ref)))
		return MM_POST_SIGBUS;
	if (ctx->callback)
		return MM_POST_INLINE;
	w = uffd_waiter_new();
	if (!w)
		return MM_POST_NOMEM;
	fault_message(ctx, f, w);
	uffd_hold(ref);
	atomic_store_explicit(&ctx->fault_cpu, w->wait.cpu, memory_order_relaxed);
	mach_lock(&ctx->lock);
	uffd_enqueue(ctx, UFFD_FAULTS, w);
	uffd_unlock(ctx);
	*waiter = arena_ref(w);
	return MM_POST_WAIT;
}

/*
 * The waiter gives up: out of its queue, if nobody took it out to wake it. Was its message read?
 */
static bool withdraw(struct uffd_ctx *ctx, struct uffd_waiter *w)
{
	bool read, queued;

	mach_lock(&ctx->lock);
	queued = w->queue != UFFD_NOWHERE;
	read = w->read;
	if (queued)
		uffd_dequeue(ctx, w);
	uffd_unlock(ctx);
	if (queued)
		uffd_waiter_put(w);
	return read;
}

static bool handler_cancel(uf_ref ref, uf_ref waiter)
{
	struct uffd_waiter *w = arena_at(waiter);
	bool read = withdraw(uffd_at(ref), w);

	uffd_waiter_put(w);
	uffd_release(ref);
	return read;
}

static int handler_wait(uf_ref ref, uf_ref waiter, struct mach_trap *trap)
{
	struct uffd_waiter *w = arena_at(waiter);
	uint32_t reader = atomic_load_explicit(&uffd_at(ref)->reader_cpu, memory_order_relaxed);
	/* The one to answer waits for this very CPU. */
	bool here = reader == w->wait.cpu && reader != UINT32_MAX;
	int err = mach_wait(&w->wait, trap, here ? 0 : SPIN_NS);

	if (err)
		withdraw(uffd_at(ref), w);
	uffd_waiter_put(w);
	uffd_release(ref);
	return err;
}

static int handler_run(uf_ref ref, const struct mm_fault *f)
{
	struct uffd_ctx *ctx = uffd_at(ref);
	struct mach_entry entry;
	int err;

	mach_nest_begin(&entry);
	err = ctx->callback(f, ctx->callback_arg);
	mach_nest_end(&entry);
	return err;
}

static bool handler_async(uf_ref ref, uint32_t mode)
{
	struct uffd_ctx *ctx = uffd_at(ref);

	if (mode == MM_MODE_WP)
		return atomic_load(&ctx->features) & UF_FEATURE_WP_ASYNC;
	return atomic_load(&ctx->rwp_async);
}

static bool handler_wp_unpopulated(uf_ref ref)
{
	return atomic_load(&uffd_at(ref)->features) & UF_FEATURE_WP_UNPOPULATED;
}

static void handler_wake(uf_ref ref, uint64_t start, uint64_t len)
{
	uffd_wake_range(uffd_at(ref), 0, start, len);
}

static bool handler_wants(uf_ref ref, unsigned event)
{
	return atomic_load(&uffd_at(ref)->features) & feature_of(event);
}

static void handler_changing(uf_ref ref)
{
	atomic_fetch_add(&uffd_at(ref)->changing, 1);
}

static void handler_unchanging(uf_ref ref)
{
	atomic_fetch_sub(&uffd_at(ref)->changing, 1);
}

static void event_message(struct uf_msg *msg, unsigned event, uint64_t a, uint64_t b, uint64_t c)
{
	msg->event = (uint8_t)event;
	msg->arg.reserved.reserved1 = a;
	msg->arg.reserved.reserved2 = b;
	msg->arg.reserved.reserved3 = c;
}

static bool post_phantom(struct uffd_ctx *ctx, unsigned event, uint64_t a, uint64_t b)
{
	struct uf_msg msg = {0};

	event_message(&msg, event, a, b, 0);
	if (!uffd_enqueue_phantom(ctx, UFFD_EVENTS, &msg))
		return false;
	inject_count(ctx, MM_STAT_INJECT_STORM);
	return true;
}

/*
 * Pieces of a REMOVE event, the first twice, before the rest of it, which begins at the result: the
 * thread waits for that, so all have been read before a page goes. Pieces are as large as pages may
 * be. Context locked.
 */
static uint64_t storm_of_removes(struct uffd_ctx *ctx, uint64_t start, uint64_t end)
{
	uint64_t n = inject_next(ctx, INJECT_REMOVE), page = UF_PAGE_SIZE, pages, piece;
	const uint64_t huge = (uint64_t)1 << 21;

	if (!inject_met(INJECT_REMOVE, INJECT_STORM, n))
		return start;
	if (((start | end) & (huge - 1)) == 0)
		page = huge;
	pages = (end - start) / page;
	piece = (1 + inject_pick(INJECT_REMOVE, n, pages)) * page;
	if (!post_phantom(ctx, MM_EVENT_REMOVE, start, start + piece) || start + piece == end)
		return start;
	return post_phantom(ctx, MM_EVENT_REMOVE, start, start + piece) ? start + piece : start;
}

/* Without memory for a waiter, or when the context closes, there is nobody to wait for. */
static void handler_event(uf_ref ref, unsigned event, uint64_t a, uint64_t b, uint64_t c,
			  const struct mach_entry *entry)
{
	struct uffd_ctx *ctx = uffd_at(ref);
	struct uffd_waiter *w = uffd_waiter_new();
	bool queued = false;

	if (w) {
		mach_lock(&ctx->lock);
		queued = !ctx->closed;
		if (queued && uffd_injecting && event == MM_EVENT_REMOVE)
			a = storm_of_removes(ctx, a, b);
		event_message(&w->msg, event, a, b, c);
		if (queued)
			uffd_enqueue(ctx, UFFD_EVENTS, w);
		uffd_unlock(ctx);
		if (queued)
			mach_wait_blocked(&w->wait, entry, SPIN_NS);
		else
			uffd_waiter_put(w);
		uffd_waiter_put(w);
	}
	handler_unchanging(ref);
}

/* Kernels learned to serve one kind of memory after the other. */
static uint32_t handler_modes(uint32_t kinds)
{
	const uint32_t shmem = 1u << MACH_VMA_SHMEM, hugetlb = 1u << MACH_VMA_HUGETLB;
	uint64_t features = uffd_profile->features;
	uint32_t modes = uffd_profile->modes;

	if ((kinds & (shmem | hugetlb)) && !(features & UF_FEATURE_WP_HUGETLBFS_SHMEM))
		modes &= ~MM_MODE_WP;
	if (((kinds & shmem) && !(features & UF_FEATURE_MINOR_SHMEM)) ||
	    ((kinds & hugetlb) && !(features & UF_FEATURE_MINOR_HUGETLBFS)))
		modes &= ~MM_MODE_MINOR;
	return modes;
}

const struct mm_handler_ops uffd_handler_ops = {
	.post = handler_post,
	.cancel = handler_cancel,
	.wait = handler_wait,
	.run = handler_run,
	.async = handler_async,
	.refuses = handler_refuses,
	.wp_unpopulated = handler_wp_unpopulated,
	.modes = handler_modes,
	.hold = uffd_hold,
	.release = uffd_release,
	.forking = uffd_forking,
	.child = uffd_child,
	.wake = handler_wake,
	.delay = handler_delay,
	.wants = handler_wants,
	.changing = handler_changing,
	.unchanging = handler_unchanging,
	.event = handler_event,
};
