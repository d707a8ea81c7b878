/*
 * ioctl.c - the ioctls: what is checked, in which order, and what is written back (abi.md section
 * 2). The work is the mm's.
 */
#include "uffd/context.h"

#include "mm/trace.h"

#include <errno.h>
#include <stddef.h>

/* One ioctl under way. */
struct call {
	uf_ref ref;
	struct uffd_ctx *ctx;
	uint64_t arg; /* the program's struct */
	uint32_t by;  /* whose it is, if not the calling thread's */
	/* When something is injected: */
	enum inject_op op;
	uint64_t n;
};

static int put_result(const struct call *c, size_t offset, int64_t value)
{
	return mach_copy_out(c->arg + offset, &value, sizeof(value));
}

static int check_range(uint64_t start, uint64_t len)
{
	if (((start | len) & ~UF_PAGE_MASK) || len == 0 || start >= mach_task_size() ||
	    len > mach_task_size() - start)
		return -EINVAL;
	return 0;
}

/* COPY's source may have any alignment. */
static int check_source(uint64_t src, uint64_t len)
{
	return src >= mach_task_size() || len > mach_task_size() - src ? -EINVAL : 0;
}

static int may_fill(uf_ref ref)
{
	return atomic_load(&uffd_at(ref)->changing) ? -EAGAIN : 0;
}

/* ---- What is injected (uffd/inject.h) ----------------------------------------------------------
 */

static enum inject_op op_of(uint32_t cmd)
{
	switch (cmd) {
	case UF_IO_COPY:
		return INJECT_COPY;
	case UF_IO_ZEROPAGE:
		return INJECT_ZEROPAGE;
	case UF_IO_CONTINUE:
		return INJECT_CONTINUE;
	case UF_IO_MOVE:
		return INJECT_MOVE;
	case UF_IO_POISON:
		return INJECT_POISON;
	case UF_IO_WRITEPROTECT:
		return INJECT_WRITEPROTECT;
	case UF_IO_RWPROTECT:
		return INJECT_RWPROTECT;
	case UF_IO_REGISTER:
		return INJECT_REGISTER;
	case UF_IO_UNREGISTER:
		return INJECT_UNREGISTER;
	case UF_IO_WAKE:
		return INJECT_WAKE;
	default:
		return INJECT_OPS;
	}
}

/* Before anything is done, and before the calling thread has entered. */
static void inject_begin(struct call *c, uint32_t cmd)
{
	uint64_t delay;

	c->op = op_of(cmd);
	if (c->op == INJECT_OPS)
		return;
	c->n = inject_next(c->ctx, c->op);
	delay = inject_delay(c->ctx, c->op, c->n);
	if (delay)
		mach_delay(delay);
}

/* A change of mappings is under way, or is said to be. */
static int inject_change(const struct call *c)
{
	uint64_t n = inject_next(c->ctx, INJECT_CHANGE);

	if (inject_stormy(n)) {
		inject_count(c->ctx, MM_STAT_INJECT_STORM);
		return -EAGAIN;
	}
	if (!inject_met(c->op, INJECT_EAGAIN, c->n))
		return 0;
	inject_count(c->ctx, MM_STAT_INJECT_ERROR);
	return -EAGAIN;
}

/* Does it fail so before it does anything? */
static int inject_failure(const struct call *c, enum inject_kind kind, int err)
{
	if (!uffd_injecting || !inject_met(c->op, kind, c->n))
		return 0;
	inject_count(c->ctx, MM_STAT_INJECT_ERROR);
	return err;
}

/* Where the fill, or the move, of len bytes fails. */
static struct mm_stop inject_stop(const struct call *c, uint64_t len)
{
	uint64_t pages = len >> UF_PAGE_SHIFT;

	if (!uffd_injecting)
		return (struct mm_stop){0, 0};
	if (inject_met(c->op, INJECT_ENOMEM, c->n))
		return (struct mm_stop){0, -ENOMEM};
	if (inject_met(c->op, INJECT_EBUSY, c->n))
		return (struct mm_stop){inject_pick(c->op, c->n, pages) << UF_PAGE_SHIFT, -EBUSY};
	if (pages > 1 && inject_met(c->op, INJECT_PARTIAL, c->n))
		return (struct mm_stop){(1 + inject_pick(c->op, c->n, pages - 1)) << UF_PAGE_SHIFT,
					-EAGAIN};
	return (struct mm_stop){0, 0};
}

static void inject_stopped(const struct call *c, const struct mm_stop *stop, int err, bool part)
{
	if (stop->err && err == stop->err)
		inject_count(c->ctx, part ? MM_STAT_INJECT_PART : MM_STAT_INJECT_ERROR);
}

/* ---- Fills -------------------------------------------------------------------------------------
 */

/*
 * What COPY and its kin begin with: a change of mappings under way is reported even before the
 * argument is read.
 */
static int begin_fill(const struct call *c, void *args, size_t size, size_t result)
{
	int err = may_fill(c->ref);

	if (!err && uffd_injecting && (err = inject_change(c)) != 0 && inject_pick(c->op, c->n, 2))
		return err;
	if (err)
		return put_result(c, result, err) ? -EFAULT : err;
	return mach_copy_in(args, c->arg, size);
}

/* And what they end with: the result, the wake-up, the partial answer. */
static int end_fill(const struct call *c, size_t result, int err, uint64_t dst, uint64_t done,
		    uint64_t len, bool wake)
{
	int fault = put_result(c, result, done ? (int64_t)done : err);

	if (done && wake)
		uffd_wake_range(c->ctx, c->by, dst, done);
	if (fault)
		return -EFAULT;
	if (done == len)
		return 0;
	return done ? -EAGAIN : err;
}

static int do_fill(const struct call *c, struct mm_fill *fill, size_t result, bool wake)
{
	uint64_t done = 0;
	int err;

	fill->stop = inject_stop(c, fill->len);
	err = mm_fill(uffd_space(c->ctx), fill, may_fill, c->ref, &done);
	inject_stopped(c, &fill->stop, err, done != 0);
	return end_fill(c, result, err, fill->dst, done, fill->len, wake);
}

static int io_copy(const struct call *c)
{
	const size_t result = offsetof(struct uf_copy, copy);
	struct uf_copy a;
	int err = begin_fill(c, &a, result, result);

	if (!err)
		err = check_source(a.src, a.len);
	if (!err)
		err = check_range(a.dst, a.len);
	if (!err && (a.mode & ~(UF_COPY_MODE_DONTWAKE | UF_COPY_MODE_WP)))
		err = -EINVAL;
	if (err)
		return err;
	return do_fill(c,
		       &(struct mm_fill){.source = MM_SOURCE_COPY,
					 .dst = a.dst,
					 .src = a.src,
					 .len = a.len,
					 .wp = a.mode & UF_COPY_MODE_WP,
					 .by = c->by},
		       result, !(a.mode & UF_COPY_MODE_DONTWAKE));
}

/* ZEROPAGE, CONTINUE and POISON share one layout: range, mode, result. */
static int io_range_fill(const struct call *c, enum mm_source source, uint64_t modes)
{
	const size_t result = offsetof(struct uf_zeropage, zeropage);
	struct uf_zeropage a;
	int err = begin_fill(c, &a, result, result);

	if (!err)
		err = check_range(a.range.start, a.range.len);
	if (!err && (a.mode & ~modes))
		err = -EINVAL;
	if (err)
		return err;
	return do_fill(c,
		       &(struct mm_fill){.source = source,
					 .dst = a.range.start,
					 .len = a.range.len,
					 .wp = a.mode & modes & UF_CONTINUE_MODE_WP,
					 .by = c->by},
		       result, !(a.mode & UF_ZEROPAGE_MODE_DONTWAKE));
}

static int io_move(const struct call *c)
{
	const size_t result = offsetof(struct uf_move, move);
	uint64_t done = 0, began;
	struct mm_stop stop;
	struct uf_move a;
	int err = begin_fill(c, &a, result, result);

	if (!err)
		err = check_range(a.dst, a.len);
	if (!err)
		err = check_range(a.src, a.len);
	if (!err && (a.mode & ~(UF_MOVE_MODE_DONTWAKE | UF_MOVE_MODE_ALLOW_SRC_HOLES)))
		err = -EINVAL;
	if (err)
		return err;
	began = mm_trace_now();
	stop = inject_stop(c, a.len);
	err = mm_move(uffd_space(c->ctx), c->ref, a.dst, a.src, a.len,
		      a.mode & UF_MOVE_MODE_ALLOW_SRC_HOLES, &stop, &done);
	inject_stopped(c, &stop, err, done != 0);
	if (done)
		mm_trace_fill(c->by, began, a.dst, done, TRACE_MOVE);
	return end_fill(c, result, err, a.dst, done, a.len, !(a.mode & UF_MOVE_MODE_DONTWAKE));
}

/* WRITEPROTECT and RWPROTECT: bit 0 sets, bit 1 is DONTWAKE, both together mean nothing. */
static int io_protect(const struct call *c, uint32_t mode)
{
	uint64_t began = mm_trace_now();
	struct uf_writeprotect a;
	bool set, dontwake;
	int err = may_fill(c->ref);

	if (!err && uffd_injecting)
		err = inject_change(c);
	if (!err)
		err = mach_copy_in(&a, c->arg, sizeof(a));
	if (!err)
		err = check_range(a.range.start, a.range.len);
	if (err)
		return err;
	set = a.mode & UF_WRITEPROTECT_MODE_WP;
	dontwake = a.mode & UF_WRITEPROTECT_MODE_DONTWAKE;
	if ((a.mode & ~(UF_WRITEPROTECT_MODE_WP | UF_WRITEPROTECT_MODE_DONTWAKE)) ||
	    (set && dontwake))
		return -EINVAL;
	err = inject_failure(c, INJECT_ENOMEM, -ENOMEM);
	if (!err)
		err = mm_protect(uffd_space(c->ctx), a.range.start, a.range.len, mode, set);
	if (!err)
		mm_trace_range(TRACE_PROTECT, c->by, began, a.range.start, a.range.len,
			       set ? 0 : TRACE_LIFTED);
	if (!err && !set && !dontwake)
		uffd_wake_range(c->ctx, c->by, a.range.start, a.range.len);
	return err;
}

static int get_range(const struct call *c, struct uf_range *a)
{
	int err = mach_copy_in(a, c->arg, sizeof(*a));

	return err ? err : check_range(a->start, a->len);
}

static int io_wake(const struct call *c)
{
	struct uf_range a;
	int err = get_range(c, &a);

	if (!err)
		uffd_wake_range(c->ctx, c->by, a.start, a.len);
	return err;
}

static int check_modes(const struct uffd_ctx *ctx, uint64_t mode)
{
	uint64_t known = uffd_profile->modes;

	if (!(atomic_load(&ctx->features) & UF_FEATURE_RWP))
		known &= ~UF_REGISTER_MODE_RWP;
	if (mode == 0 || (mode & ~known))
		return -EINVAL;
	if ((mode & UF_REGISTER_MODE_WP) && (mode & UF_REGISTER_MODE_RWP))
		return -EINVAL;
	return 0;
}

static int io_register(const struct call *c)
{
	const size_t result = offsetof(struct uf_register, ioctls);
	struct uf_register a;
	uint64_t ops;
	int err = mach_copy_in(&a, c->arg, result);

	if (!err)
		err = check_modes(c->ctx, a.mode);
	if (!err)
		err = check_range(a.range.start, a.range.len);
	if (!err)
		err = inject_failure(c, INJECT_ENOMEM, -ENOMEM);
	if (!err)
		err = mm_register(uffd_space(c->ctx), c->ref, a.range.start, a.range.len,
				  (uint32_t)a.mode, &ops);
	if (err)
		return err;
	return put_result(c, result, (int64_t)(ops & uffd_profile->ioctls));
}

static int io_unregister(const struct call *c)
{
	struct uf_range a;
	int err = get_range(c, &a);

	if (!err)
		err = inject_failure(c, INJECT_ENOMEM, -ENOMEM);
	return err ? err : mm_unregister(uffd_space(c->ctx), c->ref, a.start, a.len);
}

static int check_features(const struct uf_api *a)
{
	uint64_t f = a->features;

	if (a->api != UF_API || (f & ~uffd_profile->features))
		return -EINVAL;
	if ((f & UF_FEATURE_RWP_ASYNC) && !(f & UF_FEATURE_RWP))
		return -EINVAL;
	return (f & UF_FEATURE_EVENT_FORK) && !mach_may_ptrace() ? -EPERM : 0;
}

/* Once a context; a refused call leaves zeroes behind, so that nobody takes it for an answer. */
static int io_api(const struct call *c)
{
	static const struct uf_api refused;
	struct uffd_ctx *ctx = c->ctx;
	uint64_t wanted;
	struct uf_api a;
	int err = mach_copy_in(&a, c->arg, sizeof(a));

	if (err)
		return err;
	err = check_features(&a);
	wanted = a.features;
	if (wanted & UF_FEATURE_WP_ASYNC)
		wanted |= UF_FEATURE_WP_UNPOPULATED;
	a.features = uffd_profile->features;
	a.ioctls = uffd_profile->api_ioctls;
	if (!err && mach_copy_out(c->arg, &a, sizeof(a)) != 0)
		return -EFAULT;
	mach_lock(&ctx->lock);
	if (!err && atomic_load(&ctx->initialised)) {
		err = -EINVAL;
	} else if (!err) {
		atomic_store(&ctx->features, wanted);
		atomic_store(&ctx->rwp_async, (wanted & UF_FEATURE_RWP_ASYNC) != 0);
		atomic_store(&ctx->initialised, 1);
	}
	mach_unlock(&ctx->lock);
	if (err && mach_copy_out(c->arg, &refused, sizeof(refused)) != 0)
		return -EFAULT;
	return err;
}

/*
 * The space's write lock waits out the faults that still look at the old mode; those that already
 * wait for a reader are sent round again.
 */
static int io_set_mode(const struct call *c)
{
	struct mm_space *space = uffd_space(c->ctx);
	struct uf_set_mode a;
	int err = mach_copy_in(&a, c->arg, sizeof(a));

	if (err)
		return err;
	if (!(atomic_load(&c->ctx->features) & UF_FEATURE_RWP) || (a.enable & a.disable) ||
	    ((a.enable | a.disable) & ~UF_FEATURE_RWP_ASYNC))
		return -EINVAL;
	mach_write_lock(&space->lock);
	if (a.enable)
		atomic_store(&c->ctx->rwp_async, 1);
	if (a.disable)
		atomic_store(&c->ctx->rwp_async, 0);
	mach_write_unlock(&space->lock);
	if (a.enable)
		uffd_wake_range(c->ctx, c->by, 0, mach_task_size());
	return 0;
}

/* Range ioctls that the profile's kernel does not know yet do not exist. */
static bool known(uint32_t cmd)
{
	unsigned nr = cmd & 0xff;

	if (nr >= UF_NR_WAKE && nr <= UF_NR_RWPROTECT)
		return uffd_profile->ioctls >> nr & 1;
	if (nr == UF_NR_SET_MODE)
		return uffd_profile->features & UF_FEATURE_RWP;
	return true;
}

static int dispatch(const struct call *c, uint32_t cmd)
{
	if (!known(cmd))
		return -EINVAL;
	if (cmd != UF_IO_API && !atomic_load(&c->ctx->initialised))
		return -EINVAL;
	switch (cmd) {
	case UF_IO_API:
		return io_api(c);
	case UF_IO_REGISTER:
		return io_register(c);
	case UF_IO_UNREGISTER:
		return io_unregister(c);
	case UF_IO_WAKE:
		return io_wake(c);
	case UF_IO_COPY:
		return io_copy(c);
	case UF_IO_ZEROPAGE:
		return io_range_fill(c, MM_SOURCE_ZERO, UF_ZEROPAGE_MODE_DONTWAKE);
	case UF_IO_MOVE:
		return io_move(c);
	case UF_IO_WRITEPROTECT:
		return io_protect(c, MM_MODE_WP);
	case UF_IO_CONTINUE:
		return io_range_fill(c, MM_SOURCE_CONTINUE,
				     UF_CONTINUE_MODE_DONTWAKE | UF_CONTINUE_MODE_WP);
	case UF_IO_POISON:
		return io_range_fill(c, MM_SOURCE_POISON, UF_POISON_MODE_DONTWAKE);
	case UF_IO_RWPROTECT:
		return io_protect(c, MM_MODE_RWP);
	case UF_IO_SET_MODE:
		return io_set_mode(c);
	default:
		return -EINVAL;
	}
}

int uffd_ioctl(uf_ref ref, unsigned long cmd, uint64_t arg)
{
	return uffd_ioctl_by(ref, cmd, arg, 0);
}

int uffd_ioctl_by(uf_ref ref, unsigned long cmd, uint64_t arg, uint32_t thread)
{
	struct call c = {.ref = ref, .ctx = uffd_at(ref), .arg = arg, .by = thread};
	struct mach_entry entry;
	int err;

	if (uffd_injecting && atomic_load(&c.ctx->initialised))
		inject_begin(&c, (uint32_t)cmd);
	/* Programs wake after fills that have woken already: nobody waits, and no lock is needed.
	 */
	if ((uint32_t)cmd == UF_IO_WAKE && atomic_load(&c.ctx->initialised) &&
	    atomic_load(&c.ctx->waiting) == 0)
		return get_range(&c, &(struct uf_range){0});
	uffd_look_at_given(ref);
	mach_enter(&entry);
	err = dispatch(&c, (uint32_t)cmd);
	mach_leave(&entry);
	return err;
}
