/*
 * context.c - a context's life: made by userfaultfd(2), closed with its last descriptor, freed when
 * the last thread has left it.
 */
#include "uffd/context.h"

#include <errno.h>
#include <fcntl.h>

const struct uffd_profile *uffd_profile;

void uffd_init(const struct uffd_profile *profile)
{
	uffd_profile = profile ? profile : uffd_profile_find("all");
	mm_set_handler_ops(&uffd_handler_ops);
}

void uffd_hold(uf_ref ref)
{
	atomic_fetch_add(&uffd_at(ref)->refs, 1);
}

void uffd_release(uf_ref ref)
{
	struct uffd_ctx *ctx = uffd_at(ref);

	if (atomic_fetch_sub(&ctx->refs, 1) != 1)
		return;
	if (ctx->notify.fd >= 0)
		mach_notify_destroy(&ctx->notify);
	arena_free(ctx, sizeof(*ctx));
}

int uffd_create(struct mm_space *space, int flags, uint64_t id, uf_ref *out, int *fd)
{
	const int known =
		O_CLOEXEC | O_NONBLOCK | (uffd_profile->user_mode_only ? UF_USER_MODE_ONLY : 0);
	struct mach_entry entry;
	struct uffd_ctx *ctx;
	int err = 0;

	if (flags & ~known)
		return -EINVAL;
	mach_enter(&entry);
	ctx = arena_alloc(sizeof(*ctx));
	if (!ctx) {
		err = -ENOMEM;
	} else if (fd) {
		err = mach_notify_create(&ctx->notify, flags & (O_CLOEXEC | O_NONBLOCK), id, fd);
	} else {
		ctx->notify.fd = -1;
	}
	if (err) {
		arena_free(ctx, sizeof(*ctx));
	} else {
		ctx->refs = 1;
		ctx->fault_cpu = UINT32_MAX;
		ctx->reader_cpu = UINT32_MAX;
		ctx->user_mode_only = flags & UF_USER_MODE_ONLY;
		ctx->flags = flags;
		ctx->space = arena_ref(space);
		*out = arena_ref(ctx);
	}
	mach_leave(&entry);
	return err;
}

/*
 * First the areas, under the space's write lock: after that no fault can come here any more. Then
 * everybody who waits retries, and finds ordinary memory.
 */
void uffd_close(uf_ref ref)
{
	struct uffd_ctx *ctx = uffd_at(ref);
	struct mach_entry entry;

	mach_enter(&entry);
	mm_forget_handler(uffd_space(ctx), ref);
	uffd_close_queues(ctx);
	uffd_release(ref);
	mach_leave(&entry);
}

int uffd_hidden_fd(uf_ref ref)
{
	return uffd_at(ref)->notify.fd;
}

/* Asked from time to time by whoever sleeps: then others that wait are looked at, too. */
int uffd_held(uf_ref ref)
{
	uffd_drop_dead(uffd_at(ref));
	return mach_notify_held(&uffd_at(ref)->notify);
}

void uffd_show(uf_ref ref, const struct uffd_shown *words)
{
	static const struct uffd_shown none;
	struct uffd_ctx *ctx = uffd_at(ref);
	struct mach_entry entry;

	mach_enter(&entry);
	mach_lock(&ctx->lock);
	ctx->shown = words ? *words : none;
	if (words)
		atomic_store(words->pending, atomic_load(&ctx->pending));
	mach_unlock(&ctx->lock);
	mach_leave(&entry);
}

int uffd_set_callback(uf_ref ref, uffd_callback fn, void *arg)
{
	struct uffd_ctx *ctx = uffd_at(ref);

	if (!fn || atomic_load(&ctx->initialised))
		return -EINVAL;
	ctx->callback_arg = arg;
	ctx->callback = fn;
	/* Read-write-protection has no other way to be asked for. */
	atomic_store(&ctx->features, uffd_profile->features & UF_FEATURE_RWP);
	atomic_store(&ctx->initialised, 1);
	return 0;
}

static char *put_text(char *p, const char *end, const char *text)
{
	while (*text && p < end)
		*p++ = *text++;
	return p;
}

static char *put_number(char *p, const char *end, uint64_t v, unsigned base)
{
	char digits[20];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	while (n && p < end)
		*p++ = digits[--n];
	return p;
}

size_t uffd_fdinfo(uf_ref ref, char *buf, size_t size)
{
	struct uffd_ctx *ctx = uffd_at(ref);
	uint64_t features = atomic_load(&ctx->features);
	const char *end = buf + size;
	struct mach_entry entry;
	uint32_t unread, all;
	char *p = buf;

	mach_enter(&entry);
	mach_lock(&ctx->lock);
	unread = ctx->queue[UFFD_FAULTS].len;
	all = unread + ctx->queue[UFFD_READ].len;
	mach_unlock(&ctx->lock);
	mach_leave(&entry);
	if (atomic_load(&ctx->initialised))
		features |= 1ull << 31;
	p = put_text(p, end, "pending:\t");
	p = put_number(p, end, unread, 10);
	p = put_text(p, end, "\ntotal:\t");
	p = put_number(p, end, all, 10);
	p = put_text(p, end, "\nAPI:\taa:");
	p = put_number(p, end, features, 16);
	p = put_text(p, end, ":80000000000001ff\n");
	return (size_t)(p - buf);
}
