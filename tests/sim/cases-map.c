/* cases-map.c - the scenarios of changes to mappings, events, and closing. */
#include "scenarios.h"

#include <errno.h>
#include <sys/mman.h>

static void unmapped_under_fault(void)
{
	struct front_uffd u;
	struct toucher t;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	touch_start(&t, PAGE(9), false, 0);
	expect_fault(&u, PAGE(9), 0);
	CHECK_EQ(front_munmap(PAGE(8), PAGES(4)), 0);
	CHECK_EQ(front_wake(&u, PAGE(8), PAGES(4)), 0);
	touch_end(&t, SIM_GOT_SEGV);
	done_with(&u, PAGE(8), 4);
}

static void closed_under_fault(void)
{
	struct front_uffd u;
	struct toucher t[3];

	open_on(&u, 0, PAGE(8), 4, MISSING | WP);
	copy_all(&u, PAGE(9), SOURCE, 1, UF_COPY_MODE_WP);
	touch_start(&t[0], PAGE(8), false, 0);
	touch_start(&t[1], PAGE(8), true, 1);
	touch_start(&t[2], PAGE(9), true, 2);
	for (unsigned i = sim_random(300); i; i--)
		mach_relax();
	front_close(&u);
	for (unsigned i = 0; i < 3; i++)
		touch_end(&t[i], SIM_OK);
	CHECK(!(word_at(PAGE(9)) & PM_WP));
	CHECK_EQ(front_munmap(PAGE(8), PAGES(4)), 0);
	sim_munmap(SOURCE, PAGES(8));
}

static void unregistered_under_fault(void)
{
	struct front_uffd u;
	struct toucher t[2];

	open_on(&u, 0, PAGE(8), 4, MISSING);
	touch_start(&t[0], PAGE(8), false, 0);
	touch_start(&t[1], PAGE(10), true, 1);
	for (unsigned i = sim_random(300); i; i--)
		mach_relax();
	CHECK_EQ(front_unregister(&u, PAGE(8), PAGES(4)), 0);
	touch_end(&t[0], SIM_OK);
	touch_end(&t[1], SIM_OK);
	done_with(&u, PAGE(8), 4);
}

struct change {
	int (*run)(void);
	int err;
	_Atomic bool done;
};

static void change_body(void *arg)
{
	struct change *c = arg;

	c->err = c->run();
	c->done = true;
}

static int unmap_two(void)
{
	return front_munmap(PAGE(7), PAGES(3));
}

static int zap_two(void)
{
	return front_zap(PAGE(8), PAGES(2));
}

static int map_over(void)
{
	return front_mmap(PAGE(8), PAGES(2), RW);
}

static int remap_away(void)
{
	uint64_t to;
	int err = front_mremap(PAGE(8), PAGES(2), PAGES(2), MREMAP_MAYMOVE | MREMAP_FIXED,
			       PAGE(600), &to);

	CHECK(err || to == PAGE(600));
	return err;
}

static void event_each(int (*run)(void), const struct uf_msg *expect, unsigned n)
{
	const uint64_t all =
		UF_FEATURE_EVENT_REMAP | UF_FEATURE_EVENT_REMOVE | UF_FEATURE_EVENT_UNMAP;
	struct change c = {.run = run};
	struct front_uffd u;
	unsigned thread;
	int64_t done;

	open_on(&u, all, PAGE(8), 4, MISSING | WP);
	copy_all(&u, PAGE(8), SOURCE, 1, UF_COPY_MODE_WP);
	thread = sim_spawn("changer", change_body, &c);
	while (!uffd_ready(u.ref))
		mach_relax();
	settle();
	CHECK(!c.done);
	CHECK_EQ(front_copy(&u, PAGE(11), SOURCE, PAGES(1), 0, &done), -EAGAIN);
	CHECK_EQ(done, -EAGAIN);
	CHECK_EQ(front_wake(&u, PAGE(8), PAGES(4)), 0);
	for (unsigned i = 0; i < n; i++)
		expect_event(&u, expect[i].event, expect[i].arg.reserved.reserved1,
			     expect[i].arg.reserved.reserved2, expect[i].arg.reserved.reserved3);
	sim_join(thread);
	CHECK_EQ(c.err, 0);
	copy_all(&u, PAGE(11), SOURCE, 1, 0);
	if (run == remap_away) {
		page_expect(PAGE(600), 100);
		CHECK(word_at(PAGE(600)) & PM_WP);
		CHECK(!sim_is_mapped(PAGE(8)));
		CHECK_EQ(front_copy(&u, PAGE(601), SOURCE, PAGES(1), 0, &done), 0);
	}
	front_close(&u);
	CHECK_EQ(front_munmap(PAGE(8), PAGES(4)), 0);
	CHECK_EQ(front_munmap(PAGE(600), PAGES(4)), 0);
	sim_munmap(SOURCE, PAGES(8));
}

#define EVENT(what, a, b, c)                                                                       \
	{                                                                                          \
		.event = what, .arg.reserved = { a, b, c }                                         \
	}

static void event_unmap(void)
{
	struct uf_msg unmap = EVENT(UF_EVENT_UNMAP, PAGE(7), PAGE(10), 0);

	event_each(unmap_two, &unmap, 1);
}

static void event_remove(void)
{
	struct uf_msg remove = EVENT(UF_EVENT_REMOVE, PAGE(8), PAGE(10), 0);

	event_each(zap_two, &remove, 1);
}

static void event_map_over(void)
{
	struct uf_msg unmap = EVENT(UF_EVENT_UNMAP, PAGE(8), PAGE(10), 0);

	event_each(map_over, &unmap, 1);
}

static void event_remap(void)
{
	struct uf_msg both[2] = {EVENT(UF_EVENT_REMAP, PAGE(8), PAGE(600), PAGES(2)),
				 EVENT(UF_EVENT_UNMAP, PAGE(8), PAGE(10), 0)};

	event_each(remap_away, both, 2);
}

/* The descriptor closes while a thread waits for its event to be read. */
static void event_closed(void)
{
	struct change c = {.run = unmap_two};
	struct front_uffd u;
	unsigned thread;

	open_on(&u, UF_FEATURE_EVENT_UNMAP, PAGE(8), 4, MISSING);
	thread = sim_spawn("changer", change_body, &c);
	for (unsigned i = sim_random(200); i; i--)
		mach_relax();
	front_close(&u);
	sim_join(thread);
	CHECK_EQ(c.err, 0);
	CHECK_EQ(front_munmap(PAGE(8), PAGES(4)), 0);
	sim_munmap(SOURCE, PAGES(8));
}

/* Without the event a moved range belongs to nobody, marks included. */
static void remap_without_event(void)
{
	struct front_uffd u;
	uint64_t value, to;

	open_on(&u, 0, PAGE(8), 4, MISSING | WP);
	copy_all(&u, PAGE(8), SOURCE, 2, UF_COPY_MODE_WP);
	CHECK_EQ(front_mremap(PAGE(8), PAGES(4), PAGES(4), MREMAP_MAYMOVE | MREMAP_FIXED, PAGE(600),
			      &to),
		 0);
	page_expect(PAGE(600), 100);
	CHECK_EQ(sim_store(PAGE(601), 4), SIM_OK);
	CHECK_EQ(sim_load(PAGE(602), &value), SIM_OK);
	CHECK_EQ(value, 0);
	CHECK_EQ(sim_load(PAGE(8), &value), SIM_GOT_SEGV);
	CHECK_EQ(front_munmap(PAGE(600), PAGES(4)), 0);
	done_with(&u, PAGE(8), 4);
}

/* What stood at the destination is gone, managed or not. */
static void remap_over(void)
{
	struct front_uffd u;
	uint64_t to;

	open_on(&u, 0, PAGE(8), 8, MISSING);
	copy_all(&u, PAGE(8), SOURCE, 8, 0);
	sim_mmap(PAGE(600), PAGES(4), RW);
	page_write(PAGE(600), 3);
	CHECK_EQ(front_mremap(PAGE(8), PAGES(2), PAGES(2), MREMAP_MAYMOVE | MREMAP_FIXED, PAGE(13),
			      &to),
		 0);
	page_expect(PAGE(13), 100);
	page_expect(PAGE(15), 107);
	CHECK_EQ(front_mremap(PAGE(13), PAGES(3), PAGES(3), MREMAP_MAYMOVE | MREMAP_FIXED,
			      PAGE(600), &to),
		 -EFAULT);
	CHECK_EQ(front_mremap(PAGE(13), PAGES(2), PAGES(2), MREMAP_MAYMOVE | MREMAP_FIXED,
			      PAGE(600), &to),
		 0);
	page_expect(PAGE(600), 100);
	page_expect(PAGE(601), 101);
	/* Over all of another managed run. */
	CHECK_EQ(front_register(&u, PAGE(602), PAGES(2), MISSING), 0);
	copy_all(&u, PAGE(602), SOURCE, 2, 0);
	CHECK_EQ(front_mremap(PAGE(600), PAGES(2), PAGES(2), MREMAP_MAYMOVE | MREMAP_FIXED,
			      PAGE(602), &to),
		 0);
	page_expect(PAGE(602), 100);
	page_expect(PAGE(603), 101);
	CHECK_EQ(front_munmap(PAGE(600), PAGES(4)), 0);
	done_with(&u, PAGE(8), 8);
}

static void remap_resized(void)
{
	struct front_uffd u;
	uint64_t to;
	int64_t done;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	copy_all(&u, PAGE(8), SOURCE, 4, 0);
	CHECK_EQ(front_mremap(PAGE(8), PAGES(4), PAGES(2), 0, 0, &to), 0);
	CHECK_EQ(to, PAGE(8));
	CHECK(!sim_is_mapped(PAGE(10)));
	CHECK_EQ(front_mremap(PAGE(8), PAGES(2), PAGES(3), 0, 0, &to), 0);
	CHECK_EQ(front_zero(&u, PAGE(10), PAGES(1), 0, &done), 0);
	sim_mmap(PAGE(11), PAGES(1), RW);
	CHECK_EQ(front_mremap(PAGE(8), PAGES(3), PAGES(4), 0, 0, &to), -ENOMEM);
	CHECK_EQ(front_mremap(PAGE(8), PAGES(3), PAGES(4), MREMAP_MAYMOVE, 0, &to), 0);
	CHECK(to != PAGE(8));
	page_expect(to, 100);
	page_expect(to + PAGES(1), 101);
	CHECK_EQ(front_munmap(to, PAGES(4)), 0);
	done_with(&u, PAGE(8), 4);
}

static void remap_kept(void)
{
	struct front_uffd u;
	struct toucher t;
	struct change c;
	uint64_t to;
	int64_t done;

	(void)c;
	open_on(&u, 0, PAGE(8), 4, MISSING);
	copy_all(&u, PAGE(8), SOURCE, 4, 0);
	CHECK_EQ(front_mremap(PAGE(8), PAGES(4), PAGES(4),
			      MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, PAGE(600), &to),
		 0);
	page_expect(PAGE(603), 103);
	touch_start(&t, PAGE(8), false, 0);
	expect_fault(&u, PAGE(8), 0);
	CHECK_EQ(front_zero(&u, PAGE(8), PAGES(1), 0, &done), 0);
	touch_end(&t, SIM_OK);
	CHECK_EQ(front_munmap(PAGE(600), PAGES(4)), 0);
	done_with(&u, PAGE(8), 4);
}

/* The program's C library unmaps, and maps anew, memory that nobody is registered with any more. */
static void unmapped_unseen(void)
{
	struct front_uffd u;
	struct toucher t;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	copy_all(&u, PAGE(8), SOURCE, 4, 0);
	CHECK_EQ(front_unregister(&u, PAGE(8), PAGES(4)), 0);
	sim_munmap(PAGE(8), PAGES(4));
	sim_mmap(PAGE(8), PAGES(4), RW);
	CHECK_EQ(front_register(&u, PAGE(8), PAGES(4), MISSING), 0);
	touch_start(&t, PAGE(9), true, 5);
	expect_fault(&u, PAGE(9), UF_PAGEFAULT_FLAG_WRITE);
	copy_all(&u, PAGE(9), SOURCE, 1, 0);
	touch_end(&t, SIM_OK);
	done_with(&u, PAGE(8), 4);
}

const struct scenario map_scenarios[] = {
	{"unmapped-under-fault", unmapped_under_fault, 0},
	{"closed-under-fault", closed_under_fault, 0},
	{"unregistered-under-fault", unregistered_under_fault, 0},
	{"event-unmap", event_unmap, 0},
	{"event-remove", event_remove, 0},
	{"event-map-over", event_map_over, 0},
	{"event-remap", event_remap, 0},
	{"event-closed", event_closed, 0},
	{"remap-without-event", remap_without_event, 0},
	{"remap-over", remap_over, 0},
	{"remap-resized", remap_resized, 0},
	{"remap-kept", remap_kept, 0},
	{"unmapped-unseen", unmapped_unseen, 0},
	{NULL, NULL, 0},
};
