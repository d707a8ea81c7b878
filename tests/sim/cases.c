/* cases.c - the scenarios of faults and fills, protection, poison, moving and registration. */
#include "scenarios.h"

#include <errno.h>

static void missing(void)
{
	struct front_uffd u;
	struct toucher a, b;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	touch_start(&a, PAGE(9), false, 0);
	expect_fault(&u, PAGE(9), 0);
	touch_start(&b, PAGE(9) + 8, true, 5);
	expect_fault(&u, PAGE(9), UF_PAGEFAULT_FLAG_WRITE);
	CHECK(!a.done && !b.done);
	copy_all(&u, PAGE(9), SOURCE, 1, 0);
	touch_end(&a, SIM_OK);
	touch_end(&b, SIM_OK);
	CHECK_EQ(a.value, 100 * 0x10000);
	CHECK_EQ(sim_load(PAGE(9) + 8, &a.value), SIM_OK);
	CHECK_EQ(a.value, 5);
	expect_nothing(&u);
	done_with(&u, PAGE(8), 4);
}

static void zero_and_exists(void)
{
	struct front_uffd u;
	struct toucher t;
	int64_t done;

	open_on(&u, 0, PAGE(8), 8, MISSING);
	touch_start(&t, PAGE(8), false, 0);
	expect_fault(&u, PAGE(8), 0);
	CHECK_EQ(front_zero(&u, PAGE(8), PAGES(1), 0, &done), 0);
	touch_end(&t, SIM_OK);
	page_expect(PAGE(8), 0);
	CHECK_EQ(front_zero(&u, PAGE(8), PAGES(1), 0, &done), -EEXIST);
	CHECK_EQ(done, -EEXIST);
	/* Part of a range: what is done is said, and EAGAIN. */
	copy_all(&u, PAGE(12), SOURCE, 1, 0);
	CHECK_EQ(front_copy(&u, PAGE(9), SOURCE, PAGES(5), 0, &done), -EAGAIN);
	CHECK_EQ(done, PAGES(3));
	page_expect(PAGE(11), 102);
	CHECK_EQ(word_at(PAGE(13)), 0);
	done_with(&u, PAGE(8), 8);
}

static void wake_without_fill(void)
{
	struct front_uffd u;
	struct toucher t;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	touch_start(&t, PAGE(8), true, 3);
	expect_fault(&u, PAGE(8), 1);
	CHECK_EQ(front_wake(&u, PAGE(8), PAGES(1)), 0);
	expect_fault(&u, PAGE(8), 1);
	/* Filled and not woken: it sleeps on, if it sleeps already. */
	settle();
	copy_all(&u, PAGE(8), SOURCE, 1, UF_COPY_MODE_DONTWAKE);
	settle();
	CHECK(!t.done);
	CHECK_EQ(front_wake(&u, PAGE(9), PAGES(1)), 0);
	settle();
	CHECK(!t.done);
	CHECK_EQ(front_wake(&u, PAGE(8), PAGES(1)), 0);
	touch_end(&t, SIM_OK);
	done_with(&u, PAGE(8), 4);
}

static void withdrawn(void)
{
	struct front_uffd u;
	struct toucher t;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	touch_start(&t, PAGE(8), false, 0);
	while (!uffd_ready(u.ref))
		mach_relax();
	copy_all(&u, PAGE(8), SOURCE, 1, 0);
	touch_end(&t, SIM_OK);
	CHECK(!uffd_ready(u.ref));
	expect_nothing(&u);
	done_with(&u, PAGE(8), 4);
}

/* A fill that comes while the thread is on its way to the queue: nobody reads, yet it goes on. */
static void filled_meanwhile(void)
{
	struct toucher t[3];
	struct front_uffd u;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	for (unsigned i = 0; i < 3; i++)
		touch_start(&t[i], PAGE(8 + i), i == 1, 1);
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned k = sim_random(20); k; k--)
			sim_point();
		copy_all(&u, PAGE(8 + i), SOURCE, 1, 0);
	}
	for (unsigned i = 0; i < 3; i++)
		touch_end(&t[i], SIM_OK);
	expect_nothing(&u);
	done_with(&u, PAGE(8), 4);
}

static void write_protect(void)
{
	struct front_uffd u;
	struct toucher t;
	uint64_t value;

	open_on(&u, 0, PAGE(8), 4, MISSING | WP);
	copy_all(&u, PAGE(8), SOURCE, 2, UF_COPY_MODE_WP);
	copy_all(&u, PAGE(10), SOURCE, 1, 0);
	CHECK_EQ(sim_load(PAGE(8), &value), SIM_OK);
	touch_start(&t, PAGE(8), true, 9);
	expect_fault(&u, PAGE(8), 3);
	CHECK_EQ(sim_load(PAGE(8), &value), SIM_OK);
	CHECK_EQ(value, 100 * 0x10000);
	CHECK_EQ(front_wp(&u, PAGE(8), PAGES(1), 0), 0);
	touch_end(&t, SIM_OK);
	CHECK(!(word_at(PAGE(8)) & PM_WP));
	CHECK(word_at(PAGE(9)) & PM_WP);
	/* Armed while it is open for writing, and a change of protection in between. */
	CHECK_EQ(sim_store(PAGE(10), 1), SIM_OK);
	CHECK_EQ(front_wp(&u, PAGE(10), PAGES(2), 1), 0);
	CHECK_EQ(front_mprotect(PAGE(8), PAGES(4), UF_PROT_READ), 0);
	CHECK_EQ(sim_store(PAGE(10), 1), SIM_GOT_SEGV);
	CHECK_EQ(front_mprotect(PAGE(8), PAGES(4), RW), 0);
	touch_start(&t, PAGE(10), true, 2);
	expect_fault(&u, PAGE(10), 3);
	CHECK_EQ(front_wp(&u, PAGE(8), PAGES(4), 0), 0);
	touch_end(&t, SIM_OK);
	/* Zapped: nothing is left of the mark. */
	CHECK_EQ(front_wp(&u, PAGE(8), PAGES(4), 1), 0);
	CHECK_EQ(front_zap(PAGE(8), PAGES(4)), 0);
	CHECK_EQ(word_at(PAGE(8)), 0);
	done_with(&u, PAGE(8), 4);
}

static void markers(void)
{
	struct front_uffd u;
	struct toucher t;

	open_on(&u, UF_FEATURE_WP_UNPOPULATED, PAGE(8), 4, WP);
	CHECK_EQ(front_wp(&u, PAGE(8), PAGES(4), 1), 0);
	CHECK_EQ(word_at(PAGE(8)), PM_SWAP | PM_WP);
	touch_start(&t, PAGE(8), false, 0);
	touch_end(&t, SIM_OK);
	CHECK(word_at(PAGE(8)) & PM_PRESENT);
	CHECK(word_at(PAGE(8)) & PM_WP);
	touch_start(&t, PAGE(9), true, 1);
	expect_fault(&u, PAGE(9), 3);
	CHECK_EQ(front_wp(&u, PAGE(8), PAGES(4), 0), 0);
	touch_end(&t, SIM_OK);
	CHECK_EQ(word_at(PAGE(10)), 0);
	done_with(&u, PAGE(8), 4);
}

static void lifted_without_asking(void)
{
	struct front_uffd u;

	open_on(&u, UF_FEATURE_WP_ASYNC, PAGE(8), 4, WP);
	CHECK_EQ(front_wp(&u, PAGE(8), PAGES(4), 1), 0);
	CHECK_EQ(sim_store(PAGE(9), 1), SIM_OK);
	CHECK(!(word_at(PAGE(9)) & PM_WP));
	CHECK(word_at(PAGE(8)) & PM_WP);
	expect_nothing(&u);
	done_with(&u, PAGE(8), 4);
}

static void read_write_protect(void)
{
	struct uf_set_mode async = {.enable = UF_FEATURE_RWP_ASYNC};
	struct front_uffd u;
	struct toucher t;
	uint64_t value;

	open_on(&u, UF_FEATURE_RWP, PAGE(8), 4, MISSING | RWP);
	copy_all(&u, PAGE(8), SOURCE, 3, 0);
	CHECK_EQ(sim_store(PAGE(8), 7), SIM_OK);
	CHECK_EQ(front_rwp(&u, PAGE(8), PAGES(4), 1), 0);
	touch_start(&t, PAGE(8), false, 0);
	expect_fault(&u, PAGE(8), UF_PAGEFAULT_FLAG_RWP);
	CHECK_EQ(front_rwp(&u, PAGE(8), PAGES(1), 0), 0);
	touch_end(&t, SIM_OK);
	CHECK_EQ(t.value, 7);
	/* From here on nobody is asked; who waits already is sent round. */
	touch_start(&t, PAGE(9), true, 8);
	expect_fault(&u, PAGE(9), UF_PAGEFAULT_FLAG_RWP | 1);
	CHECK_EQ(front_ioctl(&u, UF_IO_SET_MODE, &async), 0);
	touch_end(&t, SIM_OK);
	CHECK_EQ(sim_load(PAGE(10), &value), SIM_OK);
	CHECK_EQ(value, 102 * 0x10000);
	expect_nothing(&u);
	done_with(&u, PAGE(8), 4);
}

static void poisoned(void)
{
	struct front_uffd u;
	struct toucher t;
	int64_t done;
	uint64_t value;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	touch_start(&t, PAGE(8), false, 0);
	expect_fault(&u, PAGE(8), 0);
	CHECK_EQ(front_poison(&u, PAGE(8), PAGES(2), 0, &done), 0);
	touch_end(&t, SIM_GOT_BUS);
	CHECK_EQ(front_poison(&u, PAGE(8), PAGES(1), 0, &done), -EEXIST);
	CHECK_EQ(front_zero(&u, PAGE(8), PAGES(1), 0, &done), -EEXIST);
	copy_all(&u, PAGE(8), SOURCE, 1, 0);
	CHECK_EQ(sim_load(PAGE(8), &value), SIM_OK);
	CHECK_EQ(front_unregister(&u, PAGE(8), PAGES(4)), 0);
	CHECK_EQ(sim_store(PAGE(9), 1), SIM_GOT_BUS);
	CHECK_EQ(front_zap(PAGE(9), PAGES(1)), 0);
	CHECK_EQ(sim_store(PAGE(9), 1), SIM_OK);
	done_with(&u, PAGE(8), 4);
}

static void moved(void)
{
	struct front_uffd u;
	struct toucher t;
	uint64_t value;
	int64_t done;

	open_on(&u, 0, PAGE(8), 8, MISSING);
	sim_mmap(PAGE(600), PAGES(8), RW);
	for (unsigned i = 0; i < 3; i++)
		page_write(PAGE(600 + i), 7 + i);
	touch_start(&t, PAGE(9), false, 0);
	expect_fault(&u, PAGE(9), 0);
	CHECK_EQ(front_move(&u, PAGE(8), PAGE(600), PAGES(2), 0, &done), 0);
	touch_end(&t, SIM_OK);
	page_expect(PAGE(8), 7);
	page_expect(PAGE(9), 8);
	CHECK_EQ(sim_load(PAGE(600), &value), SIM_OK);
	CHECK_EQ(value, 0);
	/* Occupied; a hole; holes allowed. */
	CHECK_EQ(front_move(&u, PAGE(9), PAGE(602), PAGES(1), 0, &done), -EEXIST);
	CHECK_EQ(front_move(&u, PAGE(10), PAGE(602), PAGES(2), 0, &done), -EAGAIN);
	CHECK_EQ(done, PAGES(1));
	CHECK_EQ(front_move(&u, PAGE(11), PAGE(603), PAGES(2), UF_MOVE_MODE_ALLOW_SRC_HOLES, &done),
		 0);
	CHECK_EQ(done, PAGES(2));
	CHECK_EQ(word_at(PAGE(11)), 0);
	page_expect(PAGE(10), 9);
	/* Inside the range, overlapping, upwards. */
	CHECK_EQ(front_zap(PAGE(8), PAGES(1)), 0);
	CHECK_EQ(front_move(&u, PAGE(8), PAGE(9), PAGES(2), 0, &done), 0);
	page_expect(PAGE(8), 8);
	page_expect(PAGE(9), 9);
	CHECK_EQ(word_at(PAGE(10)), 0);
	CHECK_EQ(front_munmap(PAGE(600), PAGES(8)), 0);
	done_with(&u, PAGE(8), 8);
}

static void write_often(void *arg)
{
	const uint64_t *addr = arg;

	for (uint64_t i = 1; i <= 30; i++)
		CHECK_EQ(sim_store(*addr, i), SIM_OK);
}

/* A writer runs while its page is moved away and back: the last word it wrote is somewhere. */
static void moved_under_writer(void)
{
	uint64_t addr = PAGE(600), value, other;
	struct front_uffd u;
	unsigned writer;
	int64_t done;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	sim_mmap(addr, PAGES(2), RW);
	page_write(addr, 7);
	writer = sim_spawn("writer", write_often, &addr);
	CHECK_EQ(front_move(&u, PAGE(8), addr, PAGES(1), 0, &done), 0);
	sim_join(writer);
	CHECK_EQ(sim_load(PAGE(8), &value), SIM_OK);
	CHECK_EQ(sim_load(addr, &other), SIM_OK);
	CHECK(value == 30 || other == 30);
	CHECK_EQ(sim_load(PAGE(8) + 8, &value), SIM_OK);
	CHECK_EQ(value, 7 * 0x10000 + 1);
	CHECK_EQ(front_munmap(addr, PAGES(2)), 0);
	done_with(&u, PAGE(8), 4);
}

/* Memory with contents is registered: what was there is there, and nobody is asked for it. */
static void registered_with_contents(void)
{
	struct front_uffd u;
	struct toucher t;
	int64_t done;

	sim_mmap(PAGE(8), PAGES(40), RW);
	page_write(PAGE(9), 5);
	page_write(PAGE(30), 6);
	page_write(PAGE(31), 8);
	front_open(&u, 0);
	sim_mmap(SOURCE, PAGES(1), RW);
	CHECK_EQ(front_register(&u, PAGE(8), PAGES(40), MISSING | WP), 0);
	page_expect(PAGE(9), 5);
	CHECK(word_at(PAGE(30)) & PM_PRESENT);
	CHECK_EQ(front_copy(&u, PAGE(30), SOURCE, PAGES(1), 0, &done), -EEXIST);
	CHECK_EQ(front_wp(&u, PAGE(8), PAGES(40), 1), 0);
	touch_start(&t, PAGE(30), true, 1);
	expect_fault(&u, PAGE(30), 3);
	CHECK_EQ(front_wp(&u, PAGE(30), PAGES(1), 0), 0);
	touch_end(&t, SIM_OK);
	touch_start(&t, PAGE(10), false, 0);
	expect_fault(&u, PAGE(10), 0);
	CHECK_EQ(front_zero(&u, PAGE(10), PAGES(1), 0, &done), 0);
	touch_end(&t, SIM_OK);
	CHECK(word_at(PAGE(31)) & PM_WP);
	page_expect(PAGE(31), 8);
	CHECK_EQ(front_zap(PAGE(31), PAGES(1)), 0);
	CHECK_EQ(word_at(PAGE(31)), 0);
	done_with(&u, PAGE(8), 40);
}

static void registration(void)
{
	struct front_uffd u, other;
	struct mm_area_info info;
	struct mach_entry e;
	uint64_t value;
	int64_t done;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	front_open(&other, 0);
	sim_mmap(PAGE(14), PAGES(4), RW);
	sim_mmap(PAGE(18), PAGES(2), UF_PROT_READ);
	/* Another's memory in the middle: refused, and nothing was done. */
	CHECK_EQ(front_register(&other, PAGE(4), PAGES(20), MISSING), -EBUSY);
	CHECK_EQ(sim_is_managed(PAGE(14)), false);
	CHECK_EQ(front_unregister(&other, PAGE(8), PAGES(4)), -EINVAL);
	/* Holes are skipped; a range across borders is not one mapping. */
	CHECK_EQ(front_register(&u, PAGE(4), PAGES(20), MISSING), 0);
	CHECK_EQ(front_copy(&u, PAGE(11), SOURCE, PAGES(4), 0, &done), -ENOENT);
	CHECK_EQ(front_copy(&u, PAGE(17), SOURCE, PAGES(2), 0, &done), -ENOENT);
	copy_all(&u, PAGE(18), SOURCE, 2, 0);
	CHECK_EQ(sim_load(PAGE(19), &value), SIM_OK);
	CHECK_EQ(sim_store(PAGE(19), 1), SIM_GOT_SEGV);
	/* Split and joined again. */
	CHECK_EQ(front_unregister(&u, PAGE(9), PAGES(1)), 0);
	CHECK_EQ(sim_load(PAGE(9), &value), SIM_OK);
	CHECK_EQ(front_copy(&u, PAGE(8), SOURCE, PAGES(2), 0, &done), -ENOENT);
	CHECK_EQ(front_register(&u, PAGE(9), PAGES(1), MISSING), 0);
	mach_enter(&e);
	CHECK_EQ(mm_area_info(mm_space_self, 0, &info), 0);
	mach_leave(&e);
	CHECK_EQ(info.start, PAGE(8));
	CHECK_EQ(info.end, PAGE(12));
	CHECK_EQ(front_register(&u, PAGE(100), PAGES(1), MISSING), -EINVAL);
	front_close(&other);
	CHECK_EQ(front_munmap(PAGE(14), PAGES(6)), 0);
	done_with(&u, PAGE(8), 4);
}

/*
 * A mark that outlived its mode must not be there again, half believed, when the mode comes back:
 * the TLB let writes through in between.
 */
static void mode_replaced(void)
{
	struct front_uffd u;

	open_on(&u, 0, PAGE(8), 4, WP);
	copy_all(&u, PAGE(8), SOURCE, 1, UF_COPY_MODE_WP);
	CHECK_EQ(front_register(&u, PAGE(8), PAGES(4), MISSING), 0);
	CHECK_EQ(sim_store(PAGE(8), 1), SIM_OK);
	CHECK_EQ(front_register(&u, PAGE(8), PAGES(4), MISSING | WP), 0);
	front_check();
	done_with(&u, PAGE(8), 4);
}

/* The source of a copy is missing itself, at another userfaultfd. */
static void copy_from_missing(void *arg)
{
	struct front_uffd *u = arg;
	int64_t done;

	CHECK_EQ(front_copy(u, PAGE(8), PAGE(600), PAGES(2), 0, &done), 0);
	CHECK_EQ(done, PAGES(2));
}

static void missing_source(void)
{
	struct front_uffd u, other;
	unsigned copier;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	front_open(&other, 0);
	sim_mmap(PAGE(600), PAGES(2), RW);
	CHECK_EQ(front_register(&other, PAGE(600), PAGES(2), MISSING), 0);
	copier = sim_spawn("copier", copy_from_missing, &u);
	for (unsigned i = 0; i < 2; i++) {
		expect_fault(&other, PAGE(600 + i), 0);
		copy_all(&other, PAGE(600 + i), SOURCE + PAGES(i), 1, 0);
	}
	sim_join(copier);
	page_expect(PAGE(8), 100);
	page_expect(PAGE(9), 101);
	front_close(&other);
	CHECK_EQ(front_munmap(PAGE(600), PAGES(2)), 0);
	done_with(&u, PAGE(8), 4);
}

static int fill_inline(const struct mm_fault *fault, void *arg)
{
	struct front_uffd *u = arg;
	int64_t done;
	int err;

	if (fault->page == PAGE(11))
		return -EIO;
	err = front_copy(u, fault->page, SOURCE, PAGES(1), 0, &done);
	return err == -EEXIST ? 0 : err;
}

/*
 * A change of mappings begins while a copy waits for its source: nothing is filled until the event
 * was read.
 */
struct copier {
	struct front_uffd *u;
	int err;
	int64_t done;
};

static void copy_two(void *arg)
{
	struct copier *c = arg;

	c->err = front_copy(c->u, PAGE(8), PAGE(600), PAGES(2), 0, &c->done);
}

static void unmap_last(void *arg)
{
	(void)arg;
	CHECK_EQ(front_munmap(PAGE(11), PAGES(1)), 0);
}

static void changed_under_copy(void)
{
	struct front_uffd u, other;
	struct copier c = {.u = &u};
	unsigned copier, changer;

	open_on(&u, UF_FEATURE_EVENT_UNMAP, PAGE(8), 4, MISSING);
	front_open(&other, 0);
	sim_mmap(PAGE(600), PAGES(2), RW);
	CHECK_EQ(front_register(&other, PAGE(600), PAGES(2), MISSING), 0);
	copier = sim_spawn("copier", copy_two, &c);
	expect_fault(&other, PAGE(600), 0);
	changer = sim_spawn("changer", unmap_last, NULL);
	while (!uffd_ready(u.ref))
		mach_relax();
	copy_all(&other, PAGE(600), SOURCE, 2, 0);
	sim_join(copier);
	CHECK_EQ(c.err, -EAGAIN);
	CHECK_EQ(c.done, -EAGAIN);
	CHECK_EQ(word_at(PAGE(8)), 0);
	expect_event(&u, UF_EVENT_UNMAP, PAGE(11), PAGE(12), 0);
	sim_join(changer);
	front_close(&other);
	CHECK_EQ(front_munmap(PAGE(600), PAGES(2)), 0);
	done_with(&u, PAGE(8), 4);
}

static void callback(void)
{
	struct toucher t[3];
	struct front_uffd u;
	uint64_t value;

	front_open(&u, ~0ull);
	CHECK_EQ(uffd_set_callback(u.ref, fill_inline, &u), 0);
	sim_mmap(PAGE(8), PAGES(4), RW);
	sim_mmap(SOURCE, PAGES(8), RW);
	page_write(SOURCE, 42);
	CHECK_EQ(front_register(&u, PAGE(8), PAGES(4), MISSING), 0);
	for (unsigned i = 0; i < 3; i++)
		touch_start(&t[i], PAGE(8), i == 2, 1);
	for (unsigned i = 0; i < 3; i++)
		touch_end(&t[i], SIM_OK);
	CHECK_EQ(sim_load(PAGE(9), &value), SIM_OK);
	CHECK_EQ(sim_load(PAGE(11), &value), SIM_GOT_BUS);
	done_with(&u, PAGE(8), 4);
}

static void sigbus_mode(void)
{
	struct front_uffd u;
	uint64_t value;

	open_on(&u, UF_FEATURE_SIGBUS, PAGE(8), 4, MISSING);
	CHECK_EQ(sim_load(PAGE(8), &value), SIM_GOT_BUS);
	CHECK_EQ(mach_copy_in(&value, PAGE(8), 8), -EFAULT);
	copy_all(&u, PAGE(8), SOURCE, 1, 0);
	CHECK_EQ(sim_load(PAGE(8), &value), SIM_OK);
	expect_nothing(&u);
	done_with(&u, PAGE(8), 4);
}

static void answer_all(void *arg)
{
	struct front_uffd *u = arg;
	struct uf_msg msg;
	int64_t done;

	while (front_wait(u, &msg))
		CHECK_EQ(front_zero(u, msg.arg.pagefault.address, PAGES(1), 0, &done), 0);
}

static bool all_asleep(void *arg)
{
	return uffd_ready(((struct front_uffd *)arg)->ref);
}

/* Some read the level away, some poll: when all is answered it is down for those who watch. */
static void level_at_rest(void)
{
	struct toucher t[4];
	struct front_uffd u;
	unsigned readers[3];

	front_make(&u, 0);
	front_watch(&u);
	front_publish(&u);
	sim_mmap(PAGE(8), PAGES(16), RW);
	sim_mmap(SOURCE, PAGES(8), RW);
	CHECK_EQ(front_register(&u, PAGE(8), PAGES(16), MISSING), 0);
	for (unsigned i = 0; i < 3; i++)
		readers[i] = sim_spawn("handler", answer_all, &u);
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < 4; i++)
			touch_start(&t[i], PAGE(8 + 4 * round + i), i & 1, 1);
		for (unsigned i = 0; i < 4; i++)
			touch_end(&t[i], SIM_OK);
		settle();
		sim_wait_while(all_asleep, &u, "waits for the readers");
		settle();
		CHECK(!sim_readable(u.fd));
	}
	atomic_store(&u.stop, true);
	for (unsigned i = 0; i < 3; i++)
		sim_join(readers[i]);
	done_with(&u, PAGE(8), 16);
}

/* A descriptor for user mode only does not answer system calls. */
static void user_mode_only(void)
{
	struct uf_api api = {.api = UF_API};
	struct front_uffd u = {0};
	struct toucher t;
	uint64_t value;

	CHECK_EQ(uffd_create(mm_space_self, UF_USER_MODE_ONLY, 1, &u.ref, &u.fd), 0);
	CHECK_EQ(front_ioctl(&u, UF_IO_API, &api), 0);
	front_publish(&u);
	sim_mmap(PAGE(8), PAGES(4), RW);
	sim_mmap(SOURCE, PAGES(8), RW);
	CHECK_EQ(front_register(&u, PAGE(8), PAGES(4), MISSING), 0);
	CHECK_EQ(mach_copy_in(&value, PAGE(8), sizeof(value)), -EFAULT);
	CHECK_EQ(mach_copy_out(PAGE(8), &value, sizeof(value)), -EFAULT);
	expect_nothing(&u);
	touch_start(&t, PAGE(8), false, 0);
	expect_fault(&u, PAGE(8), 0);
	copy_all(&u, PAGE(8), SOURCE, 1, 0);
	touch_end(&t, SIM_OK);
	CHECK_EQ(mach_copy_in(&value, PAGE(8), sizeof(value)), 0);
	done_with(&u, PAGE(8), 4);
}

/* A signal ends the wait: the message goes if it was not read, and comes again. */
static void interrupted(void)
{
	struct toucher t[4];
	struct front_uffd u;
	struct uf_msg msg;
	int64_t done;
	unsigned left = 4, unread, all;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	for (unsigned i = 0; i < 4; i++)
		touch_start(&t[i], PAGE(8 + i % 2), i & 1, 1);
	settle();
	while (left) {
		left = 0;
		for (unsigned i = 0; i < 4; i++)
			left += !t[i].done;
		front_pending(&u, &unread, &all);
		CHECK(unread <= all && all <= 4);
		if (left && front_read(&u, &msg) && sim_chance(300))
			front_zero(&u, msg.arg.pagefault.address, PAGES(1), 0, &done);
		else if (left && sim_chance(100))
			front_zero(&u, PAGE(8 + sim_random(2)), PAGES(1), 0, &done);
		mach_relax();
	}
	for (unsigned i = 0; i < 4; i++)
		touch_end(&t[i], SIM_OK);
	expect_nothing(&u);
	done_with(&u, PAGE(8), 4);
}

/* A long range: several leaves, filled in one call over a hole that is there already. */
static void many_leaves(void)
{
	struct front_uffd u;
	int64_t done;
	uint64_t value;

	open_on(&u, 0, PAGE(8), 1200, MISSING | WP);
	CHECK_EQ(front_zero(&u, PAGE(1000), PAGES(1), 0, &done), 0);
	CHECK_EQ(front_zero(&u, PAGE(8), PAGES(1200), 0, &done), -EAGAIN);
	CHECK_EQ(done, PAGES(992));
	CHECK_EQ(front_wp(&u, PAGE(400), PAGES(400), 1), 0);
	CHECK(word_at(PAGE(799)) & PM_WP);
	CHECK(!(word_at(PAGE(800)) & PM_WP));
	CHECK_EQ(front_zap(PAGE(500), PAGES(100)), 0);
	CHECK_EQ(word_at(PAGE(599)), 0);
	CHECK(word_at(PAGE(600)) & PM_PRESENT);
	CHECK_EQ(sim_load(PAGE(600), &value), SIM_OK);
	done_with(&u, PAGE(8), 1200);
}

const struct scenario fault_scenarios[] = {
	{"missing", missing, 0},
	{"zero-and-exists", zero_and_exists, 0},
	{"wake-without-fill", wake_without_fill, 0},
	{"withdrawn", withdrawn, 0},
	{"filled-meanwhile", filled_meanwhile, 0},
	{"write-protect", write_protect, 0},
	{"markers", markers, 0},
	{"lifted-without-asking", lifted_without_asking, 0},
	{"read-write-protect", read_write_protect, 0},
	{"poisoned", poisoned, 0},
	{"moved", moved, 0},
	{"moved-under-writer", moved_under_writer, 0},
	{"registered-with-contents", registered_with_contents, 0},
	{"registration", registration, 0},
	{"mode-replaced", mode_replaced, 0},
	{"missing-source", missing_source, 0},
	{"changed-under-copy", changed_under_copy, 0},
	{"callback", callback, 0},
	{"sigbus-mode", sigbus_mode, 0},
	{"level-at-rest", level_at_rest, 0},
	{"user-mode-only", user_mode_only, 0},
	{"interrupted", interrupted, 500},
	{"many-leaves", many_leaves, 0},
	{NULL, NULL, 0},
};
