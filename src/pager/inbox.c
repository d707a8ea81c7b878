/*
 * inbox.c - messages: faults, and the events that change what is where.
 *
 * Messages are read straight into the guest's file. Events are applied at once, all of a batch
 * before the first of its faults is answered: reading an event lets the guest go on, so that a fill
 * after it would meet what the event has changed already. A message is done when its `event` is 0.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "pager/internal.h"

#define READS_A_TURN 4
#define LOWEST	     0x10000ull /* that can be mapped */

static struct uf_msg *message(struct guest *g, unsigned i)
{
	return (struct uf_msg *)g->f->inbox + i;
}

static void message_done(struct guest *g, unsigned i)
{
	atomic_signal_fence(memory_order_seq_cst);
	message(g, i)->event = 0;
}

/* ---- regions change: in next[], then all at once
 */

struct change {
	struct guest_region r[GUEST_REGIONS];
	uint32_t n;
	bool full; /* more than there is room for: what was cut off is not served any more */
};

static void change_add(struct change *c, struct guest_region r)
{
	if (!r.size)
		return;
	if (c->n == GUEST_REGIONS) {
		c->full = true;
		return;
	}
	c->r[c->n++] = r;
}

/* The part of r within [start, end), which may be empty. */
static struct guest_region part(struct guest_region r, uint64_t start, uint64_t end)
{
	uint64_t from = start > r.addr ? start : r.addr;
	uint64_t to = end < r.addr + r.size ? end : r.addr + r.size;

	if (from >= to) {
		r.size = 0;
		return r;
	}
	r.offset += from - r.addr;
	r.first += (from - r.addr) / r.page_size;
	r.addr = from;
	r.size = to - from;
	return r;
}

static int by_addr(const void *a, const void *b)
{
	const struct guest_region *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static void change_finish(struct guest *g, uint64_t change)
{
	struct guest_file *f = g->f;
	uint32_t n = (uint32_t)change;
	unsigned message_number = (unsigned)(change >> 32);

	memcpy(f->region, f->next, n * sizeof(f->region[0]));
	f->nregions = n;
	g->last = 0;
	if (message_number)
		message_done(g, message_number - 1);
	atomic_store(&f->change, 0);
}

/* message: its number from 0, or GUEST_INBOX. A change to no regions at all is noted as such. */
static void change_commit(struct guest *g, struct change *c, unsigned number)
{
	uint64_t done = number < GUEST_INBOX ? number + 1 : GUEST_INBOX + 1;

	qsort(c->r, c->n, sizeof(c->r[0]), by_addr);
	memcpy(g->f->next, c->r, c->n * sizeof(c->r[0]));
	atomic_store(&g->f->change, done << 32 | c->n);
	change_finish(g, done <= GUEST_INBOX ? done << 32 | c->n : c->n);
	if (c->full)
		engine_say(g->e, ENGINE_WARNING,
			   "%s has its memory in more than %u pieces; some are not served any more",
			   g->f->name, GUEST_REGIONS);
	if (!c->n)
		guest_fail(g, GUEST_UNMAPPED);
}

/* After a takeover. */
bool regions_redo(struct guest *g)
{
	uint64_t change = atomic_load(&g->f->change), number = change >> 32;

	if (!change)
		return true;
	if ((uint32_t)change > GUEST_REGIONS || number > GUEST_INBOX + 1)
		return false;
	change_finish(g, number <= GUEST_INBOX ? change : (uint32_t)change);
	return true;
}

/* Whoever waits within [start, end) of the guest's addresses looks again. */
static void release(struct guest *g, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < g->f->nregions; i++) {
		struct guest_region p = part(g->f->region[i], start, end);

		if (p.size)
			waiter_forget(g, p.first, p.size / p.page_size);
	}
	fill_wake(g, start, end - start);
}

void inbox_unmap(struct guest *g, uint64_t start, uint64_t end, unsigned number)
{
	struct change c = {0};
	bool hit = false;

	release(g, start, end);
	for (uint32_t i = 0; i < g->f->nregions; i++) {
		struct guest_region r = g->f->region[i], p = part(r, start, end);

		hit |= p.size != 0;
		if (p.size)
			page_canceled(g, p.first, p.size / p.page_size);
		change_add(&c, part(r, 0, start));
		change_add(&c, part(r, end, UINT64_MAX));
	}
	if (hit) {
		change_commit(g, &c, number);
		report(g->e, TRACE_UNRANGE, g->f->number, 0, now_ns(), start, end - start, 0, 0);
	}
}

static void event_remap(struct guest *g, uint64_t from, uint64_t to, uint64_t len, unsigned number)
{
	struct change c = {0};
	bool hit = false;

	if (from + len < from || to + len < to)
		return;
	release(g, from, from + len);
	for (uint32_t i = 0; i < g->f->nregions; i++) {
		struct guest_region r = g->f->region[i], moved = part(r, from, from + len);

		change_add(&c, part(r, 0, from));
		change_add(&c, part(r, from + len, UINT64_MAX));
		if (!moved.size)
			continue;
		hit = true;
		moved.addr = moved.addr - from + to;
		change_add(&c, moved);
	}
	if (!hit)
		return;
	change_commit(g, &c, number);
	report(g->e, TRACE_UNRANGE, g->f->number, 0, now_ns(), from, len, 0, 0);
	report(g->e, TRACE_RANGE, g->f->number, 0, now_ns(), to, len, UF_REGISTER_MODE_MISSING, 0);
}

static void event_remove(struct guest *g, uint64_t start, uint64_t end)
{
	report(g->e, TRACE_REMOVE, g->f->number, 0, now_ns(), start, end - start, 0, 0);
	for (uint32_t i = 0; i < g->f->nregions; i++) {
		struct guest_region p = part(g->f->region[i], start, end);
		uint64_t n = p.size / p.page_size;

		if (!n)
			continue;
		page_removed(g, p.first, n);
		/* Who waits for one of them is to have zeros now. */
		waiter_retry(g, p.first, n);
	}
}

static void event(struct guest *g, unsigned i)
{
	struct uf_msg *m = message(g, i);

	count(g, GUEST_EVENTS, 1);
	switch (m->event) {
	case UF_EVENT_FORK:
		/* A server that is gone had its descriptor; nobody has it now, unless the keeper
		 * was told. */
		if (g->taking_over) {
			engine_say(g->e, ENGINE_ERROR,
				   "%s has forked when its server died: its child's memory may be "
				   "lost",
				   g->f->name);
			break;
		}
		if (guest_fork(g, (int)m->arg.fork.ufd))
			engine_say(g->e, ENGINE_ERROR,
				   "%s has forked, and its child cannot be served", g->f->name);
		break;
	case UF_EVENT_REMAP:
		event_remap(g, m->arg.remap.from, m->arg.remap.to, m->arg.remap.len, i);
		break;
	case UF_EVENT_REMOVE:
		if (m->arg.remove.start < m->arg.remove.end)
			event_remove(g, m->arg.remove.start, m->arg.remove.end);
		break;
	case UF_EVENT_UNMAP:
		if (m->arg.remove.start < m->arg.remove.end)
			inbox_unmap(g, m->arg.remove.start, m->arg.remove.end, i);
		break;
	default:
		engine_say(g->e, ENGINE_WARNING, "%s: a message of unknown kind %u", g->f->name,
			   m->event);
	}
	message_done(g, i);
}

/* ---- faults
 */

static uint16_t fault_flags(uint64_t flags)
{
	unsigned why = flags & UF_PAGEFAULT_FLAG_WP	 ? TRACE_WP
		       : flags & UF_PAGEFAULT_FLAG_MINOR ? TRACE_MINOR
		       : flags & UF_PAGEFAULT_FLAG_RWP	 ? TRACE_RWP
							 : TRACE_MISSING;

	return (uint16_t)(why | (flags & UF_PAGEFAULT_FLAG_WRITE ? TRACE_WRITE : 0));
}

static void fault_protected(struct guest *g, const struct guest_region *r, uint64_t page,
			    uint64_t addr, uint32_t thread)
{
	count(g, GUEST_FAULTS_WP, 1);
	if (g->wp && g->wp(g, addr, thread, g->wp_arg))
		return;
	if (g->evict && r && evict_written(g, page))
		return;
	/* Nobody's: let it be written to. */
	if (fill_unprotect(g, r ? page_addr(r, page) : addr & ~(PAGE_4K - 1),
			   r ? r->page_size : PAGE_4K))
		fill_wake(g, addr & ~(PAGE_4K - 1), PAGE_4K);
}

static void fault(struct guest *g, const struct uf_msg *m)
{
	uint64_t addr = m->arg.pagefault.address, flags = m->arg.pagefault.flags, page;
	const struct guest_region *r = region_at(g, addr);
	uint32_t thread = m->arg.pagefault.ptid;

	count(g, GUEST_FAULTS, 1);
	PROBE(pager_fault, g->f->number, addr, flags, thread);
	page = r ? r->first + (addr - r->addr) / r->page_size : 0;
	if (flags & UF_PAGEFAULT_FLAG_WP) {
		fault_protected(g, r, page, addr, thread);
		return;
	}
	if (!r) {
		fill_stray(g, addr);
		return;
	}
	waiter_add(g, page, addr, thread, fault_flags(flags));
	if (g->evict && (flags & UF_PAGEFAULT_FLAG_WRITE))
		page_flag(g, page, PAGE_DIRTY, 0);
	if (flags & UF_PAGEFAULT_FLAG_MINOR)
		count(g, GUEST_FAULTS_MINOR, 1);
	demand(g, page);
	ahead_faulted(g);
}

/* Faults that are left in the inbox, for a slice. More are left? */
bool inbox_work(struct guest *g)
{
	uint64_t until = now_ns() + SLICE_NS;

	while (g->inbox_at < g->inbox_n && !g->ending) {
		struct uf_msg *m = message(g, g->inbox_at);

		if (m->event) {
			fault(g, m);
			message_done(g, g->inbox_at);
		}
		g->inbox_at++;
		if (g->inbox_at % 4 == 0 && now_ns() > until)
			break;
	}
	g->busy = g->inbox_at < g->inbox_n && !g->ending;
	if (!g->busy)
		atomic_store_explicit(&g->f->inbox_bytes, 0, memory_order_relaxed);
	else
		g->e->work = true;
	return g->busy;
}

static void events_apply(struct guest *g, unsigned n)
{
	uint64_t begun = 0;

	for (unsigned i = 0; i < n && !g->ending; i++) {
		unsigned kind = message(g, i)->event;

		if (!kind || kind == UF_EVENT_PAGEFAULT)
			continue;
		begun = begun ? begun : now_ns();
		event(g, i);
	}
	/* Ranges can be long: what one read brings should not be the work of many slices. */
	if (begun && now_ns() - begun > SLICE_NS)
		g->batch = g->batch > 2 ? g->batch / 2 : 1;
	else if (g->batch < GUEST_INBOX)
		g->batch *= 2;
}

/* One batch. How many messages there were, 0 if there were none. */
static unsigned inbox_read(struct guest *g)
{
	ssize_t n = g->ops->read(g->uffd, g->f->inbox, g->batch * sizeof(struct uf_msg));

	if (n <= 0) {
		if (n != -EAGAIN && n != -EINTR) {
			engine_say(g->e, ENGINE_WARNING, "%s: its userfaultfd cannot be read: %s",
				   g->f->name, strerror((int)-n));
			guest_fail(g, GUEST_EXITED);
		}
		return 0;
	}
	atomic_store_explicit(&g->f->inbox_bytes, (uint64_t)n, memory_order_relaxed);
	g->inbox_n = (unsigned)((size_t)n / sizeof(struct uf_msg));
	g->inbox_at = 0;
	events_apply(g, g->inbox_n);
	return g->inbox_n;
}

void inbox_ready(void *guest, uint32_t events)
{
	struct guest *g = guest;

	if (g->ending)
		return;
	if (events & (EPOLLERR | EPOLLHUP) && !(events & EPOLLIN)) {
		guest_fail(g, GUEST_EXITED);
		return;
	}
	if (g->busy && inbox_work(g))
		return;
	for (unsigned i = 0; i < READS_A_TURN && !g->ending; i++) {
		unsigned batch = g->batch, n = inbox_read(g);

		if (n && inbox_work(g))
			return;
		if (n < batch)
			return;
	}
}

/*
 * Also who touched what is registered and in none of the regions, or has been moved meanwhile. How
 * far addresses go depends on the machine.
 */
static void wake_strays(struct guest *g)
{
	struct uf_range all = {.start = LOWEST};

	for (unsigned bits = 57; bits >= 39; bits--) {
		all.len = (1ull << bits) - PAGE_4K - all.start;
		if (!g->ops->ioctl(g->uffd, UF_IO_WAKE, &all))
			return;
	}
}

/*
 * Some of what it holds may have been done already, and some of the events may have been applied;
 * doing it once more changes nothing. Faults are not answered from here: everybody is woken, and
 * asks again.
 */
void inbox_take_over(struct guest *g)
{
	g->taking_over = true;
	events_apply(g, GUEST_INBOX);
	g->taking_over = false;
	g->batch = GUEST_INBOX;
	memset(g->f->inbox, 0, sizeof(g->f->inbox));
	atomic_store(&g->f->inbox_bytes, 0);
	for (uint32_t i = 0; i < g->f->nregions; i++)
		fill_wake(g, g->f->region[i].addr, g->f->region[i].size);
	wake_strays(g);
}
