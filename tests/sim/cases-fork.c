/* cases-fork.c - the scenarios of forks: what the parent keeps, and what the child begins with. */
#include "scenarios.h"

#include <errno.h>
#include <sys/mman.h>

/* Everything that was there is, and can be read and written; what is missing is. */
static void parent_keeps_all(void)
{
	struct front_uffd u;
	struct toucher t;

	open_on(&u, 0, PAGE(8), 4, MISSING | WP);
	copy_all(&u, PAGE(8), SOURCE, 3, 0);
	CHECK_EQ(front_wp(&u, PAGE(8), PAGES(1), 1), 0);
	front_fork_parent();
	page_expect(PAGE(8), 100);
	page_expect(PAGE(9), 101);
	page_write(PAGE(9), 7);
	touch_start(&t, PAGE(8), true, 5);
	expect_fault(&u, PAGE(8), UF_PAGEFAULT_FLAG_WP | UF_PAGEFAULT_FLAG_WRITE);
	CHECK_EQ(front_wp(&u, PAGE(8), PAGES(1), 0), 0);
	touch_end(&t, SIM_OK);
	touch_start(&t, PAGE(11), false, 0);
	expect_fault(&u, PAGE(11), 0);
	copy_all(&u, PAGE(11), SOURCE, 1, 0);
	touch_end(&t, SIM_OK);
	page_expect(PAGE(9), 7);
	page_expect(PAGE(10), 102);
	done_with(&u, PAGE(8), 4);
}

/* Nothing is registered, no mark is left but poison, and contents are there. */
static void child_is_unregistered(void)
{
	struct front_uffd u;
	int64_t done;
	uint64_t value;

	open_on(&u, 0, PAGE(8), 5, MISSING | WP);
	copy_all(&u, PAGE(8), SOURCE, 3, 0);
	CHECK_EQ(front_wp(&u, PAGE(8), PAGES(3), 1), 0);
	CHECK_EQ(front_poison(&u, PAGE(11), PAGES(1), 0, &done), 0);
	CHECK(word_at(PAGE(8)) & PM_WP);
	CHECK_EQ(front_fork_child(), 0);
	CHECK(!(word_at(PAGE(8)) & PM_WP) && (word_at(PAGE(8)) & PM_PRESENT));
	CHECK(front_is_poison(PAGE(11)));
	page_expect(PAGE(8), 100);
	page_write(PAGE(9), 3);
	page_expect(PAGE(9), 3);
	CHECK_EQ(sim_load(PAGE(12), &value), SIM_OK);
	CHECK_EQ(value, 0);
	CHECK_EQ(sim_load(PAGE(11), &value), SIM_GOT_BUS);
	expect_nothing(&u);
	/* And it can be registered again. */
	CHECK_EQ(front_register(&u, PAGE(8), PAGES(5), MISSING), 0);
	page_expect(PAGE(10), 102);
	done_with(&u, PAGE(8), 5);
}

/* What has left memory comes back in the child. */
static void child_has_swap(void)
{
	struct front_uffd u;

	open_on(&u, 0, PAGE(8), 3, MISSING | WP);
	copy_all(&u, PAGE(8), SOURCE, 3, 0);
	front_pageout(PAGE(8), PAGES(2));
	CHECK_EQ(sim_swap_used(), 2);
	CHECK_EQ(front_fork_child(), 0);
	page_expect(PAGE(8), 100);
	page_expect(PAGE(10), 102);
	page_write(PAGE(9), 9);
	page_expect(PAGE(9), 9);
	CHECK_EQ(sim_swap_used(), 0);
	done_with(&u, PAGE(8), 3);
}

/* Earlier contents, not looked at yet, are there on both sides of it. */
static void earlier_contents(void)
{
	struct front_uffd u;

	sim_mmap(PAGE(8), PAGES(4), RW);
	page_write(PAGE(9), 55);
	open_on(&u, 0, PAGE(12), 2, MISSING);
	CHECK_EQ(front_register(&u, PAGE(8), PAGES(4), WP), 0);
	front_fork_parent();
	page_expect(PAGE(9), 55);
	CHECK_EQ(front_fork_child(), 0);
	page_expect(PAGE(9), 55);
	page_write(PAGE(9), 56);
	CHECK_EQ(front_munmap(PAGE(8), PAGES(4)), 0);
	done_with(&u, PAGE(12), 2);
}

/* MOVE takes a page again when it has been written, or was filled since. */
static void moved_when_written(void)
{
	struct front_uffd u;
	int64_t done;

	open_on(&u, 0, PAGE(8), 8, MISSING);
	copy_all(&u, PAGE(8), SOURCE, 3, 0);
	front_fork_parent();
	CHECK_EQ(front_move(&u, PAGE(12), PAGE(8), PAGES(1), 0, &done), -EBUSY);
	page_write(PAGE(8), 1);
	CHECK_EQ(front_move(&u, PAGE(12), PAGE(8), PAGES(1), 0, &done), 0);
	page_expect(PAGE(12), 1);
	copy_all(&u, PAGE(8), SOURCE, 1, 0);
	CHECK_EQ(front_move(&u, PAGE(13), PAGE(8), PAGES(1), 0, &done), 0);
	page_expect(PAGE(13), 100);
	done_with(&u, PAGE(8), 8);
}

/* As the program has asked for it. */
static void advice_is_kept(void)
{
	struct front_uffd u;
	struct mach_entry e;
	uint64_t value;

	open_on(&u, 0, PAGE(8), 6, MISSING);
	copy_all(&u, PAGE(8), SOURCE, 6, 0);
	mach_enter(&e);
	CHECK_EQ(mm_madvise(mm_space_self, PAGE(8), PAGES(1), MADV_DONTFORK, NULL), 0);
	CHECK_EQ(mm_madvise(mm_space_self, PAGE(9), PAGES(2), MADV_WIPEONFORK, NULL), 0);
	CHECK_EQ(mm_madvise(mm_space_self, PAGE(10), PAGES(1), MADV_KEEPONFORK, NULL), 0);
	mach_leave(&e);
	front_fork_parent();
	page_expect(PAGE(8), 100);
	page_expect(PAGE(9), 101);
	CHECK_EQ(front_fork_child(), 0);
	CHECK_EQ(sim_load(PAGE(8), &value), SIM_GOT_SEGV);
	CHECK_EQ(sim_load(PAGE(9), &value), SIM_OK);
	CHECK_EQ(value, 0);
	page_expect(PAGE(10), 102);
	done_with(&u, PAGE(8), 6);
}

/* Who is told of forks has a counterpart in the child, and marks stay. */
static void child_keeps_marks(void)
{
	struct front_uffd u;
	uint64_t value;
	uf_ref child;

	open_on(&u, UF_FEATURE_EVENT_FORK | UF_FEATURE_SIGBUS, PAGE(8), 4, MISSING | WP);
	copy_all(&u, PAGE(8), SOURCE, 2, 0);
	CHECK_EQ(front_wp(&u, PAGE(8), PAGES(1), 1), 0);
	child = front_fork_child();
	CHECK(child);
	CHECK(word_at(PAGE(8)) & PM_WP);
	page_expect(PAGE(8), 100);
	CHECK_EQ(sim_store(PAGE(8), 1), SIM_GOT_BUS);
	CHECK_EQ(sim_store(PAGE(9), 1), SIM_OK);
	CHECK_EQ(sim_load(PAGE(10), &value), SIM_GOT_BUS);
	uffd_close(child);
	CHECK_EQ(sim_load(PAGE(10), &value), SIM_OK);
	done_with(&u, PAGE(8), 4);
}

const struct scenario fork_scenarios[] = {
	{"parent_keeps_all", parent_keeps_all, 20},
	{"child_is_unregistered", child_is_unregistered, 0},
	{"child_has_swap", child_has_swap, 0},
	{"earlier_contents", earlier_contents, 0},
	{"moved_when_written", moved_when_written, 0},
	{"advice_is_kept", advice_is_kept, 0},
	{"child_keeps_marks", child_keeps_marks, 0},
	{NULL, NULL, 0},
};
