/* cases-swap.c - the scenarios of pages that leave memory, and of what else types can do. */
#include "scenarios.h"

#include <errno.h>
#include <sys/mman.h>

#include "mm/direct.h"
#include "mm/internal.h"
#include "mm/reclaim.h"
#include "types/program.h"

#define MINOR UF_REGISTER_MODE_MINOR
#define SWAP  12 /* slots there are: scenarios.c */

static mm_entry entry_of(uint64_t addr)
{
	mm_entry *entries, entry;
	struct mach_entry e;
	struct mm_area *a;
	uint64_t page;

	mach_enter(&e);
	mach_read_lock(&mm_space_self->lock);
	a = mm_area_find(mm_space_self, addr);
	page = mm_area_page(a, addr);
	mm_leaf_peek(mm_area_table(a), page, &entries);
	entry = entries ? entries[page % MM_LEAF_ENTRIES] : 0;
	mm_leaf_unlock(mm_area_table(a), page);
	mach_read_unlock(&mm_space_self->lock);
	mach_leave(&e);
	return entry;
}

/* It is out, its marks are not lost, to the program it is as before, and it comes back whole. */
static void paged_out(void)
{
	struct front_uffd u;
	struct toucher t;
	uint64_t word;

	open_on(&u, 0, PAGE(8), 4, MISSING | WP);
	copy_all(&u, PAGE(8), SOURCE, 3, 0);
	CHECK_EQ(front_wp(&u, PAGE(8), PAGES(1), 1), 0);
	word = word_at(PAGE(8));
	front_pageout(PAGE(8), PAGES(4));
	CHECK_EQ(sim_swap_used(), 3);
	CHECK_EQ(mm_kind(entry_of(PAGE(8))), MM_SWAP);
	CHECK_EQ(entry_of(PAGE(8)) & (MM_WP | MM_SOFTDIRTY), MM_WP | MM_SOFTDIRTY);
	CHECK_EQ(word_at(PAGE(8)), word);
	page_expect(PAGE(8), 100);
	touch_start(&t, PAGE(8), true, 1);
	expect_fault(&u, PAGE(8), UF_PAGEFAULT_FLAG_WRITE | UF_PAGEFAULT_FLAG_WP);
	/* Protected while it is out. */
	CHECK_EQ(front_wp(&u, PAGE(9), PAGES(1), 1), 0);
	CHECK_EQ(front_wp(&u, PAGE(8), PAGES(1), 0), 0);
	touch_end(&t, SIM_OK);
	touch_start(&t, PAGE(9), true, 2);
	expect_fault(&u, PAGE(9), UF_PAGEFAULT_FLAG_WRITE | UF_PAGEFAULT_FLAG_WP);
	CHECK_EQ(front_wp(&u, PAGE(9), PAGES(1), 0), 0);
	touch_end(&t, SIM_OK);
	/* A slot that is not needed any more is free. */
	CHECK_EQ(sim_swap_used(), 1);
	CHECK_EQ(front_zap(PAGE(10), PAGES(1)), 0);
	CHECK_EQ(sim_swap_used(), 0);
	expect_nothing(&u);
	done_with(&u, PAGE(8), 4);
}

static uint64_t resident(void)
{
	return atomic_load(&mm_space_self->resident);
}

/* The limit holds by letting pages leave, and then by refusing; nothing that was there is lost. */
static void limit_holds(void)
{
	const uint64_t limit = MM_LIMIT_LEAST, all = MM_LIMIT_LEAST + SWAP;
	struct front_uffd u;
	uint64_t value;
	int64_t done;

	open_on(&u, 0, PAGE(8), 64, MISSING);
	CHECK_EQ(front_limit(0, limit), 0);
	for (uint64_t i = 0; i < all; i++) {
		copy_all(&u, PAGE(8 + i), SOURCE + PAGES(i % 8), 1, 0);
		CHECK(resident() <= limit);
	}
	CHECK_EQ(sim_swap_used(), SWAP);
	CHECK_EQ(front_copy(&u, PAGE(8 + all), SOURCE, PAGES(1), 0, &done), -ENOMEM);
	CHECK_EQ(done, -ENOMEM);
	CHECK_EQ(front_unregister(&u, PAGE(40), PAGES(8)), 0);
	CHECK_EQ(sim_store(PAGE(40), 1), SIM_GOT_BUS);
	CHECK_EQ(word_at(PAGE(40)), 0);
	/* Room for one, and it can go on. */
	CHECK_EQ(front_zap(PAGE(8), PAGES(1)), 0);
	CHECK_EQ(sim_store(PAGE(40), 1), SIM_OK);
	CHECK_EQ(front_limit(0, 0), 0);
	for (uint64_t i = 1; i < all; i++)
		page_expect(PAGE(8 + i), 100 + i % 8);
	CHECK_EQ(sim_load(PAGE(40), &value), SIM_OK);
	CHECK_EQ(value, 1);
	CHECK_EQ(sim_swap_used(), 0);
	done_with(&u, PAGE(8), 64);
}

/* How many scheduling points a COPY takes that is refused for want of room. */
static uint64_t refusal(struct front_uffd *u, uint64_t addr)
{
	uint64_t before = sim_points();
	int64_t done;

	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(front_copy(u, addr, SOURCE, PAGES(1), 0, &done), -ENOMEM);
	return sim_points() - before;
}

/*
 * Memory that cannot leave, or has nothing in it, makes no difference: no time goes into walking
 * over it, which the handlers would have to do for each fault again until something goes.
 */
static void refused_at_once(void)
{
	const uint64_t all = MM_LIMIT_LEAST + SWAP, others = 40;
	struct sim_file *file = sim_file_new(MACH_VMA_SHMEM, 1, 1, UF_PAGE_SHIFT);
	struct front_uffd u;
	uint64_t alone;

	open_on(&u, 0, PAGE(8), 64, MISSING);
	CHECK_EQ(front_limit(0, MM_LIMIT_LEAST), 0);
	for (uint64_t i = 0; i < all; i++)
		copy_all(&u, PAGE(8 + i), SOURCE, 1, 0);
	alone = refusal(&u, PAGE(8 + all));
	for (uint64_t i = 0; i < others; i++) {
		if (i % 2)
			sim_mmap(PAGE(100 + i), PAGES(1), RW);
		else
			sim_mmap_file(PAGE(100 + i), PAGES(1), RW, true, file, 0);
		CHECK_EQ(front_register(&u, PAGE(100 + i), PAGES(1), MISSING), 0);
	}
	CHECK(refusal(&u, PAGE(8 + all)) < 4 * alone);
	CHECK_EQ(front_munmap(PAGE(100), PAGES(others)), 0);
	done_with(&u, PAGE(8), 64);
}

/* Threads that read and write more than fits, over and over. */
struct walker {
	uint64_t first;
	_Atomic bool done;
};

static void walk(void *arg)
{
	struct walker *w = arg;
	uint64_t value;

	for (uint64_t round = 0; round < 4; round++) {
		for (uint64_t i = 0; i < 12; i++) {
			uint64_t addr = PAGE(8 + w->first + i) + 8 * w->first;

			CHECK_EQ(sim_load(addr, &value), SIM_OK);
			CHECK_EQ(value, round ? round * 100 + i : 0);
			CHECK_EQ(sim_store(addr, (round + 1) * 100 + i), SIM_OK);
		}
	}
	w->done = true;
}

static void limit_shared(void)
{
	struct walker w[2] = {{.first = 0}, {.first = 12}};
	unsigned threads[2];
	struct front_uffd u;

	open_on(&u, 0, PAGE(8), 24, WP);
	CHECK_EQ(front_limit(PAGE(8), MM_LIMIT_LEAST), 0);
	for (unsigned i = 0; i < 2; i++)
		threads[i] = sim_spawn("walker", walk, &w[i]);
	for (unsigned i = 0; i < 2; i++)
		sim_join(threads[i]);
	/* As many more as are being made present at the same time. */
	CHECK(resident() <= MM_LIMIT_LEAST + 2);
	done_with(&u, PAGE(8), 24);
}

/* Out, and then moved: by mremap it stays out, by MOVE it comes in. */
static void moved_while_out(void)
{
	struct front_uffd u;
	uint64_t to;
	int64_t done;

	open_on(&u, 0, PAGE(8), 8, MISSING);
	copy_all(&u, PAGE(8), SOURCE, 2, 0);
	front_pageout(PAGE(8), PAGES(2));
	CHECK_EQ(front_move(&u, PAGE(12), PAGE(8), PAGES(1), 0, &done), 0);
	CHECK_EQ(word_at(PAGE(8)), 0);
	page_expect(PAGE(12), 100);
	CHECK_EQ(sim_swap_used(), 1);
	CHECK_EQ(front_mremap(PAGE(9), PAGES(1), PAGES(1), MREMAP_MAYMOVE | MREMAP_FIXED, PAGE(600),
			      &to),
		 0);
	CHECK_EQ(sim_swap_used(), 1);
	page_expect(PAGE(600), 101);
	CHECK_EQ(front_munmap(PAGE(600), PAGES(1)), 0);
	done_with(&u, PAGE(8), 8);
}

/* Files leave by themselves, what is locked does not leave. */
static void stays_in(void)
{
	struct sim_file *file = sim_file_new(MACH_VMA_SHMEM, 4, 4, UF_PAGE_SHIFT);
	struct front_uffd u;
	struct mach_entry e;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	sim_mmap_file(PAGE(16), PAGES(4), RW, true, file, 0);
	CHECK_EQ(front_register(&u, PAGE(16), PAGES(4), MISSING), 0);
	copy_all(&u, PAGE(8), SOURCE, 2, 0);
	copy_all(&u, PAGE(16), SOURCE, 2, 0);
	mach_enter(&e);
	CHECK_EQ(mm_mlock(mm_space_self, PAGE(8), PAGES(1), true, true), 0);
	mach_leave(&e);
	front_pageout(PAGE(8), PAGES(4));
	front_pageout(PAGE(16), PAGES(4));
	CHECK_EQ(sim_swap_used(), 1);
	CHECK_EQ(mm_kind(entry_of(PAGE(8))), MM_PRESENT);
	CHECK_EQ(front_limit(PAGE(16), 20), -EINVAL);
	page_expect(PAGE(16), 100);
	CHECK_EQ(front_munmap(PAGE(16), PAGES(4)), 0);
	done_with(&u, PAGE(8), 4);
}

/* ---- The program's type -----------------------------------------------------------------------
 */

static struct {
	uint64_t page[4][UF_PAGE_SIZE / 8];
	unsigned fetched, saved;
	bool fail;
} store;

static int store_fetch(uint64_t owner, uint64_t page, void *buf)
{
	uint64_t *words = buf;

	CHECK_EQ(owner, 2);
	store.fetched++;
	for (uint64_t i = 0; i < UF_PAGE_SIZE / 8; i++) {
		words[i] = store.page[page][i];
		if (i % 128 == 0)
			sim_point();
	}
	return store.fail ? -EIO : 0;
}

static int store_writeback(uint64_t owner, uint64_t page, const void *buf)
{
	const uint64_t *words = buf;

	CHECK_EQ(owner, 2);
	store.saved++;
	for (uint64_t i = 0; i < UF_PAGE_SIZE / 8; i++) {
		if (!store.fail)
			store.page[page][i] = words[i];
		if (i % 128 == 0)
			sim_point();
	}
	return store.fail ? -ENOSPC : 0;
}

static const struct program_ops store_ops = {.fetch = store_fetch, .writeback = store_writeback};

static void manage(void)
{
	struct mach_entry e;

	program_set_ops(&store_ops);
	store.fetched = store.saved = 0;
	store.fail = false;
	for (unsigned p = 0; p < 4; p++)
		for (uint64_t i = 0; i < UF_PAGE_SIZE / 8; i++)
			store.page[p][i] = (300 + p) * 0x10000 + i;
	sim_mmap(PAGE(8), PAGES(4), RW);
	mach_enter(&e);
	CHECK_EQ(mm_manage(mm_space_self, &mm_type_program, 2, PAGE(8), PAGES(4)), 0);
	mach_leave(&e);
}

static void own_type(void)
{
	uint64_t value;

	manage();
	page_expect(PAGE(9), 301);
	CHECK_EQ(sim_store(PAGE(9), 1), SIM_OK);
	front_pageout(PAGE(8), PAGES(4));
	CHECK_EQ(store.saved, 1);
	CHECK_EQ(store.page[1][0], 1);
	CHECK_EQ(sim_load(PAGE(9), &value), SIM_OK);
	CHECK(value == 1 && store.fetched == 2);
	/* What cannot be saved stays; what cannot be fetched is SIGBUS, and not lost. */
	CHECK_EQ(sim_store(PAGE(9), 2), SIM_OK);
	store.fail = true;
	front_pageout(PAGE(8), PAGES(4));
	CHECK_EQ(sim_load(PAGE(9), &value), SIM_OK);
	CHECK_EQ(value, 2);
	CHECK_EQ(sim_load(PAGE(10), &value), SIM_GOT_BUS);
	CHECK_EQ(mach_copy_in(&value, PAGE(10), 8), -EFAULT);
	store.fail = false;
	page_expect(PAGE(10), 302);
	CHECK_EQ(front_munmap(PAGE(8), PAGES(4)), 0);
}

/* A page that is written while it is being saved is not taken for saved. */
static void written_while_saved(void)
{
	struct toucher t[4];
	uint64_t value;

	manage();
	CHECK_EQ(sim_store(PAGE(8), 1), SIM_OK);
	for (unsigned i = 0; i < 4; i++)
		touch_start(&t[i], PAGE(8) + 8 * i, true, 40 + i);
	front_pageout(PAGE(8), PAGES(1));
	front_pageout(PAGE(8), PAGES(1));
	for (unsigned i = 0; i < 4; i++)
		touch_end(&t[i], SIM_OK);
	front_pageout(PAGE(8), PAGES(1));
	for (unsigned i = 0; i < 4; i++) {
		CHECK_EQ(sim_load(PAGE(8) + 8 * i, &value), SIM_OK);
		CHECK_EQ(value, 40 + i);
	}
	CHECK_EQ(front_munmap(PAGE(8), PAGES(4)), 0);
}

/* What the type's code does in the middle of its work; a page is all its number. */
static void (*in_the_middle)(void);

static int wide_fetch(uint64_t owner, uint64_t page, void *buf)
{
	uint64_t *words = buf;

	CHECK_EQ(owner, 4);
	for (uint64_t i = 0; i < UF_PAGE_SIZE / 8; i++)
		words[i] = page;
	if (in_the_middle && page == MM_LIMIT_LEAST)
		in_the_middle();
	return 0;
}

static _Atomic uint64_t rounds; /* of load_until_done */

/* Takes as long as whoever uses the memory needs to have been everywhere, unless that one waits. */
static int wide_writeback(uint64_t owner, uint64_t page, const void *buf)
{
	uint64_t before = atomic_load(&rounds);

	CHECK_EQ(owner, 4);
	CHECK_EQ(*(const uint64_t *)buf, page);
	for (unsigned i = 0; i < 400 && atomic_load(&rounds) < before + 2; i++)
		mach_relax();
	return 0;
}

static const struct program_ops wide_ops = {.fetch = wide_fetch, .writeback = wide_writeback};

static void manage_wide(void (*middle)(void))
{
	struct mach_entry e;

	in_the_middle = middle;
	program_set_ops(&wide_ops);
	sim_mmap(PAGE(8), PAGES(MM_LIMIT_LEAST + 1), RW);
	mach_enter(&e);
	CHECK_EQ(mm_manage(mm_space_self, &mm_type_program, 4, PAGE(8), PAGES(MM_LIMIT_LEAST + 1)),
		 0);
	mach_leave(&e);
	CHECK_EQ(front_limit(0, MM_LIMIT_LEAST), 0);
}

static void load_wide(uint64_t n)
{
	uint64_t value;

	for (uint64_t i = 0; i < n; i++) {
		CHECK_EQ(sim_load(PAGE(8 + i), &value), SIM_OK);
		CHECK_EQ(value, i);
	}
}

static _Atomic bool wide_done;

static void load_until_done(void *arg)
{
	(void)arg;
	for (; !atomic_load(&wide_done); atomic_fetch_add(&rounds, 1))
		load_wide(MM_LIMIT_LEAST);
}

/* All of what fits is in use all the time, and saving a page takes long: one has to go all the
 * same. */
static void called_back(void)
{
	uint64_t value;
	unsigned user;

	atomic_store(&wide_done, false);
	atomic_store(&rounds, 0);
	manage_wide(NULL);
	load_wide(MM_LIMIT_LEAST);
	user = sim_spawn("user", load_until_done, NULL);
	settle();
	CHECK_EQ(sim_load(PAGE(8 + MM_LIMIT_LEAST), &value), SIM_OK);
	CHECK_EQ(value, MM_LIMIT_LEAST);
	atomic_store(&wide_done, true);
	sim_join(user);
	CHECK_EQ(front_munmap(PAGE(8), PAGES(MM_LIMIT_LEAST + 1)), 0);
}

static void store_elsewhere(void)
{
	enum sim_outcome outcome = SIM_OK;
	uint64_t before = 0;

	for (unsigned i = 0; outcome == SIM_OK; i++) {
		before = sim_points();
		outcome = sim_store(PAGE(40 + i), 1);
	}
	CHECK_EQ(outcome, SIM_GOT_BUS);
	CHECK_EQ(sim_swap_used(), SWAP);
	CHECK(sim_points() - before < 2000);
}

/* The type's code needs room that only pages could make which it would have to save itself. */
static void room_in_fetch(void)
{
	struct front_uffd u;

	open_on(&u, 0, PAGE(40), 32, WP);
	manage_wide(store_elsewhere);
	load_wide(MM_LIMIT_LEAST + 1);
	CHECK_EQ(front_munmap(PAGE(8), PAGES(MM_LIMIT_LEAST + 1)), 0);
	done_with(&u, PAGE(40), 32);
}

/* ---- Other kinds ------------------------------------------------------------------------------
 */

static void regular_file(void)
{
	struct sim_file *file = sim_file_new(MACH_VMA_FILE, 4, 4, UF_PAGE_SHIFT);
	struct front_uffd u, async;
	uint64_t value;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	front_open(&async, UF_FEATURE_WP_ASYNC);
	sim_mmap_file(PAGE(16), PAGES(4), RW, true, file, 0);
	CHECK_EQ(front_register(&u, PAGE(16), PAGES(4), MISSING), -EINVAL);
	CHECK_EQ(front_register(&u, PAGE(16), PAGES(4), WP), -EINVAL);
	CHECK_EQ(front_register(&async, PAGE(16), PAGES(4), MISSING | WP), -EINVAL);
	CHECK_EQ(front_register(&async, PAGE(16), PAGES(4), WP), 0);
	CHECK_EQ(front_wp(&async, PAGE(16), PAGES(4), 1), 0);
	CHECK_EQ(sim_store(PAGE(16), 1), SIM_OK);
	CHECK(!(word_at(PAGE(16)) & PM_WP) && (word_at(PAGE(17)) & PM_WP));
	front_close(&async);
	mm_space_self->options = MM_OPTION_FILE_FAULTS;
	CHECK_EQ(front_register(&u, PAGE(16), PAGES(4), MISSING | MINOR), 0);
	copy_all(&u, PAGE(17), SOURCE, 1, 0);
	CHECK_EQ(sim_file_peek(file, 1)[0], 100 * 0x10000);
	CHECK_EQ(sim_load(PAGE(16), &value), SIM_OK);
	CHECK_EQ(value, 1);
	CHECK_EQ(front_munmap(PAGE(16), PAGES(4)), 0);
	done_with(&u, PAGE(8), 4);
}

/* The memory of a guest: minor faults and nothing else. */
static void guest_memory(void)
{
	struct sim_file *file = sim_file_new(MACH_VMA_GMEM, 4, 4, UF_PAGE_SHIFT);
	uint64_t words[UF_PAGE_SIZE / 8] = {6};
	struct front_uffd u;
	struct toucher t;
	int64_t done;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	sim_mmap_file(PAGE(16), PAGES(4), RW, true, file, 0);
	CHECK_EQ(front_register(&u, PAGE(16), PAGES(4), MISSING), -EINVAL);
	CHECK_EQ(front_register(&u, PAGE(16), PAGES(4), MINOR), 0);
	CHECK(sim_file_write(file, 1, words));
	touch_start(&t, PAGE(17), false, 0);
	expect_fault(&u, PAGE(17), UF_PAGEFAULT_FLAG_MINOR);
	CHECK_EQ(front_copy(&u, PAGE(17), SOURCE, PAGES(1), 0, &done), -EINVAL);
	CHECK_EQ(front_continue(&u, PAGE(17), PAGES(1), 0, &done), 0);
	touch_end(&t, SIM_OK);
	CHECK_EQ(t.value, 6);
	CHECK_EQ(front_munmap(PAGE(16), PAGES(4)), 0);
	done_with(&u, PAGE(8), 4);
}

/* /dev/zero, private: nothing can fill it, what is there stays. */
static void dev_zero(void)
{
	struct mach_vma like = {.prot = RW,
				.kind = MACH_VMA_DEVZERO,
				.maywrite = true,
				.page_shift = UF_PAGE_SHIFT};
	struct front_uffd u;
	struct toucher t;
	uint64_t value;
	int64_t done;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	sim_mmap_kind(PAGE(16), PAGES(4), &like);
	CHECK_EQ(sim_store(PAGE(16), 5), SIM_OK);
	CHECK_EQ(front_register(&u, PAGE(16), PAGES(4), MINOR), -EINVAL);
	CHECK_EQ(front_register(&u, PAGE(16), PAGES(4), MISSING), 0);
	CHECK_EQ(sim_load(PAGE(16), &value), SIM_OK);
	CHECK_EQ(value, 5);
	touch_start(&t, PAGE(17), false, 0);
	expect_fault(&u, PAGE(17), 0);
	CHECK_EQ(front_copy(&u, PAGE(17), SOURCE, PAGES(1), 0, &done), -EFAULT);
	CHECK_EQ(front_zero(&u, PAGE(17), PAGES(1), 0, &done), -EFAULT);
	CHECK_EQ(front_unregister(&u, PAGE(16), PAGES(4)), 0);
	touch_end(&t, SIM_OK);
	CHECK_EQ(t.value, 0);
	CHECK_EQ(front_munmap(PAGE(16), PAGES(4)), 0);
	done_with(&u, PAGE(8), 4);
}

/* Between types only where that was asked for. */
static void move_between_types(void)
{
	struct sim_file *file = sim_file_new(MACH_VMA_SHMEM, 4, 4, UF_PAGE_SHIFT);
	struct front_uffd u;
	int64_t done;

	open_on(&u, 0, PAGE(8), 4, MISSING);
	sim_mmap_file(PAGE(16), PAGES(4), RW, true, file, 0);
	CHECK_EQ(front_register(&u, PAGE(16), PAGES(4), MISSING), 0);
	copy_all(&u, PAGE(8), SOURCE, 2, 0);
	CHECK_EQ(front_move(&u, PAGE(16), PAGE(8), PAGES(1), 0, &done), -EINVAL);
	mm_space_self->options = MM_OPTION_MOVE_ANY;
	CHECK_EQ(front_move(&u, PAGE(16), PAGE(8), PAGES(1), 0, &done), 0);
	page_expect(PAGE(16), 100);
	CHECK_EQ(sim_file_peek(file, 0)[0], 100 * 0x10000);
	CHECK_EQ(word_at(PAGE(8)), 0);
	/* The file has one there already. */
	CHECK_EQ(front_move(&u, PAGE(16), PAGE(9), PAGES(1), 0, &done), -EEXIST);
	CHECK_EQ(front_zap(PAGE(16), PAGES(1)), 0);
	CHECK_EQ(front_move(&u, PAGE(16), PAGE(9), PAGES(1), 0, &done), -EEXIST);
	page_expect(PAGE(9), 101);
	/* And back: the file has a hole where it was. */
	page_expect(PAGE(16), 100);
	sim_mmap_file(PAGE(24), PAGES(4), RW, true, file, 0);
	CHECK_EQ(front_register(&u, PAGE(24), PAGES(4), MISSING), 0);
	page_expect(PAGE(24), 100);
	CHECK_EQ(front_move(&u, PAGE(8), PAGE(16), PAGES(1), 0, &done), 0);
	page_expect(PAGE(8), 100);
	CHECK(!sim_file_peek(file, 0));
	CHECK_EQ(word_at(PAGE(24)), 0);
	CHECK_EQ(front_munmap(PAGE(24), PAGES(4)), 0);
	CHECK_EQ(front_munmap(PAGE(16), PAGES(4)), 0);
	done_with(&u, PAGE(8), 4);
}

const struct scenario swap_scenarios[] = {
	{"paged-out", paged_out, 0},
	{"limit-holds", limit_holds, 0},
	{"refused-at-once", refused_at_once, 0},
	{"limit-shared", limit_shared, 0},
	{"moved-while-out", moved_while_out, 0},
	{"stays-in", stays_in, 0},
	{"own-type", own_type, 0},
	{"written-while-saved", written_while_saved, 0},
	{"called-back", called_back, 0},
	{"room-in-fetch", room_in_fetch, 0},
	{"regular-file", regular_file, 0},
	{"guest-memory", guest_memory, 0},
	{"dev-zero", dev_zero, 0},
	{"move-between-types", move_between_types, 0},
	{NULL, NULL, 0},
};
