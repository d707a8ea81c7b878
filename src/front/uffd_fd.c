/*
 * uffd_fd.c - what a userfaultfd descriptor does.
 *
 * A reader that finds nothing spins for a while before it sleeps: a thread wake-up costs tens of
 * microseconds, a hand-off between two that run less than one. How long depends on how well it went
 * of late, so that readers with nothing to do burn no time. It gives the CPU away now and then, in
 * case the faulting thread waits for this very one.
 */
#include "front/front.h"
#include "front/huge.h"
#include "front/ledger.h"
#include "front/remote.h"
#include "front/door.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>

#include <userfault/userfault.h>

#define SPIN_NS	       150000
#define SPIN_FIRST_NS  20000 /* before the first look at who else wants the CPU */
#define SPIN_TURN_NS   5000  /* between two looks */
#define CROWDED_NS     15000 /* somebody else had the CPU for so long: spinning is in their way */
#define ASIDE_LEAST_NS 1000000ull
#define ASIDE_MOST_NS  1000000000ull
#define SCORE_POOR     64u
#define SKIP_WHEN_POOR 32u

void ufd_refresh(struct file *f, int fd)
{
	long flags = SYS(SYS_fcntl, fd, F_GETFL);

	if (flags >= 0)
		atomic_store(&f->nonblock, flags & O_NONBLOCK);
}

/* Another process has all descriptors that this one makes. */
static _Atomic bool all_leave;

/* ---- coming and going --------------------------------------------------------------------------
 */

static void count_contexts(int by)
{
	struct session_slot *s = ledger_own(NULL);

	if (s)
		atomic_fetch_add(&s->contexts, (uint64_t)(int64_t)by);
}

/* What others may know of it without asking. */
static void show(struct file *f, uint32_t flags)
{
	uint32_t number, name = file_name(f);
	struct session_slot *s = ledger_own(&number);
	struct session_door *door = s ? ledger_door(number) : NULL;

	if (!door)
		return;
	atomic_store(&s->door_used, 1);
	f->shown = &door->context[name % SESSION_CONTEXTS];
	atomic_store(&f->shown->flags, flags);
	atomic_store(&f->shown->name, name);
	uffd_show(f->ctx, &(struct uffd_shown){.pending = &f->shown->pending,
					       .bell = &f->shown->bell,
					       .sleepers = &f->shown->sleepers});
}

void ufd_gone(struct file *f)
{
	if (atomic_load(&f->foreign) || !f->ctx)
		return;
	if (f->shown) {
		atomic_store(&f->shown->name, 0);
		uffd_show(f->ctx, NULL);
	}
	uffd_close(f->ctx);
	count_contexts(-1);
}

/* Once more with another name, should somebody still have a descriptor of that name's last user. */
static struct file *create(int flags, int *fd, int *err)
{
	struct file *f;
	unsigned tries;

	for (tries = 0; tries < 64; tries++) {
		f = file_new(FILE_UFFD);
		if (!f) {
			*err = -ENFILE;
			return NULL;
		}
		f->id = ledger_fd_id(file_name(f));
		*err = uffd_create(mm_space_self, flags, f->id, &f->ctx, fd);
		if (!*err)
			return f;
		f->ctx = 0;
		file_put(f);
		if (*err != -EEXIST)
			return NULL;
	}
	*err = -ENFILE;
	return NULL;
}

int ufd_new(int flags)
{
	struct file *f;
	int err, fd;

	err = front_start();
	if (err)
		return err;
	f = create(flags, &fd, &err);
	if (!f)
		return err;
	atomic_store(&f->making, true);
	ledger_role(SLOT_OWNER);
	count_contexts(1);
	f->spin.score = SPIN_SCORE_MAX;
	f->hidden = uffd_hidden_fd(f->ctx);
	atomic_store(&f->nonblock, flags & O_NONBLOCK);
	show(f, 0);
	file_open(f);
	err = file_attach(fd, f);
	if (err)
		SYS(SYS_close, fd);
	atomic_store(&f->making, false);
	if (atomic_load(&all_leave))
		ufd_leaves(f);
	file_put(f);
	files_settle();
	return err ? err : fd;
}

/* It is open as long as somebody has the descriptor, which is not in this process's table. */
int ufd_child(uf_ref ctx)
{
	struct file *f = file_new(FILE_UFFD);
	int fd = -1, err;

	if (!f)
		return -1;
	f->id = ledger_fd_id(file_name(f));
	err = uffd_fork_name(ctx, f->id, &fd);
	if (err) {
		file_put(f);
		return -1;
	}
	f->ctx = ctx;
	ledger_role(SLOT_OWNER);
	count_contexts(1);
	f->spin.score = SPIN_SCORE_MAX;
	f->hidden = uffd_hidden_fd(ctx);
	atomic_store(&f->nonblock, uffd_flags(ctx) & O_NONBLOCK);
	show(f, CONTEXT_INITIALISED);
	file_open(f);
	ufd_watch(f);
	file_put(f);
	return fd;
}

struct recognition {
	uint64_t id;
	struct file *found;
};

static void compare_id(struct file *f, void *arg)
{
	struct recognition *r = arg;

	if (f->id == r->id && !r->found) {
		atomic_fetch_add(&f->refs, 1);
		r->found = f;
	}
}

int ufd_recognise(int fd, struct file **f)
{
	struct recognition r = {.id = remote_fd_id(fd)};
	int err = 0;

	*f = NULL;
	if (!r.id)
		return 0;
	if (atomic_load(&files_used))
		file_each(FILE_UFFD, compare_id, &r);
	if (!r.found)
		err = remote_open(r.id, fd, &r.found);
	if (r.found) {
		ufd_refresh(r.found, fd);
		file_attach(fd, r.found);
	}
	*f = r.found;
	return err;
}

void ufd_by_write(struct file *f, bool on)
{
	atomic_store(&f->by_write, on);
	if (f->shown && on)
		atomic_fetch_or(&f->shown->flags, CONTEXT_BY_WRITE);
}

void ufd_watch(struct file *f)
{
	if (!atomic_load(&f->foreign) && !atomic_exchange(&f->watched, true))
		uffd_watch(f->ctx);
}

void ufd_leaves(struct file *f)
{
	if (atomic_load(&f->foreign))
		return;
	ufd_watch(f);
	door_open();
}

static void leave_one(struct file *f, void *arg)
{
	(void)arg;
	if (atomic_load(&f->open))
		ufd_leaves(f);
}

void ufd_all_leave(void)
{
	atomic_store(&all_leave, true);
}

void ufd_leave_all(void)
{
	if (atomic_load(&front_live))
		file_each(FILE_UFFD, leave_one, NULL);
}

bool ufd_ready(struct file *f)
{
	return atomic_load_explicit(&f->foreign, memory_order_relaxed) ? remote_ready(f)
								       : uffd_ready(f->ctx);
}

/* ---- spinning ----------------------------------------------------------------------------------
 */

/*
 * The scheduler likes to wake a thread where its waker runs, so that reader and faulting thread end
 * up on one CPU, and each hand-over is a switch between them. On two they hand over in a fraction
 * of the time, and stay there as long as both spin. So the reader leaves a CPU that it shares with
 * the faulting thread; less and less often if that does not last.
 */
static bool step_aside(struct spin *s, uint32_t cpu)
{
	uint64_t now = mach_now(),
		 wait = atomic_load_explicit(&s->aside_wait, memory_order_relaxed);
	unsigned long allowed[128], others[128];
	bool any = false;
	long i, size;

	if (now < atomic_load_explicit(&s->aside_next, memory_order_relaxed))
		return false;
	wait = wait ? wait * 2 : ASIDE_LEAST_NS;
	wait = wait < ASIDE_MOST_NS ? wait : ASIDE_MOST_NS;
	atomic_store_explicit(&s->aside_wait, wait, memory_order_relaxed);
	atomic_store_explicit(&s->aside_next, now + wait, memory_order_relaxed);
	size = SYS(SYS_sched_getaffinity, 0, sizeof(allowed), allowed);
	if (size <= 0 || cpu / 64 >= (uint64_t)size / 8)
		return false;
	memcpy(others, allowed, (size_t)size);
	others[cpu / 64] &= ~(1ul << (cpu % 64));
	for (i = 0; i < size / 8; i++)
		any = any || others[i];
	if (!any || SYS(SYS_sched_setaffinity, 0, size, others) < 0)
		return false;
	SYS(SYS_sched_setaffinity, 0, size, allowed);
	return true;
}

/*
 * Not against a thread on the same CPU, which could not run meanwhile; and where it has not paid of
 * late, only now and then.
 */
static bool worth_spinning(struct spin *s, uf_ref ctx, uint32_t cpu)
{
	if (!front_many_cpus() || host_crowded())
		return false;
	if (ctx && cpu != CPU_UNKNOWN && cpu == uffd_fault_cpu(ctx) && !step_aside(s, cpu))
		return false;
	if (atomic_load_explicit(&s->score, memory_order_relaxed) >= SCORE_POOR)
		return true;
	return atomic_fetch_add_explicit(&s->skipped, 1, memory_order_relaxed) % SKIP_WHEN_POOR ==
	       0;
}

static void learn(struct spin *s, bool good)
{
	uint32_t score = atomic_load_explicit(&s->score, memory_order_relaxed);
	uint64_t wait = atomic_load_explicit(&s->aside_wait, memory_order_relaxed);

	score = good ? score + (SPIN_SCORE_MAX - score + 3) / 4 : score - score / 4;
	atomic_store_explicit(&s->score, score, memory_order_relaxed);
	if (good && wait > ASIDE_LEAST_NS)
		atomic_store_explicit(&s->aside_wait, wait - wait / 256, memory_order_relaxed);
}

/* Its context, if it is one of this address space. */
static uf_ref here(struct file *f)
{
	return atomic_load(&f->foreign) ? 0 : f->ctx;
}

static bool any_ready(struct file *const *f, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (ufd_ready(f[i]))
			return true;
	return false;
}

static bool spin_until(struct file *const *f, unsigned n, bool (*stop)(void *), void *arg,
		       uint64_t most_ns)
{
	uint64_t start = mach_now(), turn = start + SPIN_FIRST_NS, now = start, before;
	unsigned i;

	do {
		for (i = 0; i < 16; i++) {
			if (any_ready(f, n))
				return true;
			mach_relax();
		}
		before = now;
		now = mach_now();
		host_note_gap(now - before, false);
		if (now >= turn) {
			if (stop && stop(arg))
				return false;
			before = now;
			sched_yield();
			now = mach_now();
			host_note_gap(now - before, true);
			if (now - before > CROWDED_NS)
				break;
			turn = now + SPIN_TURN_NS;
		}
	} while (now - start < most_ns);
	return any_ready(f, n);
}

bool ufd_spin(struct file *const *f, unsigned n, bool (*stop)(void *), void *arg, uint64_t most_ns)
{
	bool worth = n && worth_spinning(&f[0]->spin, here(f[0]), cpu_current());
	uint32_t cpu = cpu_current();
	unsigned i;
	bool good;

	for (i = 0; i < n; i++)
		if (here(f[i]))
			uffd_looks_from(f[i]->ctx, cpu);
	if (!worth)
		return false;
	for (i = 0; i < n; i++)
		if (here(f[i]))
			uffd_spin_begin(f[i]->ctx);
	good = spin_until(f, n, stop, arg, most_ns < SPIN_NS ? most_ns : SPIN_NS);
	for (i = 0; i < n; i++)
		if (here(f[i]))
			uffd_spin_end(f[i]->ctx);
	learn(&f[0]->spin, good);
	if (good)
		host_note_spun();
	return good;
}

/* ---- operations --------------------------------------------------------------------------------
 */

bool ufd_sleep_begin(struct file *f)
{
	return atomic_load(&f->foreign) ? !remote_ready(f) : uffd_sleep_begin(f->ctx);
}

void ufd_sleep_end(struct file *f, bool taken)
{
	if (!atomic_load(&f->foreign))
		uffd_sleep_end(f->ctx, taken);
}

struct sleep {
	struct file *file;
	bool taken; /* it has read the level away */
};

static void sleep_end_cleanup(struct sleep *s)
{
	ufd_sleep_end(s->file, s->taken);
}

/* Until there may be something to read, or a signal's handler has run (-EINTR). */
static int sleep_on(struct file *f, int fd)
{
	struct sleep sleep __attribute__((cleanup(sleep_end_cleanup))) = {.file = f};
	uint64_t level;

	if (atomic_load(&f->foreign))
		return remote_sleep(f, fd);
	sleep.taken = front_read(f->hidden, &level, sizeof(level)) > 0;
	return sleep.taken ? 0 : -errno;
}

long ufd_read(struct file *f, int fd, void *buf, size_t count)
{
	struct uffd_reader here = {.install = front_fork_install};
	bool foreign = atomic_load(&f->foreign);
	long n;
	int err;

	pthread_testcancel();
	for (;;) {
		here.mayfail = atomic_load(&f->nonblock);
		n = foreign ? remote_read(f, buf, count)
			    : uffd_read_here(f->ctx, (uintptr_t)buf, count, &here);
		if (!foreign)
			front_fork_installed();
		if (n != -EAGAIN)
			return n;
		/* Others, who have it too, may have changed it. */
		if (foreign || !atomic_load(&f->nonblock))
			ufd_refresh(f, fd);
		if (atomic_load(&f->nonblock))
			return n;
		if (ufd_spin(&f, 1, NULL, NULL, SPIN_NS) || !ufd_sleep_begin(f))
			continue;
		err = sleep_on(f, fd);
		if (err)
			return err;
	}
}

long ufd_readv(struct file *f, int fd, const struct iovec *iov, int n)
{
	struct uf_msgs {
		char bytes[64 * 32];
	} msgs;
	size_t total = 0, done = 0, part;
	long got;
	int i;

	if (n < 0 || n > 1024)
		return -EINVAL;
	for (i = 0; i < n; i++)
		total += iov[i].iov_len;
	if (n == 1)
		return ufd_read(f, fd, iov->iov_base, iov->iov_len);
	got = ufd_read(f, fd, &msgs, total < sizeof(msgs) ? total : sizeof(msgs));
	for (i = 0; i < n && got > 0 && done < (size_t)got; i++) {
		part = iov[i].iov_len < (size_t)got - done ? iov[i].iov_len : (size_t)got - done;
		if (part && mach_copy_out((uintptr_t)iov[i].iov_base, msgs.bytes + done, part) < 0)
			return -EFAULT;
		done += part;
	}
	return got;
}

/* What a move takes its pages from comes under management, too. */
static void note_source(uint64_t arg)
{
	struct uf_move move;

	if (mach_copy_in(&move, arg, sizeof(move)) == 0 && move.src + move.len > move.src)
		mem_note_managed(move.src, move.len);
}

static void note_range(uint64_t arg)
{
	struct mach_entry entry;
	struct uf_range range;
	int err;

	mach_enter(&entry);
	err = mach_copy_in(&range, arg, sizeof(range));
	mach_leave(&entry);
	if (err || range.start + range.len <= range.start)
		return;
	mem_note_managed(range.start, range.len);
	if (!(range.start & ~HUGE_MASK))
		huge_learn(range.start, range.start + range.len);
}

/* API has been done: others need not ask. */
static void note_api(struct file *f)
{
	if (f->shown)
		atomic_fetch_or(&f->shown->flags, CONTEXT_INITIALISED);
}

static void note_registered(void)
{
	struct session_slot *s = ledger_own(NULL);
	struct mach_entry entry;
	uint64_t pages;

	if (!s)
		return;
	mach_enter(&entry);
	atomic_store(&s->ranges, mm_count_registered(mm_space_self, &pages));
	atomic_store(&s->pages, pages);
	mach_leave(&entry);
}

int ufd_ioctl_here(struct file *f, unsigned long cmd, uint64_t arg, uint32_t by)
{
	int err;

	if (cmd == UF_IO_REGISTER)
		note_range(arg);
	else if (cmd == UF_IO_MOVE)
		note_source(arg);
	err = uffd_ioctl_by(f->ctx, cmd, arg, by);
	if (!err && cmd == UF_IO_API)
		note_api(f);
	if (!err && (cmd == UF_IO_REGISTER || cmd == UF_IO_UNREGISTER))
		note_registered();
	return err;
}

static int ioctl_of(struct file *f, unsigned long cmd, uint64_t arg)
{
	return atomic_load(&f->foreign) ? remote_ioctl(f, cmd, arg)
					: ufd_ioctl_here(f, cmd, arg, 0);
}

/* One of them, by the ioctl that does the same. */
static int resolve(struct file *f, const struct uf_resolve *r)
{
	struct uf_copy copy = {.dst = r->dst, .src = r->src, .len = r->len};
	struct uf_zeropage zero = {.range = {r->dst, r->len}};
	struct uf_move move = {.dst = r->dst, .src = r->src, .len = r->len};
	uint64_t wake = r->mode & UF_RESOLVE_DONTWAKE;

	switch (r->mode & ~UF_RESOLVE_DONTWAKE) {
	case UF_RESOLVE_COPY | UF_RESOLVE_WP:
	case UF_RESOLVE_COPY:
		copy.mode = (wake ? UF_COPY_MODE_DONTWAKE : 0) |
			    (r->mode & UF_RESOLVE_WP ? UF_COPY_MODE_WP : 0);
		return ioctl_of(f, UF_IO_COPY, (uintptr_t)&copy);
	case UF_RESOLVE_ZERO:
		zero.mode = wake ? UF_ZEROPAGE_MODE_DONTWAKE : 0;
		return r->src ? -EINVAL : ioctl_of(f, UF_IO_ZEROPAGE, (uintptr_t)&zero);
	case UF_RESOLVE_MOVE:
		move.mode = wake ? UF_MOVE_MODE_DONTWAKE : 0;
		return ioctl_of(f, UF_IO_MOVE, (uintptr_t)&move);
	default:
		return -EINVAL;
	}
}

/* Entered once for all of them: the ioctls inside are spared that. */
long ufd_write(struct file *f, const void *buf, size_t count)
{
	struct mach_entry entry, nest;
	struct uf_resolve r;
	size_t done = 0;
	int err = 0;

	if (count < sizeof(r))
		return -EINVAL;
	mach_enter(&entry);
	mach_nest_begin(&nest);
	while (!err && count - done >= sizeof(r)) {
		err = mach_copy_in(&r, (uintptr_t)buf + done, sizeof(r));
		if (!err)
			err = resolve(f, &r);
		if (!err)
			done += sizeof(r);
	}
	mach_nest_end(&nest);
	mach_leave(&entry);
	return done ? (long)done : err;
}

int ufd_ioctl(struct file *f, int fd, unsigned long cmd, uint64_t arg)
{
	long ret;

	switch (cmd) {
	case FIONBIO:
		ret = SYS(SYS_ioctl, fd, cmd, arg);
		ufd_refresh(f, fd);
		return (int)ret;
	case FIOCLEX:
	case FIONCLEX:
		return (int)SYS(SYS_ioctl, fd, cmd, arg);
	}
	return ioctl_of(f, cmd, arg);
}

unsigned ufd_poll(struct file *f)
{
	bool nonblock = atomic_load(&f->nonblock);

	return atomic_load(&f->foreign) ? remote_poll(f, nonblock) : uffd_poll(f->ctx, nonblock);
}

size_t ufd_fdinfo(struct file *f, char *buf, size_t size)
{
	return atomic_load(&f->foreign) ? remote_fdinfo(f, buf, size)
					: uffd_fdinfo(f->ctx, buf, size);
}
