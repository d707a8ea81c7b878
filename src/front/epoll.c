/*
 * epoll.c - epoll sets that hold a userfaultfd.
 *
 * The kernel watches the descriptor, whose level tells whether something is to be read; so a set
 * works by itself, also where we do not see the waiting. What the kernel cannot know is added here:
 * a userfaultfd that blocks or is not initialised is always in error. And we spin before we sleep.
 */
#include "front/gate.h"
#include "front/preload.h"

#include <stdlib.h>

#define SPIN_MOST 16u
/* What an eventfd would say and a userfaultfd never does. */
#define NEVER (EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND)

struct epoll_item {
	struct epoll_item *next;
	struct file *file; /* no reference: the item goes with the file */
	int fd;
	struct epoll_event event;
	bool listed; /* in error when it came, and ever since */
};

/* ---- the items of a set ------------------------------------------------------------------------
 */

static void lock_items(struct file *ep, struct mach_entry *entry)
{
	mach_enter(entry);
	mach_lock(&ep->lock);
}

static void unlock_items(struct file *ep, const struct mach_entry *entry)
{
	mach_unlock(&ep->lock);
	mach_leave(entry);
}

/* Take out what fits (fd < 0: whatever its number) and return it as a list. */
static struct epoll_item *take_items(struct file *ep, const struct file *f, int fd)
{
	struct epoll_item **at = &ep->items, *item, *taken = NULL;

	while ((item = *at)) {
		if ((f && item->file != f) || (fd >= 0 && item->fd != fd)) {
			at = &item->next;
			continue;
		}
		*at = item->next;
		item->next = taken;
		taken = item;
	}
	return taken;
}

static void free_items(struct epoll_item *item)
{
	struct epoll_item *next;

	for (; item; item = next) {
		next = item->next;
		free(item);
	}
}

static void remove_items(struct file *ep, void *f)
{
	struct mach_entry entry;
	struct epoll_item *items;

	lock_items(ep, &entry);
	items = take_items(ep, f, -1);
	unlock_items(ep, &entry);
	free_items(items);
}

static void gone(struct file *f)
{
	if (f->kind == FILE_UFFD)
		file_each(FILE_EPOLL, remove_items, f);
	else if (f->kind == FILE_EPOLL)
		free_items(f->items);
}

/* The set, remembered from now on. */
static struct file *set_of(int epfd)
{
	struct file *ep = file_get_kind(epfd, FILE_EPOLL);

	if (ep)
		return ep;
	file_gone = gone;
	ep = file_new(FILE_EPOLL);
	if (ep && file_attach(epfd, ep) < 0) {
		file_put(ep);
		ep = NULL;
	}
	return ep;
}

static int record(int epfd, int fd, struct file *f, const struct epoll_event *event)
{
	FILE_REF struct file *ep = set_of(epfd);
	struct epoll_item *item = malloc(sizeof(*item)), *old;
	struct mach_entry entry;

	if (!ep || !item) {
		free(item);
		return -ENOMEM;
	}
	*item = (struct epoll_item){
		.file = f, .fd = fd, .event = *event, .listed = ufd_poll(f) & EPOLLERR};
	lock_items(ep, &entry);
	old = take_items(ep, f, fd);
	item->next = ep->items;
	ep->items = item;
	unlock_items(ep, &entry);
	free_items(old);
	return 0;
}

static void forget(int epfd, int fd, struct file *f)
{
	FILE_REF struct file *ep = file_get_kind(epfd, FILE_EPOLL);
	struct mach_entry entry;
	struct epoll_item *old;

	if (!ep)
		return;
	lock_items(ep, &entry);
	old = take_items(ep, f, fd);
	unlock_items(ep, &entry);
	free_items(old);
}

long epoll_change(struct file *f, int epfd, int op, int fd, struct epoll_event *event)
{
	struct epoll_event native;
	long ret;

	if (op == EPOLL_CTL_DEL) {
		ret = SYS(SYS_epoll_ctl, epfd, op, fd, event);
		if (ret == 0)
			forget(epfd, fd, f);
		return ret;
	}
	if (!event)
		return -EFAULT;
	native = *event;
	native.events &= ~NEVER;
	ufd_watch(f);
	ret = SYS(SYS_epoll_ctl, epfd, op, fd, &native);
	if (ret == 0 && record(epfd, fd, f, event) < 0) {
		SYS(SYS_epoll_ctl, epfd, EPOLL_CTL_DEL, fd, NULL);
		return -ENOMEM;
	}
	return ret;
}

EXPORT int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	FILE_REF struct file *f = file_get_kind(fd, FILE_UFFD);

	return likely(!f) ? REAL(epoll_ctl)(epfd, op, fd, event)
			  : (int)sys_errno(epoll_change(f, epfd, op, fd, event));
}

static void drop_items(struct file *ep, void *arg)
{
	(void)arg;
	ep->items = NULL;
}

/* The parent's userfaultfds say nothing to a child; the sets are left to the kernel. */
void epoll_child(void)
{
	file_each(FILE_EPOLL, drop_items, NULL);
}

/* ---- waiting -----------------------------------------------------------------------------------
 */

/* One call: where the events go, and the files that we spin on. */
struct waiting {
	struct file *ep;
	int epfd;
	struct epoll_event *events;
	int max;
	int found; /* by the kernel, while we spun */
	struct file *file[SPIN_MOST];
	unsigned n;
};

static void finish(struct waiting *w)
{
	while (w->n)
		file_put(w->file[--w->n]);
}

static bool in_error(struct epoll_item *item)
{
	return ufd_poll(item->file) & EPOLLERR;
}

/*
 * Report the items that have been in error since they were put in; how many. One that gets into
 * error later is reported when something else happens to it, as by the kernel.
 */
static int report_errors(struct waiting *w)
{
	struct epoll_item *item;
	struct mach_entry entry;
	int n = 0;

	lock_items(w->ep, &entry);
	for (item = w->ep->items; item && n < w->max; item = item->next) {
		if (!item->listed)
			continue;
		item->listed = in_error(item);
		if (!item->listed)
			continue;
		w->events[n].events = EPOLLERR;
		w->events[n++].data = item->event.data;
		item->listed = !(item->event.events & (EPOLLET | EPOLLONESHOT));
	}
	unlock_items(w->ep, &entry);
	return n;
}

/* What the kernel says of an item in error is that, unless it has been said. */
static int correct_errors(struct waiting *w, struct epoll_event *events, int n)
{
	struct epoll_item *item;
	struct mach_entry entry;
	int i, kept = n;

	if (n <= 0)
		return n;
	lock_items(w->ep, &entry);
	for (item = w->ep->items; item; item = item->next) {
		if (!in_error(item))
			continue;
		for (i = 0, n = kept, kept = 0; i < n; i++) {
			if (events[i].data.u64 == item->event.data.u64) {
				if (item->listed)
					continue;
				events[i].events = EPOLLERR;
			}
			events[kept++] = events[i];
		}
	}
	unlock_items(w->ep, &entry);
	return kept;
}

/* The files to spin on, each with a reference. */
static void collect(struct waiting *w)
{
	struct epoll_item *item;
	struct mach_entry entry;
	struct file *f;
	int fd[SPIN_MOST];
	unsigned n = 0, i;

	lock_items(w->ep, &entry);
	for (item = w->ep->items; item && n < SPIN_MOST; item = item->next)
		fd[n++] = item->fd;
	unlock_items(w->ep, &entry);
	for (i = 0; i < n; i++) {
		f = file_get_kind(fd[i], FILE_UFFD);
		if (f)
			w->file[w->n++] = f;
	}
}

static int native_now(struct waiting *w, int from)
{
	if (from == w->max)
		return 0;
	return (int)SYS(SYS_epoll_pwait, w->epfd, w->events + from, w->max - from, 0, NULL, 8);
}

static bool others_ready(void *arg)
{
	struct waiting *w = arg;

	w->found = native_now(w, 0);
	return w->found != 0;
}

static int ms_left(uint64_t deadline)
{
	struct timespec ts;

	if (!deadline_left(deadline, &ts))
		return -1;
	if (ts.tv_sec > 1000000)
		return 1000000000;
	return (int)(ts.tv_sec * 1000 + (ts.tv_nsec + 999999) / 1000000);
}

static int native_sleep(struct waiting *w, uint64_t deadline, const sigset_t *mask)
{
	return (int)GATE_POINT(SYS_epoll_pwait, w->epfd, w->events, w->max, ms_left(deadline), mask,
			       8);
}

static int epoll_look(struct waiting *w)
{
	int errors = report_errors(w), n = native_now(w, errors);

	if (n < 0)
		return errors ? errors : n;
	return errors + correct_errors(w, w->events + errors, n);
}

int epoll_wait_for(struct file *ep, int epfd, struct epoll_event *events, int max,
		   const struct timespec *timeout, const sigset_t *mask)
{
	struct waiting w __attribute__((cleanup(finish))) = {
		.ep = ep, .epfd = epfd, .events = events, .max = max};
	uint64_t deadline = deadline_after(timeout), now;
	int n;

	if (max <= 0)
		return -EINVAL;
	pthread_testcancel();
	thread_enter();
	n = epoll_look(&w);
	collect(&w);
	while (n == 0) {
		now = mach_now();
		if (now >= deadline)
			return 0;
		if (ufd_spin(w.file, w.n, others_ready, &w, deadline - now))
			n = epoll_look(&w);
		else if (w.found)
			n = correct_errors(&w, events, w.found);
		else
			n = correct_errors(&w, events, native_sleep(&w, deadline, mask));
		w.found = 0;
	}
	return n;
}

EXPORT int epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout,
		       const sigset_t *mask)
{
	FILE_REF struct file *ep = file_get_kind(epfd, FILE_EPOLL);
	struct timespec ts = {.tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000l};
	sigset_t stripped;

	mask = mask_strip(mask, &stripped);
	if (likely(!ep))
		return REAL(epoll_pwait)(epfd, events, max, timeout, mask);
	return (int)sys_errno(
		epoll_wait_for(ep, epfd, events, max, timeout < 0 ? NULL : &ts, mask));
}

EXPORT int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
	if (likely(!atomic_load_explicit(&files_used, memory_order_relaxed)))
		return REAL(epoll_wait)(epfd, events, max, timeout);
	return epoll_pwait(epfd, events, max, timeout, NULL);
}

EXPORT int epoll_pwait2(int epfd, struct epoll_event *events, int max,
			const struct timespec *timeout, const sigset_t *mask)
{
	FILE_REF struct file *ep = file_get_kind(epfd, FILE_EPOLL);
	sigset_t stripped;

	mask = mask_strip(mask, &stripped);
	if (likely(!ep))
		return REAL(epoll_pwait2)(epfd, events, max, timeout, mask);
	return (int)sys_errno(epoll_wait_for(ep, epfd, events, max, timeout, mask));
}
