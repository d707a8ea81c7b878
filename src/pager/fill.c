/*
 * fill.c - COPY, ZEROPAGE, CONTINUE, POISON, and everything they can answer.
 *
 *   whole      the pages are there, and who waited was woken
 *   EAGAIN     with a count above 0: so much was done; what stopped it shows when it goes on.
 *              Without: an event is unread, or whom it concerns has not run yet: parked
 *   EEXIST     the first page is there: who waits for it is woken, and it goes on behind it
 *   ENOENT     there is no such memory, or it is several mappings: in smaller pieces; one page that
 *              is nowhere is gone
 *   EFAULT     the source's memory cannot be read (a file was cut short): the caller's to decide
 *   ENOMEM     parked, for longer
 *   ESRCH      the guest is gone
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pager/internal.h"

#define PARK_NS	    20000ull
#define PARK_MAX_NS (20 * NS_PER_MS)
#define PARK_MEMORY (10 * NS_PER_MS)

void fill_wake(struct guest *g, uint64_t addr, uint64_t len)
{
	struct uf_range range = {addr, len};

	g->ops->ioctl(g->uffd, UF_IO_WAKE, &range);
	PROBE(pager_wake, g->f->number, addr, len, 0);
	report(g->e, TRACE_WAKE, g->f->number, 0, now_ns(), addr, len, 0, 0);
}

int fill_unprotect(struct guest *g, uint64_t addr, uint64_t len)
{
	struct uf_writeprotect wp = {.range = {addr, len}};

	return g->ops->ioctl(g->uffd, UF_IO_WRITEPROTECT, &wp);
}

int fill_protect(struct guest *g, uint64_t addr, uint64_t len)
{
	struct uf_writeprotect wp = {.range = {addr, len}, .mode = UF_WRITEPROTECT_MODE_WP};

	return g->ops->ioctl(g->uffd, UF_IO_WRITEPROTECT, &wp);
}

/* ---- one ioctl
 */

struct fill {
	struct guest *g;
	const struct guest_region *r;
	enum trace_fill how;
	bool quiet;   /* wakes nobody */
	bool protect; /* the pages begin write-protected */
	bool zero;    /* the pages have no contents */
};

/*
 * Fills len bytes at addr. *done: bytes, also on errors. The output field means something only
 * between 1 and len: it may hold a negative errno, or what it held before.
 */
static int fill_once(const struct fill *f, uint64_t addr, const void *src, uint64_t len,
		     uint64_t *done)
{
	const struct uffd_ops *ops = f->g->ops;
	int fd = f->g->uffd, err;
	int64_t out = 0;

	if (f->how == TRACE_COPY) {
		struct uf_copy c = {.dst = addr, .src = (uintptr_t)src, .len = len};

		c.mode =
			(f->quiet ? UF_COPY_MODE_DONTWAKE : 0) | (f->protect ? UF_COPY_MODE_WP : 0);
		err = ops->ioctl(fd, UF_IO_COPY, &c);
		out = c.copy;
	} else if (f->how == TRACE_ZEROPAGE) {
		struct uf_zeropage z = {.range = {addr, len}};

		z.mode = f->quiet ? UF_ZEROPAGE_MODE_DONTWAKE : 0;
		err = ops->ioctl(fd, UF_IO_ZEROPAGE, &z);
		out = z.zeropage;
	} else if (f->how == TRACE_CONTINUE) {
		struct uf_continue c = {.range = {addr, len}};

		c.mode = f->quiet ? UF_CONTINUE_MODE_DONTWAKE : 0;
		err = ops->ioctl(fd, UF_IO_CONTINUE, &c);
		out = c.mapped;
	} else {
		struct uf_poison p = {.range = {addr, len}};

		err = ops->ioctl(fd, UF_IO_POISON, &p);
		out = p.updated;
	}
	*done = !err				  ? len
		: out > 0 && (uint64_t)out <= len ? (uint64_t)out - (uint64_t)out % f->r->page_size
						  : 0;
	return err;
}

/* ---- a run of pages of one kind
 */

static void filled(const struct fill *f, uint64_t page, uint64_t n, enum fill_why why,
		   uint64_t begun)
{
	struct guest *g = f->g;
	uint64_t demanded = 0, addr = page_addr(f->r, page);

	if (!g->evict)
		page_filled(g, page, n);
	for (uint64_t i = page; i < page + n; i++) {
		if (g->evict && page_filled(g, i, 1))
			evict_added(g, i);
		demanded += page_has(g, i, PAGE_WAITED);
	}
	count(g, GUEST_FILLED_DEMAND, demanded);
	if (f->zero)
		count(g, GUEST_FILLED_ZERO, n);
	count(g, why == FILL_AHEAD ? GUEST_FILLED_AHEAD : GUEST_FILLED_NEAR, n - demanded);
	for (uint64_t i = page; demanded && i < page + n; i++)
		waiter_done(g, i);
	PROBE(pager_fill, g->f->number, addr, n * f->r->page_size, f->how);
	if (g->e->o.trace)
		report(g->e, TRACE_FILL, g->f->number, 0, begun, addr, n * f->r->page_size,
		       now_ns() - begun, f->how | (demanded ? 0 : TRACE_AHEAD));
}

static bool anyone_waits(struct guest *g, uint64_t page, uint64_t n)
{
	if (!atomic_load_explicit(&g->f->waiting, memory_order_relaxed))
		return false;
	for (uint64_t i = page; i < page + n; i++) {
		if (page_has(g, i, PAGE_WAITED))
			return true;
	}
	return false;
}

/* It is there, though we did not know, or somebody asked twice. */
static void existed(const struct fill *f, uint64_t page)
{
	struct guest *g = f->g;
	bool waited = page_has(g, page, PAGE_WAITED);

	count(g, GUEST_EXISTED, 1);
	if (page_filled(g, page, 1) && g->evict)
		evict_added(g, page);
	if (!waited)
		return;
	waiter_done(g, page);
	fill_wake(g, page_addr(f->r, page), f->r->page_size);
}

/* There is no memory at that page any more, and no event has told. */
static void vanished(const struct fill *f, uint64_t page)
{
	struct guest *g = f->g;
	bool waited = page_has(g, page, PAGE_WAITED);

	page_removed(g, page, 1);
	if (!waited)
		return;
	waiter_forget(g, page, 1);
	page_flag(g, page, 0, PAGE_WAITED);
	fill_wake(g, page_addr(f->r, page), f->r->page_size);
}

/* Zeros that cannot be had by ZEROPAGE are copied, a buffer's length at a time. */
static int fill_run(struct fill *f, uint64_t page, uint64_t n, const char *src, enum fill_why why,
		    uint64_t *pages)
{
	uint64_t at = 0, step = n, size = f->r->page_size;
	bool zero = !src && f->how == TRACE_COPY, sure = false;
	struct guest *g = f->g;

	*pages = 0;
	while (at < n) {
		uint64_t len = step < n - at ? step : n - at, done, begun;
		const char *from = zero ? g->e->zeros : src ? src + at * size : NULL;
		int err;

		if (zero && len > PAGE_2M / size)
			len = PAGE_2M / size;
		f->quiet = why == FILL_AHEAD && !anyone_waits(g, page + at, len);
		begun = g->e->o.trace ? now_ns() : 0;
		err = fill_once(f, page_addr(f->r, page + at), from, len * size, &done);
		done /= size;
		if (done) {
			filled(f, page + at, done, why, begun);
			at += done;
			*pages = at;
			sure = false;
			if (done < len)
				count(g, GUEST_PARTIAL, 1);
			continue;
		}
		if (err == -EEXIST) {
			existed(f, page + at);
			*pages = ++at;
		} else if (err == -ENOENT && len > 1) {
			step = len / 2;
		} else if (err == -ENOENT && !sure) {
			/* It may have moved between the kernel's look for unread events and its
			 * look for the memory: then the same says EAGAIN now. */
			sure = true;
		} else if (err == -ENOENT) {
			vanished(f, page + at);
			*pages = ++at;
			sure = false;
		} else if (err == -EINVAL && f->how == TRACE_ZEROPAGE) {
			f->how = TRACE_COPY;
			zero = true;
		} else if (err == -ESRCH) {
			guest_fail(g, GUEST_EXITED);
			return err;
		} else if (err) {
			return err == -EBUSY ? -EAGAIN : err == -ENOSPC ? -ENOMEM : err;
		} else {
			return -EIO;
		}
	}
	return 0;
}

/* ---- by way of the file (minor faults)
 */

/* Into a file that has no write(2): one of huge pages. A source that vanishes is -EFAULT. */
static int file_map_write(struct guest *g, uint64_t offset, const char *src, uint64_t len)
{
	char *to = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, g->memfd, (off_t)offset);
	struct iovec from = {.iov_base = (void *)(uintptr_t)src, .iov_len = len};
	struct iovec dest = {.iov_base = to, .iov_len = len};
	ssize_t n;

	if (to == MAP_FAILED)
		return errno == ENOSPC ? -ENOMEM : -errno;
	n = process_vm_writev(getpid(), &from, 1, &dest, 1, 0);
	if (n < 0 && errno == EFAULT) {
		/* The source, or no huge page for the file? */
		n = fallocate(g->memfd, 0, (off_t)offset, (off_t)len) ? -ENOMEM : -EFAULT;
	} else if (n < 0) {
		n = -errno;
	}
	munmap(to, len);
	return n == (ssize_t)len ? 0 : n < 0 ? (int)n : -EFAULT;
}

/* Into the file. Zeros are a hole filled, so that what somebody has written there stays. */
static int file_write(struct guest *g, const struct guest_region *r, uint64_t offset,
		      const char *src, uint64_t len)
{
	uint64_t at = 0;

	if (!src) {
		while (fallocate(g->memfd, 0, (off_t)offset, (off_t)len)) {
			if (errno != EINTR)
				return errno == ENOSPC ? -ENOMEM : -errno;
		}
		return 0;
	}
	if (r->page_size > PAGE_4K)
		return file_map_write(g, offset, src, len);
	while (at < len) {
		ssize_t n = pwrite(g->memfd, src + at, len - at, (off_t)(offset + at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n && errno != ENOSPC ? -errno : -ENOMEM;
		at += (uint64_t)n;
	}
	return 0;
}

/*
 * The pages are present from when their contents are in the file on, before they can be seen: else
 * a server that took over in between would write them again, over what the guest has changed.
 */
static int fill_minor(struct fill *f, uint64_t page, uint64_t n, const char *src, enum fill_why why,
		      uint64_t *pages)
{
	struct guest *g = f->g;
	uint64_t done;
	int err = file_write(g, f->r, page_offset(f->r, page), src, n * f->r->page_size);

	*pages = 0;
	if (err)
		return err;
	page_filled(g, page, n);
	f->how = TRACE_CONTINUE;
	err = fill_run(f, page, n, src, why, &done);
	*pages = done;
	/* They have their contents; if they could not be mapped now, that will be asked for. */
	if (err == -EAGAIN)
		waiter_retry(g, page + done, n - done);
	if (err == -EAGAIN) {
		*pages = n;
		return 0;
	}
	return err;
}

int fill_continue(struct guest *g, const struct guest_region *r, uint64_t page)
{
	struct fill f = {.g = g, .r = r, .how = TRACE_CONTINUE};
	uint64_t done;

	return fill_run(&f, page, 1, NULL, FILL_DEMAND, &done);
}

/* ---- runs of all kinds
 */

static enum trace_fill how(const struct guest *g, const struct guest_region *r, const void *src)
{
	if (src || (r->flags & REGION_NO_ZERO) || evict_tracks(g))
		return TRACE_COPY;
	return TRACE_ZEROPAGE;
}

/* How many pages from `page` on are to be filled in the same way. */
static uint64_t same_run(struct guest *g, uint64_t page, uint64_t n)
{
	uint64_t run = 1;

	if (!evict_tracks(g))
		return n;
	while (run < n && page_has(g, page + run, PAGE_DIRTY) == page_has(g, page, PAGE_DIRTY))
		run++;
	return run;
}

int fill_pages(struct guest *g, const struct guest_region *r, uint64_t page, uint64_t n,
	       const void *src, enum fill_why why, uint64_t *done)
{
	uint64_t at = 0;
	int err = 0;

	if (g->ending)
		return -ESRCH;
	while (at < n && !err) {
		struct fill f = {.g = g, .r = r, .how = how(g, r, src), .zero = !src};
		const char *from = src ? (const char *)src + at * r->page_size : NULL;
		uint64_t run = same_run(g, page + at, n - at), pages;

		f.protect = evict_tracks(g) && !page_has(g, page + at, PAGE_DIRTY);
		if (r->flags & REGION_MINOR)
			err = fill_minor(&f, page + at, run, from, why, &pages);
		else
			err = fill_run(&f, page + at, run, from, why, &pages);
		if (f.protect && pages)
			evict_protected(g, page + at, pages);
		at += pages;
	}
	*done = at;
	return err;
}

void fill_stray(struct guest *g, uint64_t addr)
{
	struct guest_region r = {.addr = addr & ~(PAGE_4K - 1), .page_size = PAGE_4K};
	struct fill f = {.g = g, .r = &r, .how = TRACE_ZEROPAGE};
	uint64_t done;
	int err;

	if (!g->strange)
		engine_say(
			g->e, ENGINE_WARNING,
			"%s: a fault at %#llx, which is in none of its regions: zeros (once said)",
			g->f->name, (unsigned long long)addr);
	g->strange = true;
	err = fill_once(&f, r.addr, NULL, PAGE_4K, &done);
	if (err == -EINVAL) {
		f.how = TRACE_COPY;
		r.addr = addr & ~(PAGE_2M - 1);
		r.page_size = PAGE_2M;
		err = fill_once(&f, r.addr, g->e->zeros, PAGE_2M, &done);
	}
	if (err == -ESRCH)
		guest_fail(g, GUEST_EXITED);
	else if (err)
		/* There already, or nothing is there; if an event is in the way, it asks again. */
		fill_wake(g, r.addr, r.page_size);
}

void fill_poison(struct guest *g, const struct guest_region *r, uint64_t page)
{
	struct fill f = {.g = g, .r = r, .how = TRACE_POISON};
	uint64_t done, addr = page_addr(r, page);
	int err = fill_once(&f, addr, NULL, r->page_size, &done);

	if (err == -EAGAIN) {
		/* Nothing fetches it any more: when its turn comes it is asked for anew. */
		page_canceled(g, page, 1);
		guest_park_pages(g, page, 1, err);
		return;
	}
	if (err && err != -EEXIST && err != -ENOENT) {
		if (err == -ESRCH)
			guest_fail(g, GUEST_EXITED);
		else
			guest_give_up(g, "a page cannot be had, and its userfaultfd has no POISON");
		return;
	}
	page_failed(g, page);
	if (!err) {
		count(g, GUEST_POISONED, 1);
		report(g->e, TRACE_FILL, g->f->number, 0, now_ns(), addr, r->page_size, 0,
		       TRACE_POISON);
	}
	waiter_done(g, page);
	fill_wake(g, addr, r->page_size);
}

/* ---- not now
 */

void guest_park(struct guest *g, struct want *w, int error)
{
	uint64_t ns = PARK_NS << (g->park_tries < 12 ? g->park_tries : 12);

	list_del(&w->of_guest);
	list_add(&g->parked, &w->of_guest);
	w->parked = true;
	if (error == -EAGAIN)
		count(g, GUEST_AGAIN, 1);
	if (!error)
		ns = 0;
	else if (error == -ENOMEM)
		ns += PARK_MEMORY;
	else if (ns > PARK_MAX_NS)
		ns = PARK_MAX_NS;
	if (!g->park_since)
		g->park_since = now_ns();
	if (!g->park.link.next || list_empty(&g->park.link))
		timer_set(g->e, &g->park, ns);
}

void guest_park_pages(struct guest *g, uint64_t page, uint64_t n, int error)
{
	struct want *w = calloc(1, sizeof(*w));
	const struct guest_region *r = region_of(g, page);

	if (!w) {
		/* Then whoever waits asks again. */
		waiter_forget(g, page, n);
		if (r)
			fill_wake(g, page_addr(r, page), n * r->page_size);
		return;
	}
	list_init(&w->of_chunk);
	list_init(&w->of_guest);
	w->g = g;
	w->page = page;
	w->n = (uint32_t)n;
	guest_park(g, w, error);
}

/* The queue is read first: what is in the way of fills may be in it. */
void guest_unpark(void *guest)
{
	struct guest *g = guest;
	struct list todo;
	uint64_t events = atomic_load_explicit(&g->f->count[GUEST_EVENTS], memory_order_relaxed);

	inbox_ready(g, 0);
	if (g->ending)
		return;
	if (g->busy) {
		timer_set(g->e, &g->park, PARK_NS);
		return;
	}
	/* What was in the way then is not what is in the way now, if anything still is. */
	if (atomic_load_explicit(&g->f->count[GUEST_EVENTS], memory_order_relaxed) != events)
		g->park_tries = 0;
	g->park_tries++;
	list_init(&todo);
	while (!list_empty(&g->parked)) {
		struct list *l = g->parked.next;

		list_del(l);
		list_add(&todo, l);
	}
	while (!list_empty(&todo)) {
		struct want *w = of(todo.next, struct want, of_guest);

		list_del(&w->of_guest);
		if (w->chunk || w->assembly) {
			fetch_again(w);
			continue;
		}
		for (uint64_t i = w->page; i < w->page + w->n && !g->ending; i++) {
			if (page_has(g, i, PAGE_WAITED))
				demand(g, i);
		}
		free(w);
	}
	if (g->ending)
		return;
	if (list_empty(&g->parked)) {
		g->park_tries = 0;
		g->park_since = 0;
	}
	ahead_kick(g);
}
