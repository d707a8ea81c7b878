/*
 * poll.c - poll, select and their kin over sets that hold a userfaultfd.
 *
 * What a userfaultfd has to say comes from the context; the others are asked by a poll of the
 * kernel's with ours taken out. Before sleeping: spin, as read does. Asleep, ours stand in the set
 * by their hidden duplicates, so that a descriptor number reused meanwhile means nothing to us.
 */
#include "front/gate.h"
#include "front/preload.h"

#include <limits.h>
#include <string.h>
#include <sys/mman.h>

#define ON_STACK 64u
#define MOST	 (1u << 20) /* beyond it the kernel has an error to give */

/* One call: the program's array, a copy for the kernel, and ours in it. */
struct waiting {
	struct pollfd *fds;
	struct pollfd *copy;
	struct file **file; /* NULL where it is not ours */
	struct file **mine; /* those of them that are to be readable, without the holes */
	nfds_t n;
	nfds_t held; /* how many of file[] are filled in */
	unsigned nmine;
	unsigned asleep; /* how many of mine have had sleep_begin */
	void *big;
	size_t big_size;
};

uint64_t deadline_after(const struct timespec *timeout)
{
	uint64_t now;

	if (!timeout)
		return UINT64_MAX;
	now = mach_now();
	if ((uint64_t)timeout->tv_sec > (UINT64_MAX - now) / 2000000000ull)
		return UINT64_MAX;
	return now + (uint64_t)timeout->tv_sec * 1000000000ull + (uint64_t)timeout->tv_nsec;
}

struct timespec *deadline_left(uint64_t deadline, struct timespec *ts)
{
	uint64_t now;

	if (deadline == UINT64_MAX)
		return NULL;
	now = mach_now();
	now = now < deadline ? deadline - now : 0;
	ts->tv_sec = (time_t)(now / 1000000000ull);
	ts->tv_nsec = (long)(now % 1000000000ull);
	return ts;
}

bool poll_concerns(struct pollfd *fds, nfds_t n)
{
	struct file *f;
	nfds_t i;

	if (likely(!atomic_load_explicit(&front_live, memory_order_relaxed)) || !fds || n > MOST)
		return false;
	for (i = 0; i < n; i++) {
		f = fds[i].fd >= 0 ? file_get_kind(fds[i].fd, FILE_UFFD) : NULL;
		if (f) {
			file_put(f);
			return true;
		}
	}
	return false;
}

static void wake_up(struct waiting *w)
{
	while (w->asleep)
		ufd_sleep_end(w->mine[--w->asleep], false);
}

/* Also when the thread is cancelled in its sleep. */
static void finish(struct waiting *w)
{
	nfds_t i;

	wake_up(w);
	for (i = 0; i < w->held; i++)
		if (w->file[i])
			file_put(w->file[i]);
	if (w->big)
		SYS(SYS_munmap, w->big, w->big_size);
}

/* What ours have to say; the number of them that say something. */
static int look_at_ours(struct waiting *w)
{
	nfds_t i;
	int ready = 0;

	for (i = 0; i < w->n; i++) {
		if (!w->file[i])
			continue;
		w->fds[i].revents = (short)(ufd_poll(w->file[i]) &
					    ((unsigned)w->fds[i].events | POLLERR | POLLHUP));
		ready += w->fds[i].revents != 0;
	}
	return ready;
}

/* What the kernel says of the others, at once. Ours are out of the set. */
static int look_at_others(struct waiting *w)
{
	const struct timespec none = {0};
	nfds_t i;
	long ready;

	if (w->nmine == w->n)
		return 0;
	for (i = 0; i < w->n; i++)
		w->copy[i] = (struct pollfd){.fd = w->file[i] ? -1 : w->fds[i].fd,
					     .events = w->fds[i].events};
	ready = SYS(SYS_ppoll, w->copy, w->n, &none, NULL, 8);
	if (ready < 0)
		return (int)ready;
	for (i = 0; i < w->n; i++)
		if (!w->file[i])
			w->fds[i].revents = w->copy[i].revents;
	return (int)ready;
}

static int look(struct waiting *w)
{
	int ours = look_at_ours(w), others = look_at_others(w);

	return others < 0 ? others : ours + others;
}

static bool others_ready(void *arg)
{
	return look_at_others(arg) != 0;
}

/* Sleep until something happens; 0 or a negative errno. A cancellation point. */
static int sleep_all(struct waiting *w, uint64_t deadline, const sigset_t *mask)
{
	struct timespec ts;
	nfds_t i;
	int ret;

	while (w->asleep < w->nmine) {
		if (!ufd_sleep_begin(w->mine[w->asleep])) {
			wake_up(w);
			return 0;
		}
		w->asleep++;
	}
	for (i = 0; i < w->n; i++) {
		w->copy[i].fd =
			w->file[i] && w->file[i]->hidden >= 0 ? w->file[i]->hidden : w->fds[i].fd;
		w->copy[i].events = w->file[i] ? w->fds[i].events & POLLIN : w->fds[i].events;
	}
	/* Not by way of libc, whose own call may come back to the gate, and here. */
	ret = (int)GATE_POINT(SYS_ppoll, w->copy, w->n, deadline_left(deadline, &ts), mask,
			      sizeof(uint64_t));
	wake_up(w);
	return ret < 0 ? ret : 0;
}

/* Longer than anybody waits; an end is what makes the sleep return behind a signal's handler. */
#define FOR_EVER_NS 1000000000000000000ull

/*
 * One userfaultfd and nothing else: no descriptor is needed to sleep for it. Whoever cancels the
 * thread rings.
 */
static int sleep_alone(struct file *f, uint64_t deadline)
{
	uint64_t now = mach_now();
	uint32_t heard;
	int err = 0;

	if (!uffd_listen_begin(f->ctx, &heard))
		return 0;
	if (deadline == UINT64_MAX)
		err = uffd_listen(f->ctx, heard, FOR_EVER_NS);
	else if (now < deadline)
		err = uffd_listen(f->ctx, heard, deadline - now);
	uffd_listen_end(f->ctx);
	pthread_testcancel();
	return err == -ETIMEDOUT ? 0 : err;
}

static void ring(struct file *f, void *unused)
{
	(void)unused;
	if (!atomic_load(&f->foreign))
		uffd_ring(f->ctx);
}

EXPORT int pthread_cancel(pthread_t thread)
{
	int err = REAL(pthread_cancel)(thread);

	if (atomic_load_explicit(&front_live, memory_order_relaxed))
		file_each(FILE_UFFD, ring, NULL);
	return err;
}

/* The files in the set, and room for the copy. -ENOMEM. */
static int prepare(struct waiting *w, struct pollfd *copy, struct file **files)
{
	struct file *f;
	size_t each = sizeof(*w->copy) + 2 * sizeof(struct file *);
	nfds_t i;
	long map;

	w->copy = copy;
	w->file = files;
	if (w->n > ON_STACK) {
		w->big_size = w->n * each;
		map = SYS(SYS_mmap, 0, w->big_size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (map < 0)
			return -ENOMEM;
		w->big = (void *)map;
		w->file = w->big;
		w->copy = (struct pollfd *)(w->file + 2 * w->n);
	}
	w->mine = w->file + (w->n > ON_STACK ? w->n : ON_STACK);
	for (i = 0; i < w->n; i++) {
		f = w->fds[i].fd >= 0 ? file_get_kind(w->fds[i].fd, FILE_UFFD) : NULL;
		w->file[i] = f;
		w->held++;
		if (f && (w->fds[i].events & (POLLIN | POLLRDNORM)))
			w->mine[w->nmine++] = f;
	}
	return 0;
}

int poll_wait(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	struct pollfd copy[ON_STACK];
	struct file *files[2 * ON_STACK];
	struct waiting w __attribute__((cleanup(finish))) = {.fds = fds, .n = n};
	uint64_t deadline, now;
	int ready, err;

	if (timeout && (timeout->tv_sec < 0 || (unsigned long)timeout->tv_nsec > 999999999ul))
		return -EINVAL;
	pthread_testcancel();
	deadline = deadline_after(timeout);
	err = prepare(&w, copy, files);
	if (err)
		return err;
	thread_enter();
	for (;;) {
		ready = look(&w);
		if (ready)
			return ready;
		now = mach_now();
		if (now >= deadline)
			return 0;
		if (ufd_spin(w.mine, w.nmine, w.nmine < w.n ? others_ready : NULL, &w,
			     deadline - now))
			continue;
		err = w.n == 1 && w.nmine == 1 && !mask && !atomic_load(&w.mine[0]->foreign)
			      ? sleep_alone(w.mine[0], deadline)
			      : sleep_all(&w, deadline, mask);
		if (err)
			return err;
	}
}

/* ---- poll --------------------------------------------------------------------------------------
 */

static const struct timespec *of_ms(int ms, struct timespec *ts)
{
	if (ms < 0)
		return NULL;
	ts->tv_sec = ms / 1000;
	ts->tv_nsec = ms % 1000 * 1000000l;
	return ts;
}

EXPORT int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	struct timespec ts;

	if (likely(!poll_concerns(fds, n)))
		return REAL(poll)(fds, n, timeout);
	return (int)sys_errno(poll_wait(fds, n, of_ms(timeout, &ts), NULL));
}

EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size)
{
	struct timespec ts;

	if (likely(!poll_concerns(fds, size / sizeof(*fds) < n ? 0 : n)))
		return REAL(__poll_chk)(fds, n, timeout, size);
	return (int)sys_errno(poll_wait(fds, n, of_ms(timeout, &ts), NULL));
}

EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	sigset_t stripped;

	mask = mask_strip(mask, &stripped);
	if (likely(!poll_concerns(fds, n)))
		return REAL(ppoll)(fds, n, timeout, mask);
	return (int)sys_errno(poll_wait(fds, n, timeout, mask));
}

EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		       const sigset_t *mask, size_t size)
{
	sigset_t stripped;

	mask = mask_strip(mask, &stripped);
	if (likely(!poll_concerns(fds, size / sizeof(*fds) < n ? 0 : n)))
		return REAL(__ppoll_chk)(fds, n, timeout, mask, size);
	return (int)sys_errno(poll_wait(fds, n, timeout, mask));
}

/* ---- select ------------------------------------------------------------------------------------
 */

#define SELECT_READ   (POLLIN | POLLRDNORM | POLLRDBAND)
#define SELECT_WRITE  (POLLOUT | POLLWRNORM | POLLWRBAND)
#define SELECT_EXCEPT POLLPRI

static bool is_set(int fd, const fd_set *set)
{
	return set && ((const unsigned long *)set)[fd / NFDBITS] >> (fd % NFDBITS) & 1;
}

static void clear_all(int n, fd_set *set)
{
	if (set)
		memset(set, 0, (size_t)(n + NFDBITS - 1) / NFDBITS * sizeof(unsigned long));
}

static void set_one(int fd, fd_set *set, int *count)
{
	((unsigned long *)set)[fd / NFDBITS] |= 1ul << (fd % NFDBITS);
	++*count;
}

bool select_concerns(int n, const fd_set *r, const fd_set *w, const fd_set *e)
{
	struct file *f;
	int fd;

	if (likely(!atomic_load_explicit(&front_live, memory_order_relaxed)))
		return false;
	for (fd = 0; fd < n; fd++) {
		if (!is_set(fd, r) && !is_set(fd, w) && !is_set(fd, e))
			continue;
		f = file_get_kind(fd, FILE_UFFD);
		if (f) {
			file_put(f);
			return true;
		}
	}
	return false;
}

static nfds_t fds_of_sets(int n, const fd_set *r, const fd_set *w, const fd_set *e,
			  struct pollfd *fds)
{
	nfds_t count = 0;
	short events;
	int fd;

	for (fd = 0; fd < n; fd++) {
		events = (short)((is_set(fd, r) ? SELECT_READ : 0) |
				 (is_set(fd, w) ? SELECT_WRITE : 0) |
				 (is_set(fd, e) ? SELECT_EXCEPT : 0));
		if (events)
			fds[count++] = (struct pollfd){.fd = fd, .events = events};
	}
	return count;
}

static int sets_of_fds(const struct pollfd *fds, nfds_t count, fd_set *r, fd_set *w, fd_set *e)
{
	int bits = 0;
	nfds_t i;

	for (i = 0; i < count; i++) {
		short got = fds[i].revents, asked = fds[i].events;

		if ((asked & POLLIN) && (got & (SELECT_READ | POLLHUP | POLLERR)))
			set_one(fds[i].fd, r, &bits);
		if ((asked & POLLOUT) && (got & (SELECT_WRITE | POLLERR)))
			set_one(fds[i].fd, w, &bits);
		if ((asked & POLLPRI) && (got & POLLPRI))
			set_one(fds[i].fd, e, &bits);
	}
	return bits;
}

int select_wait(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout,
		const sigset_t *mask)
{
	struct pollfd *fds;
	nfds_t count, i;
	int ready;

	if (n > 65536)
		return -EINVAL;
	fds = __builtin_alloca((size_t)n * sizeof(*fds));
	count = fds_of_sets(n, r, w, e, fds);
	ready = poll_wait(fds, count, timeout, mask);
	if (ready < 0)
		return ready;
	for (i = 0; i < count; i++)
		if (fds[i].revents & POLLNVAL)
			return -EBADF;
	clear_all(n, r);
	clear_all(n, w);
	clear_all(n, e);
	return sets_of_fds(fds, count, r, w, e);
}

EXPORT int select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout)
{
	struct timespec ts, left;
	uint64_t deadline;
	int ret;

	if (likely(!select_concerns(n, r, w, e)))
		return REAL(select)(n, r, w, e, timeout);
	if (timeout) {
		if (timeout->tv_sec < 0 || timeout->tv_usec < 0)
			return (int)sys_errno(-EINVAL);
		ts.tv_sec = timeout->tv_sec + timeout->tv_usec / 1000000;
		ts.tv_nsec = timeout->tv_usec % 1000000 * 1000;
	}
	deadline = deadline_after(timeout ? &ts : NULL);
	ret = select_wait(n, r, w, e, timeout ? &ts : NULL, NULL);
	if (timeout && deadline_left(deadline, &left)) {
		timeout->tv_sec = left.tv_sec;
		timeout->tv_usec = left.tv_nsec / 1000;
	}
	return (int)sys_errno(ret);
}

EXPORT int pselect(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout,
		   const sigset_t *mask)
{
	sigset_t stripped;

	mask = mask_strip(mask, &stripped);
	if (likely(!select_concerns(n, r, w, e)))
		return REAL(pselect)(n, r, w, e, timeout, mask);
	return (int)sys_errno(select_wait(n, r, w, e, timeout, mask));
}
