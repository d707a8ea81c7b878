/*
 * engine.c - the loop: descriptors, timers, what other threads post.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "pager/internal.h"

#define EVENTS		  64
#define IN_FLIGHT_DEFAULT (32ull << 20)

struct watch {
	int fd;
	uint32_t events;
	void (*fn)(void *arg, uint32_t events); /* NULL: unwatched */
	void *arg;
	struct watch *next; /* in engine.dead */
};

uint64_t engine_random(struct engine *e)
{
	e->random ^= e->random << 13;
	e->random ^= e->random >> 7;
	e->random ^= e->random << 17;
	return e->random;
}

void engine_say(struct engine *e, enum engine_log level, const char *format, ...)
{
	char text[512];
	va_list args;

	if (!e->o.hooks.log)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	e->o.hooks.log(e->o.hooks.arg, level, text);
}

/* ---- descriptors
 */

static int watches_room(struct engine *e, int fd)
{
	size_t n = e->nwatches ? e->nwatches : 64;
	struct watch **more;

	while (n <= (size_t)fd)
		n *= 2;
	if (n == e->nwatches)
		return 0;
	more = realloc(e->watches, n * sizeof(*more));
	if (!more)
		return -ENOMEM;
	memset(more + e->nwatches, 0, (n - e->nwatches) * sizeof(*more));
	e->watches = more;
	e->nwatches = n;
	return 0;
}

static int unwatch(struct engine *e, int fd)
{
	struct watch *w = (size_t)fd < e->nwatches ? e->watches[fd] : NULL;

	if (!w)
		return -ENOENT;
	epoll_ctl(e->epoll, EPOLL_CTL_DEL, fd, NULL);
	e->watches[fd] = NULL;
	w->fn = NULL;
	w->next = e->dead;
	e->dead = w;
	return 0;
}

int engine_watch(struct engine *e, int fd, uint32_t events, void (*fn)(void *arg, uint32_t events),
		 void *arg)
{
	struct epoll_event ev = {.events = events};
	struct watch *w;
	int err;

	if (fd < 0)
		return -EBADF;
	if (!events)
		return unwatch(e, fd);
	err = watches_room(e, fd);
	if (err)
		return err;
	w = e->watches[fd];
	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w)
			return -ENOMEM;
		ev.data.ptr = w;
		if (epoll_ctl(e->epoll, EPOLL_CTL_ADD, fd, &ev)) {
			err = -errno;
			free(w);
			return err;
		}
		e->watches[fd] = w;
	} else {
		ev.data.ptr = w;
		if (w->events != events && epoll_ctl(e->epoll, EPOLL_CTL_MOD, fd, &ev))
			return -errno;
	}
	w->fd = fd;
	w->events = events;
	w->fn = fn;
	w->arg = arg;
	return 0;
}

static void free_dead(struct engine *e)
{
	while (e->dead) {
		struct watch *w = e->dead;

		e->dead = w->next;
		free(w);
	}
}

/* ---- timers: a list in order of time; most are set to go off last
 */

void timer_clear(struct timer *t)
{
	if (t->link.next)
		list_del(&t->link);
}

void timer_set(struct engine *e, struct timer *t, uint64_t ns)
{
	struct list *at = e->timers.prev;

	timer_clear(t);
	t->due = now_ns() + ns;
	while (at != &e->timers && of(at, struct timer, link)->due > t->due)
		at = at->prev;
	list_add(at->next, &t->link);
}

static bool timers_run(struct engine *e)
{
	uint64_t now = now_ns();
	bool ran = false;

	while (!list_empty(&e->timers)) {
		struct timer *t = of(e->timers.next, struct timer, link);

		if (t->due > now)
			break;
		list_del(&t->link);
		ran = true;
		t->fn(t->arg);
	}
	return ran;
}

static void timers_arm(struct engine *e)
{
	struct itimerspec spec = {0};
	uint64_t due = 0;

	if (!list_empty(&e->timers))
		due = of(e->timers.next, struct timer, link)->due;
	if (due == e->timer_set)
		return;
	spec.it_value.tv_sec = (time_t)(due / NS_PER_S);
	spec.it_value.tv_nsec = (long)(due % NS_PER_S);
	timerfd_settime(e->timerfd, TFD_TIMER_ABSTIME, &spec, NULL);
	e->timer_set = due;
}

static void timerfd_ready(void *arg, uint32_t events)
{
	struct engine *e = arg;
	uint64_t n;

	(void)events;
	if (read(e->timerfd, &n, sizeof(n)) > 0)
		e->timer_set = 0;
}

struct user_timer {
	struct timer timer;
	void (*fn)(void *arg);
	void *arg;
};

static void user_timer_fire(void *arg)
{
	struct user_timer *u = arg;
	void (*fn)(void *) = u->fn;
	void *fn_arg = u->arg;

	free(u);
	fn(fn_arg);
}

int engine_timer(struct engine *e, unsigned ms, void (*fn)(void *arg), void *arg)
{
	struct user_timer *u = NULL;

	for (struct list *l = e->timers.next; l != &e->timers && !u; l = l->next) {
		struct timer *t = of(l, struct timer, link);

		if (t->fn == user_timer_fire && ((struct user_timer *)t->arg)->fn == fn &&
		    ((struct user_timer *)t->arg)->arg == arg)
			u = t->arg;
	}
	if (!u) {
		u = calloc(1, sizeof(*u));
		if (!u)
			return -ENOMEM;
		u->timer = (struct timer){.fn = user_timer_fire, .arg = u};
		u->fn = fn;
		u->arg = arg;
	}
	timer_set(e, &u->timer, ms * NS_PER_MS);
	return 0;
}

/* ---- posts
 */

int engine_post(struct engine *e, void (*fn)(void *arg), void *arg)
{
	struct post *p = malloc(sizeof(*p));
	uint64_t one = 1;

	if (!p)
		return -ENOMEM;
	*p = (struct post){.fn = fn, .arg = arg};
	pthread_mutex_lock(&e->posts_lock);
	*e->posts_end = p;
	e->posts_end = &p->next;
	/* Within the lock: who has posted the last thing may free the engine after it. */
	while (write(e->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_mutex_unlock(&e->posts_lock);
	return 0;
}

static void posts_run(void *arg, uint32_t events)
{
	struct engine *e = arg;
	struct post *p;
	uint64_t n;

	(void)events;
	pthread_mutex_lock(&e->posts_lock);
	if (read(e->wake, &n, sizeof(n)) < 0)
		n = 0;
	p = e->posts;
	e->posts = NULL;
	e->posts_end = &e->posts;
	pthread_mutex_unlock(&e->posts_lock);
	while (p) {
		struct post *next = p->next;

		p->fn(p->arg);
		free(p);
		p = next;
	}
}

void engine_stop(struct engine *e)
{
	uint64_t one = 1;

	atomic_store(&e->stop, true);
	while (write(e->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* ---- the pager's file
 */

static int pager_file_check(int fd)
{
	struct pager_file head;
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (st.st_size < (off_t)sizeof(head) ||
	    pread(fd, &head, offsetof(struct pager_file, id), 0) !=
		    (ssize_t)offsetof(struct pager_file, id))
		return -EINVAL;
	return head.magic == PAGER_MAGIC && head.version == SHARED_VERSION &&
			       head.header_size == sizeof(head)
		       ? 0
		       : -EINVAL;
}

static uint64_t real_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static int pager_file_open(struct engine *e)
{
	bool old = e->o.file >= 0;
	int fd, err;

	if (old) {
		err = pager_file_check(e->o.file);
		if (err)
			return err;
		fd = fcntl(e->o.file, F_DUPFD_CLOEXEC, 3);
	} else {
		fd = memfd_create(PAGER_FILE_NAME, MFD_CLOEXEC);
	}
	if (fd < 0)
		return -errno;
	e->file = fd;
	if (!old && ftruncate(fd, sizeof(struct pager_file)))
		return -errno;
	e->f = mmap(NULL, sizeof(struct pager_file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (e->f == MAP_FAILED) {
		e->f = NULL;
		return -errno;
	}
	if (old) {
		bump((_Atomic uint64_t *)&e->f->restarted, 0);
		atomic_fetch_add(&e->f->takeovers, 1);
		for (unsigned i = 0; i < PAGER_SOURCES; i++)
			e->f->source[i].used = 0;
		return 0;
	}
	e->f->version = SHARED_VERSION;
	e->f->header_size = sizeof(struct pager_file);
	e->f->id = engine_random(e);
	e->f->started = real_ns();
	atomic_store(&e->f->next_number, 1);
	snprintf(e->f->name, sizeof(e->f->name), "%s", e->o.name ? e->o.name : "pager");
	e->f->magic = PAGER_MAGIC;
	return 0;
}

static void pager_file_fill(struct engine *e)
{
	atomic_store(&e->f->restarted, real_ns());
	atomic_store(&e->f->pid, (uint32_t)getpid());
	atomic_store(&e->f->cache_bytes, 0);
	atomic_store(&e->f->cache_limit, e->o.cache);
	atomic_store(&e->f->in_flight_bytes, 0);
	atomic_store(&e->f->in_flight_limit, e->in_flight_limit);
	atomic_store(&e->f->bandwidth, e->o.bandwidth);
}

int engine_file(struct engine *e)
{
	return e->file;
}

struct pager_file *engine_shared(struct engine *e)
{
	return e->f;
}

/* ---- life
 */

static int engine_descriptors(struct engine *e)
{
	int err;

	e->epoll = epoll_create1(EPOLL_CLOEXEC);
	e->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (e->epoll < 0 || e->wake < 0 || e->timerfd < 0)
		return -errno;
	e->zeros = mmap(NULL, PAGE_2M, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (e->zeros == MAP_FAILED) {
		e->zeros = NULL;
		return -ENOMEM;
	}
	err = engine_watch(e, e->wake, EPOLLIN, posts_run, e);
	return err ? err : engine_watch(e, e->timerfd, EPOLLIN, timerfd_ready, e);
}

int engine_new(const struct engine_options *options, struct engine **out)
{
	struct engine *e = calloc(1, sizeof(*e));
	struct list *lists[] = {&e->timers, &e->guests, &e->feeds,	 &e->ahead,
				&e->urgent, &e->ready,	&e->ready_ahead, &e->cache};
	int err;

	if (!e)
		return -ENOMEM;
	e->o = *options;
	e->epoll = e->wake = e->timerfd = e->file = -1;
	for (size_t i = 0; i < LEN(lists); i++)
		list_init(lists[i]);
	e->posts_end = &e->posts;
	pthread_mutex_init(&e->posts_lock, NULL);
	e->in_flight_limit = e->o.in_flight ? e->o.in_flight : IN_FLIGHT_DEFAULT;
	if (!e->o.deadline_ms)
		e->o.deadline_ms = 10000;
	if (getrandom(&e->random, sizeof(e->random), GRND_NONBLOCK) != sizeof(e->random))
		e->random = now_ns();
	e->random |= 1;
	err = engine_descriptors(e);
	if (!err)
		err = pager_file_open(e);
	if (err) {
		engine_free(e);
		return err;
	}
	pager_file_fill(e);
	*out = e;
	return 0;
}

static void free_timers(struct engine *e)
{
	while (!list_empty(&e->timers)) {
		struct timer *t = of(e->timers.next, struct timer, link);

		list_del(&t->link);
		if (t->fn == user_timer_fire)
			free(t->arg);
	}
}

void engine_free(struct engine *e)
{
	while (!list_empty(&e->guests))
		guest_detach(of(e->guests.next, struct guest, link), GUEST_DETACHED);
	guest_reap(e);
	while (!list_empty(&e->feeds))
		feed_close(of(e->feeds.next, struct feed, link));
	free_timers(e);
	while (e->posts) {
		struct post *p = e->posts;

		e->posts = p->next;
		free(p);
	}
	for (size_t fd = 0; fd < e->nwatches; fd++)
		free(e->watches[fd]);
	free(e->watches);
	free_dead(e);
	buffers_free(e);
	if (e->f)
		munmap(e->f, sizeof(*e->f));
	if (e->zeros)
		munmap(e->zeros, PAGE_2M);
	for (int *fd = (int[]){e->epoll, e->wake, e->timerfd, e->file, -2}; *fd != -2; fd++) {
		if (*fd >= 0)
			close(*fd);
	}
	pthread_mutex_destroy(&e->posts_lock);
	free(e);
}

void engine_each_guest(struct engine *e, void (*fn)(struct guest *g, void *arg), void *arg)
{
	for (struct list *l = e->guests.next, *next; l != &e->guests; l = next) {
		next = l->next;
		fn(of(l, struct guest, link), arg);
	}
}

/* ---- the loop
 */

static bool busy_guests_work(struct engine *e)
{
	bool more = false;

	for (struct list *l = e->guests.next, *next; l != &e->guests; l = next) {
		struct guest *g = of(l, struct guest, link);

		next = l->next;
		if (g->busy)
			more |= inbox_work(g);
	}
	return more;
}

/* What has been asked for is done in this order: faults, what they wait for, then prefetch. */
static void turn(struct engine *e)
{
	bool more = false;

	if (e->work)
		more = busy_guests_work(e);
	timers_run(e);
	more |= fetch_deliver(e, now_ns() + SLICE_NS);
	fetch_submit(e);
	more |= ahead_work(e);
	fetch_submit(e);
	guest_reap(e);
	e->work = more;
}

int engine_run(struct engine *e)
{
	struct epoll_event events[EVENTS];

	while (!atomic_load(&e->stop)) {
		int n;

		if (!e->work) {
			timers_arm(e);
			buffers_trim(e);
		}
		n = epoll_wait(e->epoll, events, EVENTS, e->work ? 0 : -1);
		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++) {
			struct watch *w = events[i].data.ptr;

			if (w->fn)
				w->fn(w->arg, events[i].events);
		}
		turn(e);
		free_dead(e);
	}
	atomic_store(&e->stop, false);
	return 0;
}
