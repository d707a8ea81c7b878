/*
 * gate_wait.c - system calls that wait for descriptors, with a userfaultfd among them; and what
 * they do to the signal mask meanwhile.
 */
#include "front/gate.h"

#include <string.h>

#include "front/preload.h"

#define SIGNAL_BYTES 8 /* a mask of the kernel's */

/* A mask of the program's, without what is never blocked. Size 0: none. */
struct mask {
	sigset_t set;
	size_t size;
};

static int take_mask(struct mask *m, const void *from, size_t size)
{
	sigset_t copy;
	int err;

	memset(m, 0, sizeof(*m));
	if (!from)
		return 0;
	if (size != SIGNAL_BYTES)
		return -EINVAL;
	m->size = size;
	err = gate_fetch(&m->set, from, size);
	if (!err)
		m->set = *mask_strip(&m->set, &copy);
	return err;
}

static const sigset_t *mask_of(const struct mask *m)
{
	return m->size ? &m->set : NULL;
}

/* ---- times -------------------------------------------------------------------------------------
 */

static const struct timespec *of_ms(int ms, struct timespec *ts)
{
	if (ms < 0)
		return NULL;
	*ts = (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l};
	return ts;
}

/* What is left goes back to where the program has it; that this fails is no error. */
static void give_left(void *to, uint64_t deadline, bool in_us)
{
	struct timespec left;

	if (!to || !deadline_left(deadline, &left))
		return;
	if (in_us)
		left.tv_nsec /= 1000;
	gate_give(to, &left, sizeof(left));
}

/* ---- poll --------------------------------------------------------------------------------------
 */

static bool ready_for_poll(const long a[6])
{
	return atomic_load_explicit(&files_used, memory_order_relaxed) && a[0] &&
	       (nfds_t)a[1] <= 1u << 20 &&
	       gate_touch((void *)a[0], (size_t)a[1] * sizeof(struct pollfd)) == 0 &&
	       poll_concerns((struct pollfd *)a[0], (nfds_t)a[1]);
}

static long call_poll(const long a[6])
{
	struct timespec ts;

	if (!ready_for_poll(a))
		return gate_others(SYS_poll, a);
	return poll_wait((struct pollfd *)a[0], (nfds_t)a[1], of_ms((int)a[2], &ts), NULL);
}

static long call_ppoll(const long a[6])
{
	struct timespec ts, *timeout = NULL;
	struct mask mask;
	uint64_t deadline;
	long b[6], ret = take_mask(&mask, (void *)a[3], (size_t)a[4]);

	if (ret)
		return ret;
	if (!ready_for_poll(a)) {
		memcpy(b, a, sizeof(b));
		b[3] = (long)mask_of(&mask);
		return gate_others(SYS_ppoll, b);
	}
	if (a[2]) {
		timeout = &ts;
		ret = gate_fetch(timeout, (void *)a[2], sizeof(ts));
	}
	if (ret)
		return ret;
	deadline = deadline_after(timeout);
	ret = poll_wait((struct pollfd *)a[0], (nfds_t)a[1], timeout, mask_of(&mask));
	give_left((void *)a[2], deadline, false);
	return ret;
}

/* ---- select ------------------------------------------------------------------------------------
 */

static bool ready_for_select(const long a[6])
{
	size_t size = ((size_t)a[0] + 63) / 64 * 8;
	int i;

	if (!atomic_load_explicit(&files_used, memory_order_relaxed) || a[0] < 0 || a[0] > 65536)
		return false;
	for (i = 1; i <= 3; i++)
		if (a[i] && gate_touch((void *)a[i], size) < 0)
			return false;
	return select_concerns((int)a[0], (fd_set *)a[1], (fd_set *)a[2], (fd_set *)a[3]);
}

static long select_ours(const long a[6], const struct timespec *timeout, const sigset_t *mask,
			bool in_us)
{
	uint64_t deadline = deadline_after(timeout);
	long ret;

	ret = select_wait((int)a[0], (fd_set *)a[1], (fd_set *)a[2], (fd_set *)a[3], timeout, mask);
	give_left((void *)a[4], deadline, in_us);
	return ret;
}

static long call_select(const long a[6])
{
	struct timespec ts;

	if (!ready_for_select(a))
		return gate_others(SYS_select, a);
	if (!a[4])
		return select_ours(a, NULL, NULL, true);
	/* A timeval looks the same. */
	if (gate_fetch(&ts, (void *)a[4], sizeof(ts)) < 0)
		return -EFAULT;
	if (ts.tv_sec < 0 || ts.tv_nsec < 0)
		return -EINVAL;
	ts.tv_sec += ts.tv_nsec / 1000000;
	ts.tv_nsec = ts.tv_nsec % 1000000 * 1000;
	return select_ours(a, &ts, NULL, true);
}

/* The sixth argument is a structure with the mask and its size. */
static long call_pselect(const long a[6])
{
	struct timespec ts;
	struct mask mask;
	long b[6], sig[2] = {0};

	if (a[5] && gate_fetch(sig, (void *)a[5], sizeof(sig)) < 0)
		return -EFAULT;
	b[0] = take_mask(&mask, (void *)sig[0], (size_t)sig[1]);
	if (b[0])
		return b[0];
	if (!ready_for_select(a)) {
		memcpy(b, a, sizeof(b));
		sig[0] = (long)mask_of(&mask);
		b[5] = a[5] ? (long)sig : 0;
		return gate_others(SYS_pselect6, b);
	}
	if (a[4] && gate_fetch(&ts, (void *)a[4], sizeof(ts)) < 0)
		return -EFAULT;
	return select_ours(a, a[4] ? &ts : NULL, mask_of(&mask), false);
}

/* ---- epoll -------------------------------------------------------------------------------------
 */

static long call_epoll_ctl(const long a[6])
{
	FILE_REF struct file *f = file_get_kind((int)a[2], FILE_UFFD);
	struct epoll_event event;

	if (!f)
		return gate_others(SYS_epoll_ctl, a);
	if (a[3] && gate_fetch(&event, (void *)a[3], sizeof(event)) < 0)
		return -EFAULT;
	return epoll_change(f, (int)a[0], (int)a[1], (int)a[2], a[3] ? &event : NULL);
}

/* timeout: a structure, or for a null one milliseconds, for ever if negative. */
static long call_epoll_wait(long nr, const long a[6], const void *timeout, int ms)
{
	FILE_REF struct file *ep = file_get_kind((int)a[0], FILE_EPOLL);
	struct timespec ts;
	struct mask mask;
	long b[6], err = 0;

	err = nr == SYS_epoll_wait ? take_mask(&mask, NULL, 0)
				   : take_mask(&mask, (void *)a[4], (size_t)a[5]);
	if (err)
		return err;
	if (!ep) {
		memcpy(b, a, sizeof(b));
		if (nr != SYS_epoll_wait)
			b[4] = (long)mask_of(&mask);
		return gate_others(nr, b);
	}
	if (timeout && gate_fetch(&ts, timeout, sizeof(ts)) < 0)
		return -EFAULT;
	return epoll_wait_for(ep, (int)a[0], (struct epoll_event *)a[1], (int)a[2],
			      timeout ? &ts : of_ms(ms, &ts), mask_of(&mask));
}

bool gate_wait(long nr, const long a[6], long *ret)
{
	switch (nr) {
	case SYS_poll:
		*ret = call_poll(a);
		return true;
	case SYS_ppoll:
		*ret = call_ppoll(a);
		return true;
	case SYS_select:
		*ret = call_select(a);
		return true;
	case SYS_pselect6:
		*ret = call_pselect(a);
		return true;
	case SYS_epoll_ctl:
		*ret = call_epoll_ctl(a);
		return true;
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
		*ret = call_epoll_wait(nr, a, NULL, (int)a[3]);
		return true;
	case SYS_epoll_pwait2:
		*ret = call_epoll_wait(nr, a, (void *)a[3], -1);
		return true;
	}
	return false;
}
