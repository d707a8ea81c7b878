/*
 * given.c - events on their way to a reader in another process, who may die before he has them.
 *
 * A read there is: the messages are put where he finds them, he copies them to his program, and
 * says that he has them. The threads that wait for their events to be read go on at the first step;
 * the messages are kept until the last. Meanwhile it is to everybody else as if they were unread: a
 * range whose REMOVE was lost would be filled with what was there before. Who dies in between has
 * not read them.
 */
#include "uffd/context.h"

bool uffd_given(uf_ref ref)
{
	return atomic_load(&uffd_at(ref)->given) != 0;
}

/* The forking thread closes its own one when it goes on. */
static bool own_descriptor(struct uffd_waiter *w)
{
	int fd;

	if (w->msg.event != UF_EVENT_FORK || w->owns_fd)
		return true;
	fd = mach_hidden_dup((int)w->msg.arg.fork.ufd);
	if (fd < 0)
		return false;
	w->msg.arg.fork.ufd = (uint32_t)fd;
	w->owns_fd = true;
	return true;
}

/* One reference more: one is this queue's, one the list's of those to be woken. */
bool uffd_give(struct uffd_ctx *ctx, struct uffd_waiter *w, const struct uffd_reader *reader)
{
	if (!own_descriptor(w))
		return false;
	uffd_dequeue(ctx, w);
	atomic_fetch_add(&w->refs, 1);
	w->held = reader->held;
	w->due = reader->due;
	if (!w->counted)
		atomic_fetch_add(&ctx->changing, 1);
	w->counted = true;
	uffd_enqueue(ctx, UFFD_GIVEN, w);
	return true;
}

void uffd_event_read(struct uffd_ctx *ctx, struct uffd_waiter *w)
{
	uffd_dequeue(ctx, w);
	if (w->counted)
		atomic_fetch_sub(&ctx->changing, 1);
	w->counted = false;
}

void uffd_settle_given(struct uffd_ctx *ctx)
{
	struct uffd_waiter *w;

	while ((w = arena_at(ctx->queue[UFFD_GIVEN].head)) && atomic_load(w->held) != w->due) {
		uffd_event_read(ctx, w);
		uffd_waiter_put(w);
	}
}

bool uffd_given_elsewhere(const struct uffd_ctx *ctx, uint64_t due)
{
	const struct uffd_waiter *w = arena_at(ctx->queue[UFFD_GIVEN].head);

	return w && w->due != due;
}

void uffd_look_at_given(uf_ref ref)
{
	struct uffd_ctx *ctx = uffd_at(ref);
	struct mach_entry entry;

	if (!uffd_given(ref))
		return;
	mach_enter(&entry);
	mach_lock(&ctx->lock);
	uffd_settle_given(ctx);
	mach_unlock(&ctx->lock);
	mach_leave(&entry);
}

/* As no reader is given any before another has his, these are older than all that are unread. */
void uffd_give_again(uf_ref ref, uint64_t due)
{
	struct uffd_ctx *ctx = uffd_at(ref);
	struct mach_entry entry;
	struct uffd_waiter *w;

	mach_enter(&entry);
	mach_lock(&ctx->lock);
	while ((w = arena_at(ctx->queue[UFFD_GIVEN].tail)) && w->due == due) {
		uffd_dequeue(ctx, w);
		/* Its thread goes on, or has. */
		w->phantom = true;
		uffd_enqueue_first(ctx, UFFD_EVENTS, w);
	}
	uffd_unlock(ctx);
	mach_leave(&entry);
}
