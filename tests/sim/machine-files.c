/*
 * machine-files.c - files, private copies, huge pages and the swap store of the simulated machine,
 * and the misuse of them that it notices.
 */
#include <errno.h>
#include <string.h>

#include "machine-parts.h"

#define WORDS	   (UF_PAGE_SIZE / sizeof(uint64_t))
#define HUGE_PAGES 512

static struct sim_file *file;
static struct mach_map shared, private;
static struct mach_span on_shared, on_private;

static void write_page(struct sim_file *f, uint64_t page, uint64_t value)
{
	uint64_t words[WORDS];

	for (uint64_t i = 0; i < WORDS; i++)
		words[i] = value;
	CHECK(sim_file_write(f, page, words));
}

/* A page of one value everywhere; a hole is zero. */
static void expect_page(struct sim_file *f, uint64_t page, uint64_t value)
{
	uint64_t words[WORDS];

	CHECK(sim_file_read(f, page, words));
	for (uint64_t i = 0; i < WORDS; i++)
		CHECK(words[i] == value);
}

static uint64_t load(uint64_t addr)
{
	uint64_t value;

	CHECK(sim_load(addr, &value) == SIM_OK);
	return value;
}

/* ---- Native --------------------------------------------------------------------------------- */

static void native_mappings(void *arg)
{
	uint64_t value;

	(void)arg;
	file = sim_file_new(MACH_VMA_SHMEM, 4, 8, UF_PAGE_SHIFT);
	sim_mmap_file(PAGE(8), 8 * UF_PAGE_SIZE, 3, true, file, 0);
	sim_mmap_file(PAGE(16), 8 * UF_PAGE_SIZE, 3, false, file, 0);
	CHECK(!sim_file_peek(file, 1));
	CHECK(sim_store(PAGE(9), 7) == SIM_OK);
	CHECK(load(PAGE(17)) == 7);
	CHECK(sim_store(PAGE(17), 8) == SIM_OK);
	CHECK(load(PAGE(9)) == 7 && load(PAGE(17)) == 8);
	write_page(file, 1, 9);
	expect_page(file, 1, 9);
	expect_page(file, 3, 0);
	CHECK(load(PAGE(9)) == 9 && load(PAGE(17)) == 8);
	CHECK(sim_load(PAGE(12), &value) == SIM_GOT_BUS);
	CHECK(mach_copy_in(&value, PAGE(12), 8) == -EFAULT);
	/* A hole under a private copy; the end before it. */
	CHECK(sim_file_punch(file, 1, 1) == 0);
	CHECK(load(PAGE(9)) == 0 && load(PAGE(17)) == 8);
	CHECK(sim_file_truncate(file, 1) == 0);
	CHECK(sim_load(PAGE(17), &value) == SIM_GOT_BUS);
	CHECK(sim_file_truncate(file, 8) == 0);
	CHECK(load(PAGE(17)) == 0);
	sim_file_limit(file, 2);
	CHECK(load(PAGE(10)) == 0);
	CHECK(sim_load(PAGE(11), &value) == SIM_GOT_BUS);
	sim_file_seal(file);
	CHECK(sim_file_punch(file, 1, 1) == -EPERM);
}

/* ---- In place ------------------------------------------------------------------------------- */

static void adopt_both(void)
{
	struct mach_vma vma;

	file = sim_file_new(MACH_VMA_SHMEM, 6, 8, UF_PAGE_SHIFT);
	sim_mmap_file(PAGE(8), 8 * UF_PAGE_SIZE, 3, true, file, 0);
	sim_mmap_file(PAGE(16), 8 * UF_PAGE_SIZE, 3, false, file, 0);
	sim_mmap(PAGE(30), UF_PAGE_SIZE, 3);
	CHECK(sim_store(PAGE(30), 5) == SIM_OK);
	CHECK(sim_store(PAGE(8), 1) == SIM_OK);
	CHECK(sim_store(PAGE(16), 2) == SIM_OK);
	CHECK(mach_vma_next(PAGE(9), &vma) == 0);
	CHECK(vma.start == PAGE(8) && vma.end == PAGE(16) && vma.file_page == 0 && vma.shared);
	CHECK(vma.ino && vma.page_shift == UF_PAGE_SHIFT);
	CHECK(mach_map_adopt_file(&shared, PAGE(8), 8, &vma) == 0);
	CHECK(mach_vma_next(PAGE(17), &vma) == 0 && vma.start == PAGE(16));
	CHECK(mach_map_adopt_file(&private, PAGE(18), 6, &vma) == 0);
	CHECK(private.kind == MACH_MAP_PRIVATE && private.file_page == 2);
	on_shared = (struct mach_span){&shared, PAGE(8), 0, 8, 3};
	on_private = (struct mach_span){&private, PAGE(18), 0, 6, 3};
}

static uint64_t ask(void (*fn)(const struct mach_span *, uint64_t, uint64_t, uint64_t *),
		    const struct mach_span *span, uint64_t n)
{
	uint64_t bits = 0;

	fn(span, 0, n, &bits);
	return bits;
}

static void in_place(void *arg)
{
	struct mach_map other = {0};
	uint64_t bits = 0, words[WORDS];

	(void)arg;
	adopt_both();
	CHECK(ask(mach_pages_mapped, &on_shared, 8) == 1);
	CHECK(mach_file_lookup(&on_shared, 0, 8, &bits) == 6 && bits == 1);
	CHECK(!sim_try_load(PAGE(8), words));
	CHECK(mach_frames_copy(&on_shared, 3, 1, PAGE(30)) == 1);
	CHECK(mach_frames_copy(&on_shared, 3, 1, PAGE(30)) == -EEXIST);
	CHECK(mach_frames_copy(&on_shared, 6, 1, PAGE(30)) == -EFAULT);
	CHECK(mach_frames_zero(&on_shared, 4, 2) == 0);
	CHECK(mach_frames_zero(&on_shared, 6, 1) == -EFAULT);
	CHECK(sim_file_peek(file, 3)[0] == 5 && sim_file_peek(file, 5)[0] == 0);

	/* Page 1 of the private map shows page 3 of the file. */
	CHECK(mach_tlb_open(&on_private, 1, 1, 3) == 0);
	CHECK(load(PAGE(19)) == 5 && ask(mach_pages_private, &on_private, 6) == 0);
	CHECK(sim_store(PAGE(19), 6) == SIM_OK);
	CHECK(ask(mach_pages_private, &on_private, 6) == 2 && sim_file_peek(file, 3)[0] == 5);
	mach_tlb_limit(&on_private, 1, 1, 0);
	CHECK(mach_frames_read(&on_private, 1, words) == 0 && words[0] == 6);
	mach_frames_drop(&on_private, 1, 1);
	CHECK(ask(mach_pages_mapped, &on_private, 6) == 0);
	CHECK(sim_peek(PAGE(19))[0] == 5);
	CHECK(mach_frames_copy(&on_private, 1, 1, PAGE(30)) == 1);
	CHECK(mach_frames_zero(&on_private, 0, 1) == 0);
	CHECK(ask(mach_pages_private, &on_private, 6) == 3 && !sim_file_peek(file, 2));

	/* A private copy survives a hole, not the end of the file. */
	CHECK(mach_file_punch(&on_shared, 3, 1) == 0);
	CHECK(sim_peek(PAGE(19))[0] == 5 && !sim_file_peek(file, 3));
	CHECK(mach_frames_read(&on_shared, 3, words) == -EFAULT);
	CHECK(mach_frames_move(&on_shared, 3, &on_private, 1, 1) == 0);
	CHECK(sim_file_peek(file, 3)[0] == 5 && ask(mach_pages_private, &on_private, 6) == 1);
	CHECK(sim_file_truncate(file, 2) == 0);
	CHECK(ask(mach_pages_private, &on_private, 6) == 0 && !sim_peek(PAGE(18)));

	CHECK(mach_map_extend(&other, &shared, 7, PAGE(40), 2) == 0 && other.file_page == 7);
	CHECK(mach_map_move(&on_private, PAGE(50), false) == 0);
	CHECK(mach_munmap(PAGE(0), 64 * UF_PAGE_SIZE) == 0);
	mach_map_destroy(&other);
	mach_map_destroy(&shared);
	mach_map_destroy(&private);
}

static void huge(void *arg)
{
	struct mach_map map = {0};
	struct mach_span span;
	struct mach_vma vma;
	uint64_t bits[8] = {0};

	(void)arg;
	file = sim_file_new(MACH_VMA_HUGETLB, 2 * HUGE_PAGES, 2 * HUGE_PAGES, 21);
	sim_mmap_file(PAGE(HUGE_PAGES), 2 * HUGE_PAGES * UF_PAGE_SIZE, 3, false, file, 0);
	CHECK(sim_store(PAGE(HUGE_PAGES + 5), 5) == SIM_OK);
	CHECK(mach_vma_next(PAGE(HUGE_PAGES), &vma) == 0 && vma.page_shift == 21);
	CHECK(mach_map_adopt_file(&map, PAGE(HUGE_PAGES), 2 * HUGE_PAGES, &vma) == 0);
	CHECK(map.page_shift == 21);
	span = (struct mach_span){&map, PAGE(HUGE_PAGES), 0, 2 * HUGE_PAGES, 3};
	mach_pages_private(&span, 0, HUGE_PAGES, bits);
	CHECK(bits[0] == ~0ull && bits[7] == ~0ull);
	CHECK(mach_frames_copy(&span, HUGE_PAGES, HUGE_PAGES, PAGE(0)) == -EFAULT);
	CHECK(mach_frames_move(&span, HUGE_PAGES, &span, 0, HUGE_PAGES) == 0);
	CHECK(sim_peek(PAGE(2 * HUGE_PAGES + 5))[0] == 5);
	CHECK(sim_peek(PAGE(HUGE_PAGES + 5))[0] == 0);
	CHECK(mach_munmap(PAGE(HUGE_PAGES), 2 * HUGE_PAGES * UF_PAGE_SIZE) == 0);
	mach_map_destroy(&map);
}

static void swap(void *arg)
{
	struct mach_map map = {0};
	struct mach_span span = {&map, PAGE(8), 0, 8, 3};
	uint64_t slot[3];

	(void)arg;
	sim_mmap(PAGE(8), 8 * UF_PAGE_SIZE, 3);
	sim_mmap(PAGE(30), UF_PAGE_SIZE, 3);
	CHECK(sim_store(PAGE(30), 5) == SIM_OK);
	CHECK(mach_map_adopt(&map, PAGE(8), 8, 3) == 0);
	CHECK(mach_frames_copy(&span, 0, 1, PAGE(30)) == 1);
	CHECK(mach_frames_zero(&span, 1, 2) == 0);
	CHECK(mach_swap_out(&span, 0, &slot[0]) == 0 && slot[0] >= MACH_SWAP_FIRST);
	CHECK(mach_swap_out(&span, 1, &slot[1]) == 0 && slot[1] != slot[0]);
	CHECK(mach_swap_out(&span, 2, &slot[2]) == -ENOSPC);
	mach_frames_give(&span, 0, 2);
	mach_swap_free(slot[1]);
	CHECK(sim_swap_used() == 1);
	CHECK(mach_swap_in(&span, 0, slot[0]) == 0 && sim_peek(PAGE(8))[0] == 5);
	CHECK(sim_swap_used() == 0);
	CHECK(mach_munmap(PAGE(8), 8 * UF_PAGE_SIZE) == 0);
	mach_map_destroy(&map);
}

/* ---- Misuse --------------------------------------------------------------------------------- */

static void fill_open_file(void *arg)
{
	(void)arg;
	adopt_both();
	mach_tlb_open(&on_shared, 2, 1, 1);
	mach_frames_zero(&on_shared, 2, 1);
}

static void open_past_end(void *arg)
{
	(void)arg;
	adopt_both();
	mach_tlb_open(&on_shared, 6, 1, 1);
}

static void truncate_open(void *arg)
{
	(void)arg;
	adopt_both();
	mach_tlb_open(&on_shared, 2, 1, 1);
	sim_file_truncate(file, 2);
}

static void punch_open(void *arg)
{
	(void)arg;
	adopt_both();
	mach_tlb_open(&on_private, 0, 1, 1);
	mach_file_punch(&on_shared, 2, 1);
}

static void half_huge(void *arg)
{
	struct mach_vma vma;

	(void)arg;
	file = sim_file_new(MACH_VMA_HUGETLB, HUGE_PAGES, HUGE_PAGES, 21);
	sim_mmap_file(PAGE(HUGE_PAGES), HUGE_PAGES * UF_PAGE_SIZE, 3, true, file, 0);
	mach_vma_next(PAGE(HUGE_PAGES), &vma);
	mach_map_adopt_file(&shared, PAGE(HUGE_PAGES), HUGE_PAGES, &vma);
	on_shared = (struct mach_span){&shared, PAGE(HUGE_PAGES), 0, HUGE_PAGES, 3};
	mach_frames_zero(&on_shared, 0, 1);
}

static void read_dropped(void *arg)
{
	uint64_t words[WORDS];

	(void)arg;
	sim_mmap(PAGE(8), UF_PAGE_SIZE, 3);
	mach_map_adopt(&shared, PAGE(8), 1, 3);
	on_shared = (struct mach_span){&shared, PAGE(8), 0, 1, 3};
	mach_frames_zero(&on_shared, 0, 1);
	mach_frames_drop(&on_shared, 0, 1);
	mach_frames_read(&on_shared, 0, words);
}

static void free_twice(void *arg)
{
	uint64_t slot;

	(void)arg;
	sim_mmap(PAGE(8), UF_PAGE_SIZE, 3);
	mach_map_adopt(&shared, PAGE(8), 1, 3);
	on_shared = (struct mach_span){&shared, PAGE(8), 0, 1, 3};
	mach_frames_zero(&on_shared, 0, 1);
	mach_swap_out(&on_shared, 0, &slot);
	mach_swap_free(slot);
	mach_swap_free(slot);
}

static void run(void (*fn)(void *))
{
	struct sim_left left;

	start(SIM_DETERMINISTIC, 1);
	sim_start(&config);
	sim_spawn("user", fn, NULL);
	sim_run();
	sim_left(&left);
	CHECK(left.maps == 0 && left.slots == 0);
	sim_stop();
}

void test_files(void)
{
	run(native_mappings);
	run(in_place);
	run(huge);
	run(swap);
	expect_failure(fill_open_file, "while it is open");
	expect_failure(open_past_end, "before it is complete");
	expect_failure(truncate_open, "which goes, and is open");
	expect_failure(punch_open, "which goes, and is open");
	expect_failure(half_huge, "not whole huge pages");
	expect_failure(read_dropped, "has no contents");
	expect_failure(free_twice, "is not in use");
}
