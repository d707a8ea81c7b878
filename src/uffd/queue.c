/*
 * queue.c - the queue of waiters is the queue of messages.
 */
#include "uffd/context.h"

#include "mm/trace.h"

#include <errno.h>
#include <poll.h>

/* Messages copied out at a time. */
#define READ_BATCH 16

static void count_pending(struct uffd_ctx *ctx, int n)
{
	uint32_t pending = atomic_fetch_add(&ctx->pending, (uint32_t)n) + (uint32_t)n;

	if (ctx->shown.pending)
		atomic_store(ctx->shown.pending, pending);
}

static bool unread(enum uffd_queue_id q)
{
	return q == UFFD_FAULTS || q == UFFD_EVENTS;
}

/* Between two that stand there, or at an end. */
static void insert(struct uffd_ctx *ctx, enum uffd_queue_id q, struct uffd_waiter *w, uf_ref prev,
		   uf_ref next)
{
	struct uffd_queue *queue = &ctx->queue[q];
	uf_ref ref = arena_ref(w);

	w->queue = q;
	w->next = next;
	w->prev = prev;
	if (prev)
		((struct uffd_waiter *)arena_at(prev))->next = ref;
	else
		queue->head = ref;
	if (next)
		((struct uffd_waiter *)arena_at(next))->prev = ref;
	else
		queue->tail = ref;
	queue->len++;
	atomic_fetch_add(&ctx->waiting, 1);
	if (q == UFFD_GIVEN)
		atomic_fetch_add(&ctx->given, 1);
	if (!unread(q))
		return;
	count_pending(ctx, 1);
	/* Edge-triggered epoll wants an edge for each message: the level goes up once more. */
	if (ctx->watched)
		ctx->level = false;
}

void uffd_enqueue(struct uffd_ctx *ctx, enum uffd_queue_id q, struct uffd_waiter *w)
{
	insert(ctx, q, w, ctx->queue[q].tail, 0);
}

void uffd_enqueue_first(struct uffd_ctx *ctx, enum uffd_queue_id q, struct uffd_waiter *w)
{
	insert(ctx, q, w, 0, ctx->queue[q].head);
}

void uffd_dequeue(struct uffd_ctx *ctx, struct uffd_waiter *w)
{
	struct uffd_queue *queue = &ctx->queue[w->queue];
	struct uffd_waiter *next = arena_at(w->next), *prev = arena_at(w->prev);

	if (next)
		next->prev = w->prev;
	else
		queue->tail = w->prev;
	if (prev)
		prev->next = w->next;
	else
		queue->head = w->next;
	queue->len--;
	atomic_fetch_sub(&ctx->waiting, 1);
	if (w->queue == UFFD_GIVEN)
		atomic_fetch_sub(&ctx->given, 1);
	if (unread(w->queue))
		count_pending(ctx, -1);
	w->queue = UFFD_NOWHERE;
}

/* Its only reference is the queue's. */
bool uffd_enqueue_phantom(struct uffd_ctx *ctx, enum uffd_queue_id q, const struct uf_msg *msg)
{
	struct uffd_waiter *w = arena_alloc(sizeof(*w));

	if (!w)
		return false;
	atomic_store(&w->refs, 1);
	w->phantom = true;
	w->msg = *msg;
	if (msg->event == UF_EVENT_PAGEFAULT)
		w->addr = msg->arg.pagefault.address;
	w->posted = mach_now();
	uffd_enqueue(ctx, q, w);
	return true;
}

/*
 * Raising costs a system call, so it is left out while a reader looks at the queue anyway, and
 * where nobody sleeps on the descriptor. True: a sleeper is to be told.
 */
static bool update_level(struct uffd_ctx *ctx)
{
	bool pending = atomic_load(&ctx->pending) != 0;
	bool seen = ctx->watched || (atomic_load(&ctx->sleepers) && !atomic_load(&ctx->spinners));

	if (ctx->notify.fd < 0)
		return false;
	if (pending && !atomic_load(&ctx->level) && seen) {
		atomic_store(&ctx->level, true);
		if (ctx->watched)
			mach_notify_set(&ctx->notify, true);
		return !ctx->watched;
	}
	if (!pending && atomic_load(&ctx->level)) {
		atomic_store(&ctx->level, false);
		mach_notify_set(&ctx->notify, false);
	}
	return false;
}

/* A poke that comes late leaves a level up with nothing to read: the next sleeper takes it down. */
void uffd_unlock(struct uffd_ctx *ctx)
{
	bool tell = update_level(ctx);
	bool ring = atomic_load(&ctx->pending) && atomic_load(&ctx->listeners) &&
		    !atomic_load(&ctx->spinners);
	struct uffd_shown shown = ctx->shown;

	if (!shown.pending || !atomic_load(&ctx->pending) || !atomic_load(shown.sleepers))
		shown.bell = NULL;
	mach_unlock(&ctx->lock);
	if (shown.bell)
		mach_bell_ring(shown.bell);
	if (ring)
		mach_bell_ring(&ctx->bell);
	if (tell)
		mach_notify_poke(&ctx->notify);
}

struct uffd_waiter *uffd_waiter_new(void)
{
	struct uffd_waiter *w = arena_alloc(sizeof(*w));

	if (w) {
		atomic_store(&w->refs, 2);
		mach_wait_init(&w->wait);
	}
	return w;
}

void uffd_waiter_put(struct uffd_waiter *w)
{
	if (atomic_fetch_sub(&w->refs, 1) != 1)
		return;
	if (w->owns_fd)
		mach_hidden_close((int)w->msg.arg.fork.ufd);
	arena_free(w, sizeof(*w));
}

/* Move a queue's waiters in [start, end) to the front of a list linked by `wake`. */
static uf_ref take_range(struct uffd_ctx *ctx, enum uffd_queue_id q, uint64_t start, uint64_t end,
			 uf_ref list)
{
	struct uffd_waiter *w = arena_at(ctx->queue[q].head), *next;

	for (; w; w = next) {
		next = arena_at(w->next);
		if (w->addr >= start && w->addr < end) {
			uffd_dequeue(ctx, w);
			w->wake = list;
			list = arena_ref(w);
		}
	}
	return list;
}

/* Waking may be a system call, and whoever wakes up may want the lock: it is not held. */
static void wake_list(uf_ref list)
{
	struct uffd_waiter *w;

	while ((w = arena_at(list)) != NULL) {
		list = w->wake;
		if (!w->phantom)
			mach_wake(&w->wait);
		uffd_waiter_put(w);
	}
}

void uffd_wake_range(struct uffd_ctx *ctx, uint32_t by, uint64_t start, uint64_t len)
{
	uf_ref list;

	if (atomic_load(&ctx->waiting) == 0)
		return;
	mach_lock(&ctx->lock);
	list = take_range(ctx, UFFD_FAULTS, start, start + len, 0);
	list = take_range(ctx, UFFD_READ, start, start + len, list);
	uffd_unlock(ctx);
	if (list)
		mm_trace_wake(by, start, len);
	wake_list(list);
}

void uffd_close_queues(struct uffd_ctx *ctx)
{
	uf_ref list = 0;

	mach_lock(&ctx->lock);
	ctx->closed = true;
	for (enum uffd_queue_id q = UFFD_FAULTS; q < UFFD_QUEUES; q++)
		list = take_range(ctx, q, 0, ~0ull, list);
	uffd_unlock(ctx);
	wake_list(list);
}

/* Messages on their way to a reader. */
struct batch {
	struct uf_msg msg[READ_BATCH];
	uint64_t posted[READ_BATCH]; /* of faults: when they began */
};

/*
 * A fault's message is being read: perhaps it is there once more, and perhaps whoever waits is sent
 * round again. True: nobody waits for it any more; who goes on is on the list.
 */
static bool inject_message(struct uffd_ctx *ctx, struct uffd_waiter *w, uf_ref *wake)
{
	uint64_t n;

	if (!w->phantom) {
		n = inject_next(ctx, INJECT_MESSAGE);
		if (inject_met(INJECT_MESSAGE, INJECT_TWICE, n) &&
		    uffd_enqueue_phantom(ctx, UFFD_FAULTS, &w->msg))
			inject_count(ctx, MM_STAT_INJECT_TWICE);
		if (!inject_met(INJECT_MESSAGE, INJECT_WAKE_UP, n))
			return false;
		inject_count(ctx, MM_STAT_INJECT_WAKE);
	}
	w->wake = *wake;
	*wake = arena_ref(w);
	return true;
}

/*
 * Take the next message: faults first, then events. A read event lets its thread go on. 0: there is
 * none; 1; or why not.
 */
static int take_message(struct uffd_ctx *ctx, struct uf_msg *msg, uint64_t *posted, uf_ref *wake,
			const struct uffd_reader *reader)
{
	struct uffd_waiter *w = arena_at(ctx->queue[UFFD_FAULTS].head);

	if (w) {
		*msg = w->msg;
		*posted = w->posted;
		w->read = true;
		uffd_dequeue(ctx, w);
		if (uffd_injecting && inject_message(ctx, w, wake))
			return 1;
		uffd_enqueue(ctx, UFFD_READ, w);
		return 1;
	}
	w = arena_at(ctx->queue[UFFD_EVENTS].head);
	if (!w || uffd_given_elsewhere(ctx, reader->due))
		return 0;
	*msg = w->msg;
	if (msg->event == UF_EVENT_FORK && reader->install) {
		int fd = reader->install((int)msg->arg.fork.ufd, ctx->flags, reader->arg);

		if (fd < 0)
			return fd;
		msg->arg.fork.ufd = (uint32_t)fd;
	}
	if (!reader->held || !uffd_give(ctx, w, reader))
		uffd_event_read(ctx, w);
	w->wake = *wake;
	*wake = arena_ref(w);
	return 1;
}

/* How many; or, where there would be one, why there is none. */
static long take_batch(struct uffd_ctx *ctx, struct batch *b, size_t max, uf_ref *wake,
		       const struct uffd_reader *reader)
{
	size_t n = 0;
	int more = 1;

	mach_lock(&ctx->lock);
	uffd_settle_given(ctx);
	while (n < max && (more = take_message(ctx, &b->msg[n], &b->posted[n], wake, reader)) > 0)
		n++;
	uffd_unlock(ctx);
	return n || more > 0 ? (long)n : more;
}

long uffd_read(uf_ref ref, uint64_t buf, size_t count)
{
	static const struct uffd_reader plain;

	return uffd_read_here(ref, buf, count, &plain);
}

static void trace_batch(const struct batch *b, size_t n, uint32_t by)
{
	for (size_t i = 0; i < n; i++)
		if (b->msg[i].event == UF_EVENT_PAGEFAULT)
			mm_trace_message(by, b->posted[i], b->msg[i].arg.pagefault.address,
					 b->msg[i].arg.pagefault.flags);
}

/* Is there, for once, nothing to read? Then it comes anew: whoever polls sees another edge. */
static bool inject_read(struct uffd_ctx *ctx, bool mayfail)
{
	uint64_t n = inject_next(ctx, INJECT_READ), delay = inject_delay(ctx, INJECT_READ, n);
	struct mach_entry entry;

	if (delay)
		mach_delay(delay);
	if (!mayfail || !inject_met(INJECT_READ, INJECT_EAGAIN, n))
		return false;
	inject_count(ctx, MM_STAT_INJECT_EMPTY);
	mach_enter(&entry);
	mach_lock(&ctx->lock);
	if (ctx->watched)
		ctx->level = false;
	uffd_unlock(ctx);
	mach_leave(&entry);
	return true;
}

/* Threads whose events have been read go on at the end: one of them may end this process. */
long uffd_read_here(uf_ref ref, uint64_t buf, size_t count, const struct uffd_reader *reader)
{
	struct uffd_ctx *ctx = uffd_at(ref);
	const size_t size = sizeof(struct uf_msg);
	size_t want = count / size, done = 0;
	struct mach_entry entry;
	struct batch batch;
	uf_ref wake = 0;
	int err = 0;
	long n;

	if (!atomic_load(&ctx->initialised) || want == 0)
		return -EINVAL;
	if (!uffd_ready(ref) || (uffd_injecting && inject_read(ctx, reader->mayfail)))
		return -EAGAIN;
	mach_enter(&entry);
	do {
		n = take_batch(ctx, &batch, want - done < READ_BATCH ? want - done : READ_BATCH,
			       &wake, reader);
		if (n > 0) {
			err = mach_copy_out(buf + done * size, batch.msg, (size_t)n * size);
			trace_batch(&batch, (size_t)n, reader->by);
		}
		if (!err && n > 0)
			done += (size_t)n;
		else if (n < 0)
			err = (int)n;
	} while (!err && n == READ_BATCH && done < want);
	n = done ? (long)(done * size) : err ? err : -EAGAIN;
	if (reader->told)
		reader->told(n, reader->arg);
	wake_list(wake);
	mach_leave(&entry);
	return n;
}

/* Two references: the dead thread's, and the queue's. */
static void bury(struct uffd_ctx *ctx, uf_ref list)
{
	struct uffd_waiter *w;

	while ((w = arena_at(list)) != NULL) {
		bool fault = w->msg.event == UF_EVENT_PAGEFAULT;

		list = w->next;
		uffd_waiter_put(w);
		uffd_waiter_put(w);
		/* A fault holds the context; who waits for an event keeps others from filling. */
		if (fault)
			uffd_release(arena_ref(ctx));
		else
			atomic_fetch_sub(&ctx->changing, 1);
	}
}

void uffd_drop_dead(struct uffd_ctx *ctx)
{
	struct uffd_waiter *w, *next;
	struct mach_entry entry;
	uf_ref list = 0;

	if (!mach_waiters_die() || atomic_load(&ctx->waiting) == 0)
		return;
	mach_enter(&entry);
	mach_lock(&ctx->lock);
	for (enum uffd_queue_id q = UFFD_FAULTS; q <= UFFD_EVENTS; q++)
		for (w = arena_at(ctx->queue[q].head); w; w = next) {
			next = arena_at(w->next);
			if (w->phantom || !mach_waiter_dead(&w->wait))
				continue;
			uffd_dequeue(ctx, w);
			w->next = list;
			list = arena_ref(w);
		}
	uffd_unlock(ctx);
	bury(ctx, list);
	mach_leave(&entry);
}

static bool pending(const struct uffd_ctx *ctx)
{
	return atomic_load_explicit(&ctx->pending, memory_order_acquire) != 0;
}

bool uffd_ready(uf_ref ref)
{
	struct uffd_ctx *ctx = uffd_at(ref);

	if (!pending(ctx))
		return false;
	uffd_drop_dead(ctx);
	return pending(ctx);
}

unsigned uffd_poll(uf_ref ref, bool nonblock)
{
	if (!atomic_load(&uffd_at(ref)->initialised) || !nonblock)
		return POLLERR;
	return uffd_ready(ref) ? POLLIN : 0;
}

/* Under the lock: the level as it should be, whatever it is now. */
static void settle_level(struct uffd_ctx *ctx, bool from_down, bool watch)
{
	struct mach_entry entry;

	mach_enter(&entry);
	mach_lock(&ctx->lock);
	ctx->watched |= watch;
	if (from_down && ctx->notify.fd >= 0) {
		atomic_store(&ctx->level, false);
		mach_notify_set(&ctx->notify, false);
	}
	uffd_unlock(ctx);
	mach_leave(&entry);
}

/* Spinning has no lock on its way: a system call or two would be most of its cost. */
void uffd_spin_begin(uf_ref ref)
{
	atomic_fetch_add(&uffd_at(ref)->spinners, 1);
}

/* Sleepers who were not told, because this one looked, are told now. */
void uffd_spin_end(uf_ref ref)
{
	struct uffd_ctx *ctx = uffd_at(ref);

	if (atomic_fetch_sub(&ctx->spinners, 1) == 1 &&
	    (atomic_load(&ctx->sleepers) || atomic_load(&ctx->listeners)))
		settle_level(ctx, false, false);
}

uint32_t uffd_fault_cpu(uf_ref ref)
{
	return atomic_load_explicit(&uffd_at(ref)->fault_cpu, memory_order_relaxed);
}

void uffd_looks_from(uf_ref ref, uint32_t cpu)
{
	atomic_store_explicit(&uffd_at(ref)->reader_cpu, cpu, memory_order_relaxed);
}

void uffd_watch(uf_ref ref)
{
	settle_level(uffd_at(ref), true, true);
}

/*
 * Who posts adds to pending and then looks for sleepers; who sleeps does it the other way round:
 * one of the two sees the other.
 */
bool uffd_sleep_begin(uf_ref ref)
{
	struct uffd_ctx *ctx = uffd_at(ref);

	atomic_fetch_add(&ctx->sleepers, 1);
	if (atomic_load(&ctx->pending) == 0)
		return true;
	atomic_fetch_sub(&ctx->sleepers, 1);
	return false;
}

/*
 * A sleeper that read the count away knows that the level is down, and goes on to uffd_read, which
 * raises it again for others if need be. One that finds something to read leaves the level to who
 * reads it. One that finds nothing may have met a level that came late.
 */
void uffd_sleep_end(uf_ref ref, bool taken)
{
	struct uffd_ctx *ctx = uffd_at(ref);

	atomic_fetch_sub(&ctx->sleepers, 1);
	if (taken)
		atomic_store(&ctx->level, false);
	else if (atomic_load(&ctx->pending) == 0)
		settle_level(ctx, true, false);
}

/* As uffd_sleep_begin: who posts and who listens see one another. */
bool uffd_listen_begin(uf_ref ref, uint32_t *heard)
{
	struct uffd_ctx *ctx = uffd_at(ref);

	atomic_fetch_add(&ctx->listeners, 1);
	*heard = atomic_load(&ctx->bell);
	if (atomic_load(&ctx->pending) == 0)
		return true;
	atomic_fetch_sub(&ctx->listeners, 1);
	return false;
}

int uffd_listen(uf_ref ref, uint32_t heard, uint64_t timeout_ns)
{
	return mach_bell_wait(&uffd_at(ref)->bell, heard, timeout_ns);
}

void uffd_listen_end(uf_ref ref)
{
	atomic_fetch_sub(&uffd_at(ref)->listeners, 1);
}

void uffd_ring(uf_ref ref)
{
	mach_bell_ring(&uffd_at(ref)->bell);
}
