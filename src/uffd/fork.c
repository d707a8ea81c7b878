/*
 * fork.c - contexts that are told of forks (EVENT_FORK): each gets a counterpart in the child.
 *
 * The parent notes them before it forks, in the order of their areas. The child makes the
 * counterparts, with what has been agreed on by the parent's, and descriptors for them, which it
 * hands to the parent; that posts the events and waits until they have been read.
 */
#include "uffd/context.h"

#include <errno.h>
#include <fcntl.h>

/* Those of the fork that is under way, linked by fork_next. Under the space's write lock. */
static uf_ref first, last;

void uffd_forking(uf_ref ref)
{
	struct uffd_ctx *ctx = uffd_at(ref);

	if (ctx->forking)
		return;
	ctx->forking = true;
	ctx->fork_next = 0;
	ctx->fork_child = 0;
	uffd_hold(ref);
	atomic_fetch_add(&ctx->changing, 1);
	if (last)
		uffd_at(last)->fork_next = ref;
	else
		first = ref;
	last = ref;
}

uf_ref uffd_fork_list(void)
{
	return first;
}

uf_ref uffd_fork_next(uf_ref ref)
{
	return uffd_at(ref)->fork_next;
}

/* The lock is the new context's own; nothing waits there, and nobody has read anything. */
uf_ref uffd_child(uf_ref ref)
{
	struct uffd_ctx *ctx = uffd_at(ref), *child;

	if (!ctx->forking || ctx->fork_child)
		return ctx->forking ? ctx->fork_child : 0;
	child = arena_alloc(sizeof(*child));
	if (!child)
		return 0;
	child->refs = 1;
	child->features = atomic_load(&ctx->features);
	child->initialised = 1;
	child->rwp_async = atomic_load(&ctx->rwp_async);
	child->user_mode_only = ctx->user_mode_only;
	child->flags = ctx->flags;
	child->fault_cpu = UINT32_MAX;
	child->reader_cpu = UINT32_MAX;
	child->notify.fd = -1;
	child->space = ctx->space;
	ctx->fork_child = arena_ref(child);
	return ctx->fork_child;
}

uf_ref uffd_fork_child(uf_ref ref)
{
	return uffd_at(ref)->fork_child;
}

int uffd_fork_name(uf_ref child, uint64_t id, int *fd)
{
	struct uffd_ctx *ctx = uffd_at(child);
	struct mach_entry entry;
	int err;

	mach_enter(&entry);
	err = mach_notify_create(&ctx->notify, ctx->flags & (O_CLOEXEC | O_NONBLOCK), id, fd);
	mach_leave(&entry);
	return err;
}

int uffd_flags(uf_ref ref)
{
	return uffd_at(ref)->flags;
}

/* The next fork begins with none. The parent's contexts are the parent's: there they go on. */
uf_ref uffd_fork_done(void)
{
	uf_ref list = first, ref;

	for (ref = list; ref; ref = uffd_at(ref)->fork_next)
		uffd_at(ref)->forking = false;
	first = last = 0;
	return list;
}

void uffd_fork_event(uf_ref ref, int fd)
{
	struct mach_entry entry;

	mach_enter(&entry);
	if (fd >= 0)
		uffd_handler_ops.event(ref, MM_EVENT_FORK, (uint32_t)fd, 0, 0, &entry);
	else
		uffd_handler_ops.unchanging(ref);
	uffd_release(ref);
	mach_leave(&entry);
}
