/*
 * guest.c - guests: attached, taken over, forked, ended; their files and regions.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pager/internal.h"

#define REFUSE(code, ...) (snprintf(why, why_size, __VA_ARGS__), (code))

/* ---- regions: sorted by address, none empty
 */

const struct guest_region *region_at(struct guest *g, uint64_t addr)
{
	const struct guest_region *r = &g->f->region[g->last];
	uint32_t low = 0, high = g->f->nregions;

	if (g->last < high && addr - r->addr < r->size)
		return r;
	while (low < high) {
		uint32_t mid = (low + high) / 2;

		r = &g->f->region[mid];
		if (addr < r->addr) {
			high = mid;
		} else if (addr - r->addr >= r->size) {
			low = mid + 1;
		} else {
			g->last = mid;
			return r;
		}
	}
	return NULL;
}

const struct guest_region *region_of(struct guest *g, uint64_t page)
{
	const struct guest_region *r = &g->f->region[g->last];

	if (g->last < g->f->nregions && page - r->first < r->size / r->page_size)
		return r;
	for (uint32_t i = 0; i < g->f->nregions; i++) {
		r = &g->f->region[i];
		if (page - r->first < r->size / r->page_size) {
			g->last = i;
			return r;
		}
	}
	return NULL;
}

static int by_addr(const void *a, const void *b)
{
	const struct guest_region *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static int region_check(const struct guest_region *r, bool minor, uint64_t source_size, char *why,
			size_t why_size)
{
	if (r->page_size != PAGE_4K && r->page_size != PAGE_2M)
		return REFUSE(-EINVAL,
			      "a region's page size is %llu; it can be 4096 or 2097152 bytes",
			      (unsigned long long)r->page_size);
	if (!r->size)
		return REFUSE(-EINVAL, "the region at %#llx is empty", (unsigned long long)r->addr);
	if ((r->addr | r->size) % r->page_size || r->offset % PAGE_4K)
		return REFUSE(
			-EINVAL,
			"the region at %#llx (%#llx bytes from offset %#llx) is not aligned to "
			"its pages",
			(unsigned long long)r->addr, (unsigned long long)r->size,
			(unsigned long long)r->offset);
	if (r->addr + r->size < r->addr || r->offset + r->size < r->offset ||
	    r->addr + r->size > 1ull << 57)
		return REFUSE(-EINVAL,
			      "the region at %#llx wraps around or leaves the address space",
			      (unsigned long long)r->addr);
	if (r->offset + r->size > source_size)
		return REFUSE(-ERANGE,
			      "the region at %#llx ends at offset %#llx, beyond the source's end "
			      "at %#llx",
			      (unsigned long long)r->addr,
			      (unsigned long long)(r->offset + r->size),
			      (unsigned long long)source_size);
	if ((r->flags & REGION_MINOR) && !minor)
		return REFUSE(-EINVAL,
			      "a region is to be filled by way of a memfd that did not come");
	return 0;
}

static int regions_check(const struct guest_region *r, size_t n, bool minor, bool own,
			 const struct source *s, char *why, size_t why_size)
{
	/* What lies beyond a source that does not end with a page is zero; our own memory may be
	 * longer than the source. */
	uint64_t end = (s->size + PAGE_2M - 1) & ~(PAGE_2M - 1);

	if (!n)
		return REFUSE(-EINVAL, "there are no regions");
	if (n > GUEST_REGIONS)
		return REFUSE(-EINVAL, "there are %zu regions; %u are possible", n, GUEST_REGIONS);
	for (size_t i = 0; i < n; i++) {
		uint64_t limit =
			r[i].page_size == PAGE_2M ? end : (s->size + PAGE_4K - 1) & ~(PAGE_4K - 1);
		int err = region_check(&r[i], minor, own ? UINT64_MAX : limit, why, why_size);

		if (err)
			return err;
		if (i && r[i].addr < r[i - 1].addr + r[i - 1].size)
			return REFUSE(-EINVAL, "the regions at %#llx and %#llx overlap",
				      (unsigned long long)r[i - 1].addr,
				      (unsigned long long)r[i].addr);
	}
	return 0;
}

/* ---- their files
 */

static size_t file_size(uint64_t npages)
{
	return (sizeof(struct guest_file) + npages + PAGE_4K - 1) & ~(PAGE_4K - 1);
}

static int file_map(struct guest *g)
{
	g->f = mmap(NULL, g->file_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->file, 0);
	if (g->f == MAP_FAILED) {
		g->f = NULL;
		return -errno;
	}
	return 0;
}

static uint64_t real_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static int file_new(struct guest *g, const struct guest_region *region, size_t n, uint64_t npages)
{
	struct guest_file *f;
	int err;

	g->file_size = file_size(npages);
	g->file = memfd_create(GUEST_FILE_NAME, MFD_CLOEXEC);
	if (g->file < 0 || ftruncate(g->file, (off_t)g->file_size))
		return -errno;
	err = file_map(g);
	if (err)
		return err;
	f = g->f;
	f->version = SHARED_VERSION;
	f->header_size = sizeof(*f);
	f->size = g->file_size;
	f->npages = npages;
	f->states_at = sizeof(*f);
	f->id = engine_random(g->e);
	f->number = atomic_fetch_add(&g->e->f->next_number, 1);
	f->started = real_ns();
	memcpy(f->region, region, n * sizeof(*region));
	f->nregions = (uint32_t)n;
	snprintf(f->source, sizeof(f->source), "%s", g->feed->s->spec);
	f->magic = GUEST_MAGIC;
	g->states = (uint8_t *)f + f->states_at;
	return 0;
}

/* A guest's file that somebody else wrote: nothing in it may lead us out of it. */
static int file_adopt(struct guest *g, int file, char *why, size_t why_size)
{
	struct guest_file *f;
	struct stat st;
	int err;

	if (fstat(file, &st) || st.st_size < (off_t)sizeof(*f))
		return REFUSE(-EINVAL, "the guest's file is too short");
	g->file_size = (size_t)st.st_size;
	g->file = fcntl(file, F_DUPFD_CLOEXEC, 3);
	if (g->file < 0)
		return REFUSE(-errno, "its descriptor cannot be duplicated");
	err = file_map(g);
	if (err)
		return REFUSE(err, "the guest's file cannot be mapped");
	f = g->f;
	if (f->magic != GUEST_MAGIC || f->version != SHARED_VERSION ||
	    f->header_size != sizeof(*f) || f->size != g->file_size || f->states_at != sizeof(*f) ||
	    f->npages > g->file_size - sizeof(*f) || f->nregions > GUEST_REGIONS ||
	    f->state == GUEST_ENDED)
		return REFUSE(-EINVAL, "the guest's file is not one that this version wrote");
	if (!regions_redo(g))
		return REFUSE(-EINVAL, "the guest's file has regions that cannot be");
	for (uint32_t i = 0; i < f->nregions; i++) {
		const struct guest_region *r = &f->region[i];

		if (r->first > f->npages || !r->page_size ||
		    r->size / r->page_size > f->npages - r->first)
			return REFUSE(-EINVAL, "the guest's file has regions that cannot be");
	}
	f->name[sizeof(f->name) - 1] = 0;
	g->states = (uint8_t *)f + f->states_at;
	return 0;
}

/* ---- beginning
 */

static struct guest *guest_new(struct engine *e, struct feed *feed)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct list *lists[] = {&g->link, &g->parked, &g->wants, &g->ahead.link, &g->ahead.urgent};

	if (!g)
		return NULL;
	for (size_t i = 0; i < LEN(lists); i++)
		list_init(lists[i]);
	g->e = e;
	g->feed = feed;
	g->ops = &uffd_kernel;
	g->file = g->uffd = g->memfd = g->pidfd = -1;
	g->batch = GUEST_INBOX;
	g->park.fn = guest_unpark;
	g->park.arg = g;
	return g;
}

static void guest_free(struct guest *g)
{
	waiter_free(g);
	if (g->f)
		munmap(g->f, g->file_size);
	if (g->uffd >= 0)
		g->ops->close(g->uffd);
	for (int *fd = (int[]){g->file, g->memfd, g->pidfd, -2}; *fd != -2; fd++) {
		if (*fd >= 0)
			close(*fd);
	}
	free(g);
}

#define NOBODYS_ADDR 0x10000ull /* the lowest that can be mapped; nothing of ours is there */
#define LOOK_NS	     NS_PER_S
#define LOOK_SOON_NS (10 * NS_PER_MS)
#define LOOKS_SOON   100u

/*
 * Is the memory still there? A process can have connected for another one, and a child of fork
 * comes without a pidfd. A copy of what cannot be read fills nothing, whatever is where it would
 * go; it only says whether there is an address space to fill.
 */
static void look(void *arg)
{
	struct guest *g = arg;
	struct uf_copy nothing = {.dst = NOBODYS_ADDR, .src = NOBODYS_ADDR, .len = PAGE_4K};

	if (g->ending)
		return;
	if (g->ops->ioctl(g->uffd, UF_IO_COPY, &nothing) == -ESRCH) {
		guest_fail(g, GUEST_EXITED);
		return;
	}
	/* Of a process that has just ended, it may be in use for another moment. */
	if (g->looks < LOOKS_SOON) {
		g->looks++;
	} else if (g->pidfd >= 0 && !g->f->orphan) {
		g->f->orphan = 1;
		engine_say(g->e, ENGINE_INFO,
			   "%s: the process that connected for it (pid %u) is gone; its memory is "
			   "there, and served on",
			   g->f->name, g->f->pid);
	}
	timer_set(g->e, &g->look, g->looks < LOOKS_SOON ? LOOK_SOON_NS : LOOK_NS);
}

static void pidfd_ready(void *arg, uint32_t events)
{
	struct guest *g = arg;

	(void)events;
	engine_watch(g->e, g->pidfd, 0, NULL, NULL);
	g->looks = 0;
	look(g);
}

static int guest_watch(struct guest *g)
{
	int flags = fcntl(g->uffd, F_GETFL), err;

	if (flags < 0)
		return -errno;
	if (!(flags & O_NONBLOCK) && fcntl(g->uffd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	err = engine_watch(g->e, g->uffd, EPOLLIN, inbox_ready, g);
	if (!err && g->pidfd >= 0)
		err = engine_watch(g->e, g->pidfd, EPOLLIN, pidfd_ready, g);
	g->look = (struct timer){.fn = look, .arg = g};
	g->looks = LOOKS_SOON;
	if (!err && g->pidfd < 0 && !g->f->own)
		timer_set(g->e, &g->look, LOOK_NS);
	return err;
}

static void guest_unwatch(struct guest *g)
{
	if (g->uffd >= 0)
		engine_watch(g->e, g->uffd, 0, NULL, NULL);
	if (g->pidfd >= 0)
		engine_watch(g->e, g->pidfd, 0, NULL, NULL);
}

static void guest_link(struct guest *g)
{
	struct engine *e = g->e;

	list_add(&e->guests, &g->link);
	g->feed->guests++;
	atomic_store(&g->f->state, GUEST_LIVE);
	report_name(e, TRACE_PROCESS, g->f->number, 0, g->f->name);
	for (uint32_t i = 0; i < g->f->nregions; i++) {
		const struct guest_region *r = &g->f->region[i];

		report(e, TRACE_RANGE, g->f->number, 0, now_ns(), r->addr, r->size,
		       r->flags & REGION_MINOR ? UF_REGISTER_MODE_MINOR : UF_REGISTER_MODE_MISSING,
		       0);
	}
}

/* Is the memory registered with it? WAKE says nothing, and there is no way to ask but to fill. */
static int probe_registered(struct guest *g, char *why, size_t why_size)
{
	for (uint32_t i = 0; i < g->f->nregions; i++) {
		struct uf_poison nothing = {.range = {g->f->region[i].addr, 0}};
		int err = g->ops->ioctl(g->uffd, UF_IO_POISON, &nothing);

		if (err == -EINVAL || err == -EAGAIN || err == -ESRCH)
			continue;
		return REFUSE(-EINVAL,
			      "the descriptor is not a userfaultfd that can be used here "
			      "(%s); one of a `userfault run` session needs a server started "
			      "with `userfault join`",
			      strerror(-err));
	}
	return 0;
}

static int guest_config(struct guest *g, const struct guest_config *c, bool adopted, char *why,
			size_t why_size)
{
	int err = 0;

	g->own = c->own;
	g->user = c->user;
	g->f->own = c->own;
	g->f->pid = c->pid;
	if (!adopted)
		g->f->uid = c->own ? getuid() : c->uid;
	if (!adopted || c->name)
		snprintf(g->f->name, sizeof(g->f->name), "%s", c->name ? c->name : "");
	if (!g->f->name[0])
		snprintf(g->f->name, sizeof(g->f->name), "guest %u", g->f->number);
	err = probe_registered(g, why, why_size);
	if (!err && c->limit)
		err = evict_begin(g, c, why, why_size);
	if (!err && c->record && adopted)
		engine_say(g->e, ENGINE_INFO,
			   "%s: its recording ended with the server that began it", g->f->name);
	else if (!err && c->record)
		err = record_begin(g, c->record, why, why_size);
	if (!err && !c->no_prefetch && !c->record && !c->limit)
		err = ahead_begin(g, c->prefetch, why, why_size);
	return err;
}

static void guest_discard(struct guest *g)
{
	guest_unwatch(g);
	record_end(g);
	ahead_end(g);
	evict_end(g);
	timer_clear(&g->park);
	timer_clear(&g->look);
	guest_free(g);
}

static int take_descriptors(struct guest *g, const struct guest_config *c, char *why,
			    size_t why_size)
{
	g->uffd = c->uffd;
	g->memfd = c->memfd;
	g->pidfd = c->pidfd;
	if (c->ops)
		g->ops = c->ops;
	if (g->uffd < 0)
		return REFUSE(-EBADF, "no userfaultfd came with it");
	return 0;
}

int guest_attach(struct engine *e, const struct guest_config *c, struct guest **out, char *why,
		 size_t why_size)
{
	struct feed *feed = feed_find(e, c->source);
	struct guest *g = feed ? guest_new(e, feed) : NULL;
	struct guest_region region[GUEST_REGIONS];
	uint64_t npages = 0;
	int err;

	if (!g)
		return REFUSE(feed ? -ENOMEM : -EINVAL, feed ? "out of memory" : "no such source");
	err = take_descriptors(g, c, why, why_size);
	if (!err && c->nregions <= GUEST_REGIONS) {
		memcpy(region, c->region, c->nregions * sizeof(*region));
		qsort(region, c->nregions, sizeof(*region), by_addr);
	}
	if (!err)
		err = regions_check(region, c->nregions, c->memfd >= 0, c->own, c->source, why,
				    why_size);
	for (size_t i = 0; !err && i < c->nregions; i++) {
		region[i].first = npages;
		region[i].pad = 0;
		if (region[i].page_size > PAGE_4K)
			region[i].flags |= REGION_NO_ZERO;
		npages += region[i].size / region[i].page_size;
	}
	if (!err) {
		err = file_new(g, region, c->nregions, npages);
		if (err)
			err = REFUSE(err, "no memory for the states of %llu pages: %s",
				     (unsigned long long)npages, strerror(-err));
	}
	if (!err)
		err = guest_config(g, c, false, why, why_size);
	if (!err) {
		err = guest_watch(g);
		if (err)
			err = REFUSE(err, "the descriptor cannot be watched: %s", strerror(-err));
	}
	if (err) {
		bump(&e->f->refused, 1);
		guest_discard(g);
		return err;
	}
	bump(&e->f->accepted, 1);
	guest_link(g);
	ahead_kick(g);
	*out = g;
	return 0;
}

int guest_adopt(struct engine *e, const struct guest_config *c, int file, struct guest **out,
		char *why, size_t why_size)
{
	struct feed *feed = feed_find(e, c->source);
	struct guest *g = feed ? guest_new(e, feed) : NULL;
	int err;

	if (!g)
		return REFUSE(feed ? -ENOMEM : -EINVAL, feed ? "out of memory" : "no such source");
	err = file_adopt(g, file, why, why_size);
	if (!err)
		err = regions_check(g->f->region, g->f->nregions, c->memfd >= 0, c->own, c->source,
				    why, why_size);
	if (!err)
		err = take_descriptors(g, c, why, why_size);
	if (!err)
		err = guest_config(g, c, true, why, why_size);
	if (!err)
		err = guest_watch(g);
	if (err) {
		/* They are whoever's they were. */
		guest_unwatch(g);
		g->uffd = g->memfd = g->pidfd = -1;
		guest_discard(g);
		return err;
	}
	page_settle(g);
	memset(g->f->waiter, 0, sizeof(g->f->waiter));
	atomic_store(&g->f->waiting, 0);
	atomic_store(&g->f->in_flight, 0);
	guest_link(g);
	count(g, GUEST_TAKEOVERS, 1);
	inbox_take_over(g);
	ahead_kick(g);
	*out = g;
	return 0;
}

/* The child has its parent's memory: what was there is there, what was missing is missing. */
int guest_fork(struct guest *parent, int uffd)
{
	struct engine *e = parent->e;
	struct guest *g = guest_new(e, parent->feed);
	int err = g ? 0 : -ENOMEM;

	if (err) {
		close(uffd);
		return err;
	}
	g->uffd = uffd;
	g->ops = parent->ops;
	g->user = parent->user;
	if (parent->memfd >= 0)
		g->memfd = fcntl(parent->memfd, F_DUPFD_CLOEXEC, 3);
	err = file_new(g, parent->f->region, parent->f->nregions, parent->f->npages);
	if (!err) {
		memcpy(g->states, parent->states, parent->f->npages);
		page_settle(g);
		snprintf(g->f->name, sizeof(g->f->name), "guest %u, child of %u", g->f->number,
			 parent->f->number);
		g->f->uffd_features = parent->f->uffd_features;
		g->f->uid = parent->f->uid;
		err = guest_watch(g);
	}
	if (err) {
		guest_discard(g);
		return err;
	}
	bump(&e->f->accepted, 1);
	guest_link(g);
	if (e->o.hooks.forked)
		e->o.hooks.forked(e->o.hooks.arg, parent, g);
	return 0;
}

/* ---- the end
 */

void guest_fail(struct guest *g, enum guest_end why)
{
	if (!g->ending)
		g->ending = why;
	g->e->reap = true;
}

void guest_give_up(struct guest *g, const char *why)
{
	struct engine *e = g->e;

	if (g->ending)
		return;
	engine_say(e, ENGINE_ERROR, "%s is given up: %s", g->f->name, why);
	if (e->o.hooks.give_up)
		e->o.hooks.give_up(e->o.hooks.arg, g, why);
	else if (g->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, g->pidfd, SIGKILL, NULL, 0);
	else if (g->own)
		kill(getpid(), SIGKILL);
	else if (g->f->pid)
		kill((pid_t)g->f->pid, SIGKILL);
	guest_fail(g, GUEST_GIVEN_UP);
}

void guest_detach(struct guest *g, enum guest_end why)
{
	struct engine *e = g->e;

	g->ending = g->ending ? g->ending : why;
	guest_unwatch(g);
	fetch_forget(g);
	timer_clear(&g->park);
	timer_clear(&g->look);
	record_end(g);
	ahead_end(g);
	evict_end(g);
	list_del(&g->link);
	g->feed->guests--;
	atomic_store(&g->f->end, why);
	atomic_store(&g->f->state, GUEST_ENDED);
	bump(&e->f->ended, 1);
	if (why == GUEST_CUT_OFF)
		bump(&e->f->cut_off, 1);
	if (g->settled)
		g->settled(g, g->settled_arg);
	if (e->o.hooks.ended)
		e->o.hooks.ended(e->o.hooks.arg, g, why);
	guest_free(g);
}

void guest_reap(struct engine *e)
{
	if (!e->reap)
		return;
	e->reap = false;
	for (struct list *l = e->guests.next, *next; l != &e->guests; l = next) {
		struct guest *g = of(l, struct guest, link);

		next = l->next;
		if (g->ending)
			guest_detach(g, g->ending);
	}
}

int guest_fd(struct guest *g)
{
	return g->file;
}

int guest_uffd(struct guest *g)
{
	return g->uffd;
}

int guest_memfd(struct guest *g)
{
	return g->memfd;
}

int guest_pidfd(struct guest *g)
{
	return g->pidfd;
}

void *guest_user(struct guest *g)
{
	return g->user;
}

struct guest_file *guest_shared(struct guest *g)
{
	return g->f;
}

const char *guest_name(struct guest *g)
{
	return g->f->name;
}
