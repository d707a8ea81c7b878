/* cases-types.c - the scenarios of memory types: files, private copies, huge pages, devices. */
#include "scenarios.h"

#include <errno.h>
#include <sys/mman.h>

#include "mm/internal.h"

#define MINOR UF_REGISTER_MODE_MINOR
#define GROUP 512

/* Two views of a file of 4 pages (huge ones, where it has those), and its private mapping. */
#define VIEW	  PAGE(8)
#define OTHER	  PAGE(16)
#define PRIV	  PAGE(24)
#define HUGE_VIEW PAGE(4 * GROUP)
#define HUGE_PRIV PAGE(6 * GROUP)
#define HUGE_SRC  PAGE(8 * GROUP)

static struct sim_file *file;

static void file_open(struct front_uffd *u, uint64_t features, enum mach_vma_kind kind)
{
	front_open(u, features);
	sim_mmap(SOURCE, PAGES(8), RW);
	for (uint64_t i = 0; i < 8; i++)
		page_write(SOURCE + PAGES(i), 100 + i);
	file = sim_file_new(kind, 4, 8, UF_PAGE_SHIFT);
	sim_mmap_file(VIEW, PAGES(4), RW, true, file, 0);
	sim_mmap_file(OTHER, PAGES(4), RW, true, file, 0);
	sim_mmap_file(PRIV, PAGES(4), RW, false, file, 0);
}

static void file_done(struct front_uffd *u)
{
	front_close(u);
	CHECK_EQ(front_munmap(PAGE(8), PAGES(24)), 0);
	sim_munmap(SOURCE, PAGES(8));
}

static void huge_open(struct front_uffd *u, uint64_t mode)
{
	uint64_t words[UF_PAGE_SIZE / 8];

	front_open(u, 0);
	file = sim_file_new(MACH_VMA_HUGETLB, GROUP, GROUP, 21);
	sim_mmap_file(HUGE_VIEW, PAGES(GROUP), RW, true, file, 0);
	sim_mmap_file(HUGE_PRIV, PAGES(GROUP), RW, false, file, 0);
	sim_mmap(HUGE_SRC, PAGES(GROUP), RW);
	for (uint64_t i = 0; i < GROUP; i++) {
		for (uint64_t w = 0; w < UF_PAGE_SIZE / 8; w++)
			words[w] = (200 + i) * 0x10000 + w;
		sim_fill_native(HUGE_SRC + PAGES(i), words);
	}
	CHECK_EQ(front_register(u, HUGE_VIEW, PAGES(GROUP), mode), 0);
	CHECK_EQ(front_register(u, HUGE_PRIV, PAGES(GROUP), mode), 0);
}

static void huge_done(struct front_uffd *u)
{
	front_close(u);
	CHECK_EQ(front_munmap(HUGE_VIEW, PAGES(GROUP)), 0);
	CHECK_EQ(front_munmap(HUGE_PRIV, PAGES(GROUP)), 0);
	CHECK_EQ(front_munmap(HUGE_SRC, PAGES(GROUP)), 0);
}

struct change {
	uint64_t page, n;
	bool cut;
};

static int change_now(void *arg)
{
	const struct change *c = arg;

	return c->cut ? sim_file_truncate(file, c->page) : sim_file_punch(file, c->page, c->n);
}

static void change_file(bool cut, uint64_t page, uint64_t n)
{
	struct change c = {page, n, cut};
	struct mach_entry e;
	uint64_t dev, ino;
	int err;

	sim_file_id(file, &dev, &ino);
	mach_enter(&e);
	err = mm_file_change(mm_space_self, dev, ino, page, cut ? UINT64_MAX : n, cut, change_now,
			     &c);
	mach_leave(&e);
	CHECK_EQ(err, 0);
}

static void truncate_to(uint64_t size)
{
	change_file(true, size, 0);
}

static void punch(uint64_t page, uint64_t n)
{
	change_file(false, page, n);
}

static void mark(struct front_uffd *u, uint64_t addr, uint64_t pages)
{
	CHECK_EQ(front_wp(u, addr, PAGES(pages), 1), 0);
}

#define IS_MARKED(addr) CHECK_EQ(word_at(addr), PM_SWAP | PM_WP)

/* ---- Filling and seeing ---------------------------------------------------------------------- */

/* COPY makes a page of the file: everybody sees it, the other view by a minor fault. */
static void file_missing(void)
{
	struct front_uffd u;
	struct toucher t;
	uint64_t words[UF_PAGE_SIZE / 8];
	int64_t done;

	file_open(&u, 0, MACH_VMA_SHMEM);
	CHECK_EQ(front_register(&u, VIEW, PAGES(4), MISSING), 0);
	CHECK_EQ(front_register(&u, OTHER, PAGES(4), MISSING | MINOR), 0);
	touch_start(&t, VIEW, false, 0);
	expect_fault(&u, VIEW, 0);
	copy_all(&u, VIEW, SOURCE, 1, 0);
	touch_end(&t, SIM_OK);
	CHECK_EQ(t.value, 100 * 0x10000);
	CHECK(sim_file_read(file, 0, words) && words[3] == 100 * 0x10000 + 3);
	CHECK_EQ(front_copy(&u, OTHER, SOURCE, PAGES(1), 0, &done), -EEXIST);
	touch_start(&t, OTHER, true, 7);
	expect_fault(&u, OTHER, UF_PAGEFAULT_FLAG_MINOR | UF_PAGEFAULT_FLAG_WRITE);
	CHECK_EQ(front_continue(&u, OTHER, PAGES(2), 0, &done), -EAGAIN);
	CHECK_EQ(done, PAGES(1));
	touch_end(&t, SIM_OK);
	CHECK_EQ(sim_load(VIEW, &t.value), SIM_OK);
	CHECK_EQ(t.value, 7);
	CHECK_EQ(front_continue(&u, OTHER + PAGES(1), PAGES(1), 0, &done), -EFAULT);
	CHECK_EQ(front_continue(&u, OTHER, PAGES(1), 0, &done), -EEXIST);
	/* A page that is there is no missing one: VIEW is not registered for minor faults. */
	words[0] = 9;
	CHECK(sim_file_write(file, 2, words));
	CHECK_EQ(sim_load(VIEW + PAGES(2), &t.value), SIM_OK);
	CHECK_EQ(t.value, 9);
	expect_nothing(&u);
	file_done(&u);
}

/* A private mapping is filled with copies; what it has of the file stays the file's. */
static void private_copies(void)
{
	struct front_uffd u;
	struct toucher t;
	uint64_t words[UF_PAGE_SIZE / 8] = {5};
	int64_t done;

	file_open(&u, 0, MACH_VMA_SHMEM);
	CHECK_EQ(front_register(&u, PRIV, PAGES(4), MISSING | MINOR), 0);
	copy_all(&u, PRIV, SOURCE, 1, 0);
	CHECK(!sim_file_peek(file, 0) && sim_file_copied(PRIV));
	page_expect(PRIV, 100);
	/* A copy over what the file has. */
	CHECK(sim_file_write(file, 1, words));
	CHECK(sim_file_write(file, 2, words));
	touch_start(&t, PRIV + PAGES(1), false, 0);
	expect_fault(&u, PRIV + PAGES(1), UF_PAGEFAULT_FLAG_MINOR);
	copy_all(&u, PRIV + PAGES(1), SOURCE, 1, 0);
	touch_end(&t, SIM_OK);
	CHECK_EQ(t.value, 100 * 0x10000);
	/* CONTINUE shows the file's page, a store copies it. */
	CHECK_EQ(front_continue(&u, PRIV + PAGES(2), PAGES(1), 0, &done), 0);
	CHECK_EQ(sim_load(PRIV + PAGES(2), &t.value), SIM_OK);
	CHECK(t.value == 5 && !sim_file_copied(PRIV + PAGES(2)));
	CHECK_EQ(sim_store(PRIV + PAGES(2), 6), SIM_OK);
	CHECK(sim_file_copied(PRIV + PAGES(2)) && sim_file_peek(file, 2)[0] == 5);
	/* Dropped: it shows the file again, and faults as such. */
	CHECK_EQ(front_zap(PRIV + PAGES(2), PAGES(1)), 0);
	touch_start(&t, PRIV + PAGES(2), false, 0);
	expect_fault(&u, PRIV + PAGES(2), UF_PAGEFAULT_FLAG_MINOR);
	CHECK_EQ(front_continue(&u, PRIV + PAGES(2), PAGES(1), 0, &done), 0);
	touch_end(&t, SIM_OK);
	CHECK_EQ(t.value, 5);
	file_done(&u);
}

/* What was there before stays there, copies too. */
static void registered_in_place(void)
{
	struct front_uffd u;
	uint64_t value;

	file_open(&u, 0, MACH_VMA_SHMEM);
	CHECK_EQ(sim_store(VIEW, 3), SIM_OK);
	CHECK_EQ(sim_store(PRIV, 4), SIM_OK);
	CHECK_EQ(front_register(&u, VIEW, PAGES(4), MISSING | MINOR), 0);
	CHECK_EQ(front_register(&u, PRIV, PAGES(4), MISSING | MINOR), 0);
	CHECK_EQ(sim_load(VIEW, &value), SIM_OK);
	CHECK_EQ(value, 3);
	CHECK_EQ(sim_load(PRIV, &value), SIM_OK);
	CHECK_EQ(value, 4);
	CHECK_EQ(word_at(VIEW + PAGES(1)), 0);
	expect_nothing(&u);
	file_done(&u);
}

/* ---- Marks ----------------------------------------------------------------------------------- */

/* Marks stay when pages of files go; nothing but unprotecting, or the end, takes them. */
static void marks_on_files(void)
{
	struct front_uffd u;
	struct toucher t;

	file_open(&u, 0, MACH_VMA_SHMEM);
	CHECK_EQ(front_register(&u, VIEW, PAGES(4), MISSING | WP), 0);
	CHECK_EQ(front_register(&u, PRIV, PAGES(4), MISSING | WP), 0);
	copy_all(&u, VIEW, SOURCE, 2, 0);
	copy_all(&u, PRIV + PAGES(2), SOURCE, 1, 0);
	mark(&u, VIEW, 4);
	mark(&u, PRIV, 4);
	IS_MARKED(VIEW + PAGES(2));
	CHECK_EQ(front_zap(VIEW, PAGES(1)), 0);
	CHECK_EQ(front_zap(PRIV, PAGES(4)), 0);
	IS_MARKED(VIEW);
	IS_MARKED(PRIV + PAGES(2));
	punch(1, 1);
	IS_MARKED(VIEW + PAGES(1));
	truncate_to(0);
	for (unsigned i = 0; i < 4; i++)
		IS_MARKED(VIEW + PAGES(i));
	truncate_to(4);
	/* First missing, then protected. */
	touch_start(&t, VIEW, true, 8);
	expect_fault(&u, VIEW, UF_PAGEFAULT_FLAG_WRITE);
	copy_all(&u, VIEW, SOURCE, 1, UF_COPY_MODE_WP);
	expect_fault(&u, VIEW, UF_PAGEFAULT_FLAG_WRITE | UF_PAGEFAULT_FLAG_WP);
	CHECK_EQ(front_wp(&u, VIEW, PAGES(4), 0), 0);
	touch_end(&t, SIM_OK);
	CHECK_EQ(word_at(VIEW + PAGES(1)), 0);
	file_done(&u);
}

/* A copy is none of the file's pages: a hole leaves it, the end of the file does not. */
static void copy_and_hole(void)
{
	struct front_uffd u;
	uint64_t value;

	file_open(&u, 0, MACH_VMA_SHMEM);
	CHECK_EQ(front_register(&u, PRIV, PAGES(4), MISSING), 0);
	copy_all(&u, PRIV, SOURCE, 4, 0);
	punch(0, 4);
	page_expect(PRIV + PAGES(1), 101);
	truncate_to(1);
	page_expect(PRIV, 100);
	CHECK_EQ(sim_load(PRIV + PAGES(1), &value), SIM_GOT_BUS);
	CHECK_EQ(word_at(PRIV + PAGES(1)), 0);
	file_done(&u);
}

static void poison_on_files(void)
{
	struct front_uffd u;
	uint64_t value;
	int64_t done;

	file_open(&u, 0, MACH_VMA_SHMEM);
	CHECK_EQ(front_register(&u, VIEW, PAGES(4), MISSING), 0);
	CHECK_EQ(front_poison(&u, VIEW, PAGES(4), 0, &done), 0);
	CHECK_EQ(sim_load(VIEW, &value), SIM_GOT_BUS);
	CHECK_EQ(mach_copy_in(&value, VIEW, 8), -EFAULT);
	/* The other view has none of it; what it makes does not heal this one. */
	CHECK_EQ(sim_load(OTHER, &value), SIM_OK);
	CHECK_EQ(sim_load(VIEW, &value), SIM_GOT_BUS);
	CHECK_EQ(front_continue(&u, VIEW, PAGES(1), 0, &done), 0);
	CHECK_EQ(sim_load(VIEW, &value), SIM_OK);
	punch(1, 1);
	CHECK_EQ(sim_load(VIEW + PAGES(1), &value), SIM_GOT_BUS);
	CHECK_EQ(front_zap(VIEW + PAGES(1), PAGES(1)), 0);
	CHECK_EQ(word_at(VIEW + PAGES(1)), 0);
	truncate_to(0);
	truncate_to(4);
	CHECK_EQ(word_at(VIEW + PAGES(3)), 0);
	file_done(&u);
}

/* ---- The end of the file --------------------------------------------------------------------- */

static void past_the_end(void)
{
	struct front_uffd u;
	struct toucher t;
	uint64_t value;
	int64_t done;

	file_open(&u, 0, MACH_VMA_SHMEM);
	CHECK_EQ(front_register(&u, VIEW, PAGES(4), MISSING | MINOR), 0);
	truncate_to(2);
	CHECK_EQ(front_copy(&u, VIEW, SOURCE, PAGES(4), 0, &done), -EAGAIN);
	CHECK_EQ(done, PAGES(2));
	CHECK_EQ(front_copy(&u, VIEW + PAGES(2), SOURCE, PAGES(1), 0, &done), -EFAULT);
	CHECK_EQ(front_zero(&u, VIEW + PAGES(2), PAGES(1), 0, &done), -EFAULT);
	CHECK_EQ(front_continue(&u, VIEW + PAGES(2), PAGES(1), 0, &done), -EINVAL);
	CHECK_EQ(sim_load(VIEW + PAGES(3), &value), SIM_GOT_BUS);
	expect_nothing(&u);
	/* Who waits for a page that is cut off then gets SIGBUS. */
	truncate_to(4);
	touch_start(&t, VIEW + PAGES(3), false, 0);
	expect_fault(&u, VIEW + PAGES(3), 0);
	truncate_to(1);
	CHECK_EQ(front_wake(&u, VIEW, PAGES(4)), 0);
	touch_end(&t, SIM_GOT_BUS);
	page_expect(VIEW, 100);
	file_done(&u);
}

/* A COPY by a thread of its own. */
struct filler {
	struct front_uffd *u;
	uint64_t dst, src, pages;
	int err;
};

static void fill_body(void *arg)
{
	struct filler *f = arg;
	int64_t done;

	f->err = front_copy(f->u, f->dst, f->src, PAGES(f->pages), 0, &done);
}

/* Either the fill is first, and cut off, or it finds the end. Nothing is there afterwards. */
static void fill_and_truncate(void)
{
	struct front_uffd u;
	struct filler f = {&u, VIEW, SOURCE, 4, 0};
	unsigned thread;
	uint64_t value;

	file_open(&u, 0, MACH_VMA_SHMEM);
	CHECK_EQ(front_register(&u, VIEW, PAGES(4), MISSING), 0);
	thread = sim_spawn("filler", fill_body, &f);
	for (unsigned i = sim_random(60); i; i--)
		mach_relax();
	truncate_to(0);
	sim_join(thread);
	CHECK(f.err == 0 || f.err == -EFAULT || f.err == -EAGAIN);
	CHECK_EQ(sim_load(VIEW, &value), SIM_GOT_BUS);
	truncate_to(4);
	for (uint64_t i = 0; i < 4; i++)
		CHECK(!sim_file_peek(file, i) && word_at(VIEW + PAGES(i)) == 0);
	file_done(&u);
}

/* No space in the file system: nothing is lost, nothing half-done is seen. */
static void full_file(void)
{
	struct front_uffd u;
	uint64_t value;
	int64_t done;

	file_open(&u, 0, MACH_VMA_SHMEM);
	CHECK_EQ(front_register(&u, VIEW, PAGES(4), MISSING), 0);
	sim_file_limit(file, 2);
	CHECK_EQ(front_copy(&u, VIEW, SOURCE, PAGES(4), 0, &done), -EAGAIN);
	CHECK_EQ(done, PAGES(2));
	CHECK_EQ(front_copy(&u, VIEW + PAGES(2), SOURCE, PAGES(1), 0, &done), -ENOMEM);
	CHECK_EQ(front_unregister(&u, VIEW, PAGES(4)), 0);
	CHECK_EQ(sim_load(VIEW + PAGES(2), &value), SIM_GOT_BUS);
	page_expect(VIEW + PAGES(1), 101);
	file_done(&u);
}

/* ---- Advice and mappings --------------------------------------------------------------------- */

static void remove_sealed(void)
{
	struct front_uffd u;

	file_open(&u, 0, MACH_VMA_SHMEM);
	CHECK_EQ(front_register(&u, VIEW, PAGES(4), MISSING), 0);
	CHECK_EQ(front_register(&u, OTHER, PAGES(4), MISSING), 0);
	CHECK_EQ(front_register(&u, PRIV, PAGES(4), MISSING), 0);
	copy_all(&u, VIEW, SOURCE, 4, 0);
	page_expect(OTHER, 100);
	CHECK_EQ(front_remove(VIEW, PAGES(1)), 0);
	CHECK_EQ(word_at(VIEW), 0);
	CHECK_EQ(word_at(OTHER), 0);
	CHECK_EQ(front_remove(PRIV, PAGES(1)), -EACCES);
	sim_file_seal(file);
	CHECK_EQ(front_remove(VIEW + PAGES(1), PAGES(1)), -EPERM);
	page_expect(VIEW + PAGES(1), 101);
	file_done(&u);
}

/* mremap takes the view along, its marks too, and grows with the file behind it. */
static void remap_view(void)
{
	struct front_uffd u;
	uint64_t to;

	file_open(&u, 0, MACH_VMA_SHMEM);
	CHECK_EQ(front_register(&u, VIEW, PAGES(2), MISSING | WP), 0);
	CHECK_EQ(front_munmap(VIEW + PAGES(2), PAGES(2)), 0);
	copy_all(&u, VIEW, SOURCE, 1, 0);
	CHECK_EQ(front_unregister(&u, VIEW, PAGES(2)), 0);
	CHECK_EQ(front_mremap(VIEW, PAGES(2), PAGES(4), MREMAP_MAYMOVE | MREMAP_FIXED, PAGE(600),
			      &to),
		 0);
	page_expect(PAGE(600), 100);
	page_write(OTHER + PAGES(3), 77);
	page_expect(PAGE(603), 77);
	CHECK_EQ(front_munmap(PAGE(600), PAGES(4)), 0);
	file_done(&u);
}

/* ---- Huge pages ------------------------------------------------------------------------------ */

static void huge_missing(void)
{
	struct front_uffd u;
	struct toucher t;
	int64_t done;

	huge_open(&u, MISSING | MINOR);
	touch_start(&t, HUGE_VIEW + PAGES(77) + 8, true, 9);
	expect_fault(&u, HUGE_VIEW, UF_PAGEFAULT_FLAG_WRITE);
	CHECK_EQ(front_copy(&u, HUGE_VIEW, HUGE_SRC, PAGES(1), 0, &done), -EINVAL);
	CHECK_EQ(front_zero(&u, HUGE_VIEW, PAGES(GROUP), 0, &done), -EINVAL);
	copy_all(&u, HUGE_VIEW, HUGE_SRC, GROUP, 0);
	touch_end(&t, SIM_OK);
	page_expect(HUGE_VIEW, 200);
	page_expect(HUGE_VIEW + PAGES(511), 711);
	touch_start(&t, HUGE_PRIV + PAGES(5), false, 0);
	expect_fault(&u, HUGE_PRIV, UF_PAGEFAULT_FLAG_MINOR);
	CHECK_EQ(front_continue(&u, HUGE_PRIV, PAGES(GROUP), 0, &done), 0);
	touch_end(&t, SIM_OK);
	CHECK_EQ(t.value, 205 * 0x10000);
	CHECK_EQ(sim_store(HUGE_PRIV + PAGES(5), 1), SIM_OK);
	page_expect(HUGE_VIEW + PAGES(5), 205);
	huge_done(&u);
}

/* Truncation takes marks of huge pages too, a hole their private copies. */
static void huge_marks(void)
{
	struct front_uffd u;
	int64_t done;

	huge_open(&u, MISSING | WP);
	copy_all(&u, HUGE_PRIV, HUGE_SRC, GROUP, UF_COPY_MODE_WP);
	mark(&u, HUGE_VIEW, GROUP);
	CHECK_EQ(word_at(HUGE_VIEW), PM_WP);
	punch(0, GROUP);
	CHECK_EQ(word_at(HUGE_PRIV), PM_WP);
	CHECK(!sim_file_copied(HUGE_PRIV));
	truncate_to(0);
	CHECK_EQ(word_at(HUGE_PRIV), 0);
	CHECK_EQ(word_at(HUGE_VIEW + PAGES(511)), 0);
	truncate_to(GROUP);
	CHECK_EQ(front_poison(&u, HUGE_VIEW, PAGES(GROUP), 0, &done), 0);
	CHECK_EQ(sim_load(HUGE_VIEW + PAGES(300), &(uint64_t){0}), SIM_GOT_BUS);
	punch(0, GROUP);
	CHECK(!front_is_poison(HUGE_VIEW));
	huge_done(&u);
}

/* A source that is missing in the middle is brought in whole, and no half page is ever seen. */
static void huge_bounce(void)
{
	struct front_uffd u, source;
	struct filler f = {&u, HUGE_VIEW, HUGE_SRC, GROUP, 0};
	struct toucher t;
	unsigned thread;

	huge_open(&u, MISSING);
	front_open(&source, 0);
	CHECK_EQ(front_register(&source, HUGE_SRC, PAGES(GROUP), MISSING), 0);
	CHECK_EQ(front_zap(HUGE_SRC + PAGES(300), PAGES(1)), 0);
	sim_mmap(SOURCE, PAGES(1), RW);
	page_write(SOURCE, 500);
	touch_start(&t, HUGE_VIEW, false, 0);
	expect_fault(&u, HUGE_VIEW, 0);
	thread = sim_spawn("filler", fill_body, &f);
	expect_fault(&source, HUGE_SRC + PAGES(300), 0);
	CHECK(!t.done && !sim_file_peek(file, 0));
	copy_all(&source, HUGE_SRC + PAGES(300), SOURCE, 1, 0);
	sim_join(thread);
	CHECK_EQ(f.err, 0);
	touch_end(&t, SIM_OK);
	page_expect(HUGE_VIEW + PAGES(300), 500);
	page_expect(HUGE_VIEW + PAGES(299), 499);
	front_close(&source);
	sim_munmap(SOURCE, PAGES(1));
	huge_done(&u);
}

const struct scenario type_scenarios[] = {
	{"file-missing", file_missing, 0},
	{"private-copies", private_copies, 0},
	{"registered-in-place", registered_in_place, 0},
	{"marks-on-files", marks_on_files, 0},
	{"copy-and-hole", copy_and_hole, 0},
	{"poison-on-files", poison_on_files, 0},
	{"past-the-end", past_the_end, 0},
	{"fill-and-truncate", fill_and_truncate, 0},
	{"full-file", full_file, 0},
	{"remove-sealed", remove_sealed, 0},
	{"remap-view", remap_view, 0},
	{"huge-missing", huge_missing, 0},
	{"huge-marks", huge_marks, 0},
	{"huge-bounce", huge_bounce, 0},
	{NULL, NULL, 0},
};
