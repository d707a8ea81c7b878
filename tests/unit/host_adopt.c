/* host_adopt.c - taking over memory that the program uses, moving it, giving it back. */
#include "host_test.h"

#include <sys/resource.h>
#include <sys/wait.h>

static void draws_what_stood_there(void)
{
	struct managed m = {.p = NULL};
	uint64_t bits[8];

	test_start();
	m.p = test_map(512);
	for (int i = 0; i < 512; i += 5)
		memset(m.p + PAGES(i), i + 1, UF_PAGE_SIZE);
	CHECK(mach_map_adopt(&m.map, (uint64_t)m.p, 512, RW) == 0);
	m.span = (struct mach_span){&m.map, (uint64_t)m.p, 0, 512, RW};
	CHECK(m.map.aside != 0 && host_owns(m.map.aside, PAGES(512)));
	CHECK(!READS(m.p));
	mach_aside_query(&m.map, 0, 512, bits);
	for (int i = 0; i < 512; i++)
		CHECK((bits[i / 64] >> (i % 64) & 1) == (i % 5 == 0));
	mach_aside_query(&m.map, 3, 70, bits);
	for (int i = 0; i < 70; i++)
		CHECK((bits[i / 64] >> (i % 64) & 1) == ((i + 3) % 5 == 0));
	for (int i = 0; i < 510; i += 5) {
		mach_aside_draw(&m.span, (uint64_t)i, 1);
		CHECK(test_open(&m, (uint64_t)i, 1, RW) == 0);
		for (uint64_t k = 0; k < UF_PAGE_SIZE; k += 511)
			CHECK(m.p[PAGES(i) + k] == (char)(i + 1));
	}
	mach_aside_query(&m.map, 0, 512, bits);
	for (int i = 0; i < 7; i++)
		CHECK(bits[i] == 0);
	CHECK(bits[7] == 1ull << (510 - 448));
	mach_aside_drop(&m.map, 0, 512);
	CHECK(m.map.aside == 0);
	mach_aside_query(&m.map, 0, 512, bits);
	CHECK(bits[7] == 0);
	mach_map_destroy(&m.map);
}

static void nothing_aside_when_empty(void)
{
	struct managed m;

	test_start();
	test_manage(&m, 100);
	CHECK(m.map.aside == 0);
	mach_map_destroy(&m.map);
}

static void odd_mappings_are_adopted(void)
{
	struct managed m;
	char *p;

	test_start();
	/* Locked, and locked from now on. */
	p = test_map(100);
	CHECK(mlock(p, PAGES(100)) == 0);
	p[PAGES(3)] = 'k';
	CHECK(mach_map_adopt(&m.map, (uint64_t)p, 100, RW) == 0);
	m.span = (struct mach_span){&m.map, (uint64_t)p, 0, 100, RW};
	mach_aside_draw(&m.span, 3, 1);
	CHECK(test_open(&m, 3, 1, RW) == 0 && p[PAGES(3)] == 'k' && !READS(p + PAGES(4)));
	CHECK(mlockall(MCL_FUTURE) == 0 || errno == EPERM || errno == ENOMEM);
	p = test_map(100);
	CHECK(mach_map_adopt(&m.map, (uint64_t)p, 100, RW) == 0);
	m.span = (struct mach_span){&m.map, (uint64_t)p, 0, 100, RW};
	test_fill(&m, 4, 90, 'q');
	CHECK(test_open(&m, 4, 1, RW) == 0 && p[PAGES(4)] == 'q');
	test_limit(&m, 4, 1, 0);
	CHECK(!READS(p + PAGES(4)));
	munlockall();
	/* Part of a mapping, in its middle. */
	p = test_map(100);
	memset(p, 'm', PAGES(100));
	CHECK(mach_map_adopt(&m.map, (uint64_t)p + PAGES(40), 20, RW) == 0);
	CHECK(p[PAGES(39)] == 'm' && p[PAGES(60)] == 'm' && !READS(p + PAGES(40)));
	/* Without access. */
	p = mmap(NULL, PAGES(10), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mach_map_adopt(&m.map, (uint64_t)p, 10, 0) == 0);
	/* The stack under our feet is refused, and nothing has changed. */
	{
		volatile char here = 's';
		uint64_t page = (uint64_t)&here & UF_PAGE_MASK;

		CHECK(mach_map_adopt(&m.map, page - PAGES(2), 3, RW) == -ENOMEM);
		CHECK(here == 's');
	}
}

/* ---- Writers that do not know ---- */

#define WRITER_PAGES 64

static struct managed shared;
static struct mach_rwlock space;
static _Atomic bool stop;

/* A little mm: every page is opened on touch, drawn in first where something stands aside. */
static enum mm_outcome open_on_touch(const struct mm_access *access)
{
	static struct mach_lock page_table;
	static uint64_t drawn[WRITER_PAGES / 64];
	uint64_t page, bits[1];

	mach_read_lock(&space);
	page = (access->addr - (uint64_t)shared.p) >> UF_PAGE_SHIFT;
	if (shared.span.npages == 0 || page >= WRITER_PAGES) {
		mach_read_unlock(&space);
		return MM_RETRY;
	}
	mach_lock(&page_table);
	mach_aside_query(&shared.map, page, 1, bits);
	if (bits[0] & 1)
		mach_aside_draw(&shared.span, page, 1);
	else if (!(drawn[page / 64] >> (page % 64) & 1))
		mach_frames_zero(&shared.span, page, 1);
	drawn[page / 64] |= 1ull << (page % 64);
	CHECK(mach_tlb_open(&shared.span, page, 1, RW) == 0);
	mach_unlock(&page_table);
	mach_read_unlock(&space);
	return MM_RETRY;
}

/* Counts up in every page of its own; what it wrote last must always be there. */
static void *writer(void *arg)
{
	uint64_t me = (uint64_t)arg, rounds = 0;

	while (!stop) {
		for (uint64_t i = me; i < WRITER_PAGES; i += 2) {
			_Atomic uint64_t *word = (void *)(shared.p + PAGES(i) + 64 * me);

			CHECK(atomic_load(word) == rounds);
			atomic_store(word, rounds + 1);
		}
		rounds++;
	}
	return (void *)rounds;
}

static void no_write_is_lost(void)
{
	struct mach_map map;
	struct mach_entry e;
	pthread_t thread[2];
	void *rounds;

	test_start();
	test_fault = open_on_touch;
	CHECK(host_arm() == 0);
	shared.p = test_map(WRITER_PAGES);
	for (uint64_t i = 0; i < 2; i++)
		CHECK(pthread_create(&thread[i], NULL, writer, (void *)i) == 0);
	while (((_Atomic uint64_t *)shared.p)[0] < 100)
		sched_yield();
	mach_enter(&e);
	mach_write_lock(&space);
	CHECK(mach_map_adopt(&map, (uint64_t)shared.p, WRITER_PAGES, RW) == 0);
	shared.map = map;
	shared.span = (struct mach_span){&shared.map, (uint64_t)shared.p, 0, WRITER_PAGES, RW};
	mach_write_unlock(&space);
	mach_leave(&e);
	for (uint64_t had = *(_Atomic uint64_t *)shared.p;
	     *(_Atomic uint64_t *)shared.p < had + 1000;)
		sched_yield();
	stop = true;
	for (uint64_t i = 0; i < 2; i++) {
		pthread_join(thread[i], &rounds);
		for (uint64_t k = i; k < WRITER_PAGES; k += 2)
			CHECK(*(uint64_t *)(shared.p + PAGES(k) + 64 * i) == (uint64_t)rounds);
	}
}

/* ---- Moving, unmapping ---- */

static void moves_with_contents(void)
{
	struct managed m;
	struct mach_span part;
	uint64_t to, used, most;

	test_start();
	test_manage(&m, 300);
	test_fill(&m, 0, 300, 'v');
	CHECK(test_open(&m, 0, 300, RW) == 0);
	m.p[PAGES(120)] = 'V';
	test_limit(&m, 50, 1, UF_PROT_READ);
	test_limit(&m, 130, 10, UF_PROT_READ);
	test_limit(&m, 150, 1, 0);
	CHECK(mach_reserve(0, PAGES(100), &to) == 0);
	part = (struct mach_span){&m.map, (uint64_t)m.p + PAGES(100), 100, 100, RW};
	CHECK(mach_map_move(&part, to, false) == 0);
	part.addr = to;
	CHECK(!READS((char *)to + PAGES(50)));
	CHECK(mach_tlb_open(&part, 100, 100, RW) == 0);
	CHECK(*((char *)to + PAGES(20)) == 'V' && *((char *)to + PAGES(50)) == 'v');
	CHECK(READS(m.p + PAGES(99)) && !READS(m.p + PAGES(100)) && READS(m.p + PAGES(200)));
	CHECK(!WRITES(m.p + PAGES(50)));
	/* A new map where the old pages were. */
	{
		struct managed f;

		f.p = m.p + PAGES(100);
		CHECK(mach_map_fresh(&f.map, (uint64_t)f.p, 100, RW) == 0);
		f.span = (struct mach_span){&f.map, (uint64_t)f.p, 0, 100, RW};
		mach_frames_zero(&f.span, 0, 100);
		CHECK(test_open(&f, 7, 1, RW) == 0);
		CHECK(f.p[PAGES(7)] == 0 && !READS(f.p + PAGES(8)));
		CHECK(mach_munmap((uint64_t)f.p, PAGES(100)) == 0);
		mach_map_destroy(&f.map);
	}
	CHECK(mach_munmap((uint64_t)m.p, PAGES(300)) == 0);
	CHECK(*((char *)to + PAGES(20)) == 'V');
	CHECK(mach_munmap(to, PAGES(100)) == 0);
	mach_map_destroy(&m.map);
	mach_usage(&used, &most);
	CHECK(used == 0);
}

/* What is mapped where managed pages were is nobody's to close. */
static void forgets_what_is_unmapped(void)
{
	struct managed m, other;
	char *p;

	test_config.budget = 40;
	test_start();
	test_manage(&m, 640);
	test_fill(&m, 0, 640, 'f');
	for (uint64_t i = 0; i < 640; i += 64)
		CHECK(test_open(&m, i, 1, RW) == 0);
	p = m.p + PAGES(128);
	CHECK(mach_mmap_over((uint64_t)p, PAGES(128), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == 0);
	memset(p, 'n', PAGES(128));
	test_manage(&other, 4000);
	test_fill(&other, 0, 4000, 'o');
	for (uint64_t i = 0; i < 4000; i += 2)
		CHECK(test_open(&other, i, 1, i % 4 ? RW : UF_PROT_READ) == 0);
	for (uint64_t i = 0; i < PAGES(128); i++)
		CHECK(p[i] == 'n');
}

/* ---- Frames ---- */

static void frames_are_recycled_within_limits(void)
{
	struct managed m;
	struct rusage before, after;

	test_config.warm_pages = 128;
	test_start();
	test_manage(&m, 1000);
	test_fill(&m, 0, 1000, 'w');
	mach_frames_drop(&m.span, 0, 100);
	CHECK(frames_idle() == 100);
	test_fill(&m, 0, 50, 'W');
	CHECK(frames_idle() == 50);
	for (uint64_t i = 0; i < 1000; i++)
		mach_frames_drop(&m.span, i, 1);
	CHECK(frames_idle() <= 128);
	/* A frame that was punched reads as zero once it is said to be zero; a warm one too. */
	mach_frames_zero(&m.span, 0, 1000);
	CHECK(test_open(&m, 0, 1000, RW) == 0);
	for (uint64_t i = 0; i < PAGES(1000); i += 513)
		CHECK(m.p[i] == 0);
	/* Zeroed holes that the program wrote to are not taken for holes later. */
	memset(m.p, 'z', PAGES(1000));
	test_limit(&m, 0, 1000, 0);
	mach_frames_drop(&m.span, 0, 1000);
	mach_frames_zero(&m.span, 0, 1000);
	CHECK(test_open(&m, 0, 1000, RW) == 0);
	for (uint64_t i = 0; i < PAGES(1000); i += 513)
		CHECK(m.p[i] == 0);
	CHECK(mach_munmap((uint64_t)m.p, PAGES(1000)) == 0);
	mach_map_destroy(&m.map);
	/* Extents come back: ten thousand maps of a GiB do not use up anything. */
	getrusage(RUSAGE_SELF, &before);
	for (int i = 0; i < 10000; i++) {
		char *p = mmap(NULL, 1 << 30, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		struct mach_map big;

		CHECK(p != MAP_FAILED);
		CHECK(mach_map_adopt(&big, (uint64_t)p, 1 << 18, RW) == 0);
		CHECK(mach_munmap((uint64_t)p, 1 << 30) == 0);
		mach_map_destroy(&big);
	}
	getrusage(RUSAGE_SELF, &after);
	CHECK(after.ru_maxrss - before.ru_maxrss < 64 << 10);
}

static void frames_move_and_copy(void)
{
	struct managed a, b;
	char page[UF_PAGE_SIZE];
	char *src;

	test_start();
	test_manage(&a, 200);
	test_manage(&b, 200);
	test_fill(&a, 10, 5, 'A');
	mach_frames_zero(&a.span, 15, 100);
	CHECK(mach_frames_move(&b.span, 0, &a.span, 10, 105) == 0);
	CHECK(*(char *)mach_frame(&b.map, 4) == 'A' && *(char *)mach_frame(&b.map, 5) == 0);
	CHECK(test_open(&b, 0, 105, RW) == 0 && b.p[PAGES(2) + 9] == 'A' && b.p[PAGES(104)] == 0);
	/* A source that ends: whole pages only, unaligned, into cold and into warm frames. */
	src = test_map(4);
	memset(src, 'S', PAGES(4));
	CHECK(munmap(src + PAGES(3), UF_PAGE_SIZE) == 0);
	CHECK(!READS(src + PAGES(3)));
	CHECK(mach_frames_copy(&a.span, 150, 4, (uint64_t)src) == 3);
	CHECK(mach_frames_copy(&a.span, 160, 4, (uint64_t)src + 100) == 2);
	CHECK(mach_frames_copy(&a.span, 150, 4, (uint64_t)src + 100) == 2);
	CHECK(mach_frames_copy(&a.span, 170, 2, (uint64_t)src + PAGES(3)) == -EFAULT);
	CHECK(mach_frames_copy(&a.span, 150, 1, (uint64_t)src + PAGES(3)) == -EFAULT);
	memset(page, 'S', sizeof(page));
	CHECK(memcmp(mach_frame(&a.map, 161), page, sizeof(page)) == 0);
}

/* ---- fork ---- */

/* What mm_fork_ do to a machine: the tests have no space. */
static pid_t fork_machine(void)
{
	pid_t pid;

	mach_fork_begin();
	pid = fork();
	if (pid == 0)
		mach_fork_child();
	else
		mach_fork_parent();
	return pid;
}

static bool ends_well(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* As a fault of the mm's. */
static void write_page(struct managed *m, uint64_t page, char value)
{
	CHECK(mach_map_unshare(&m->span) == 0 && test_open(m, page, 1, RW) == 0);
	m->p[PAGES(page)] = value;
}

static void forked_memory_is_copied(void)
{
	struct managed m, own;
	int hold[2];
	char byte;
	pid_t pid;

	test_start();
	test_manage(&m, 100);
	test_fill(&m, 0, 100, 'p');
	CHECK(test_open(&m, 0, 90, RW) == 0);
	CHECK(pipe(hold) == 0);
	CHECK(!mach_fork_pending());
	pid = fork_machine();
	if (pid == 0) {
		close(hold[1]);
		CHECK(read(hold[0], &byte, 1) == 0);
		CHECK(READS(m.p) && m.p[0] == 'p' && !WRITES(m.p) && !READS(m.p + PAGES(95)));
		CHECK(mach_pages_unshared(&m.span, 0, 100) == 0);
		CHECK(test_open(&m, 95, 5, RW) == 0 && m.p[PAGES(95)] == 'p');
		CHECK(!WRITES(m.p + PAGES(95)));
		write_page(&m, 99, 'c');
		/* What was let through for writing is again. */
		CHECK(WRITES(m.p + PAGES(1)) && m.p[PAGES(2)] == 'p');
		test_limit(&m, 3, 1, 0);
		test_fill(&m, 3, 1, 'f');
		CHECK(test_open(&m, 3, 1, RW) == 0 && m.p[PAGES(3)] == 'f');
		CHECK(mach_pages_unshared(&m.span, 3, 1) == 1);
		CHECK(mach_pages_unshared(&m.span, 4, 1) == 0);
		/* And it can manage memory of its own. */
		test_manage(&own, 50);
		test_fill(&own, 3, 1, 'c');
		CHECK(test_open(&own, 3, 1, RW) == 0 && own.p[PAGES(3)] == 'c');
		_exit(0);
	}
	close(hold[0]);
	CHECK(READS(m.p) && !WRITES(m.p) && !WRITES(m.p + PAGES(89)));
	write_page(&m, 5, 'w');
	CHECK(WRITES(m.p + PAGES(89)) && m.p[PAGES(4)] == 'p');
	test_limit(&m, 0, 100, 0);
	test_fill(&m, 0, 1, 'q');
	CHECK(test_open(&m, 0, 100, RW) == 0 && m.p[0] == 'q' && m.p[PAGES(1)] == 'p');
	CHECK(m.p[PAGES(5)] == 'w');
	close(hold[1]);
	CHECK(ends_well(pid));
	CHECK(m.p[0] == 'q' && m.p[PAGES(99)] == 'p' && m.p[PAGES(5)] == 'w');
	mach_munmap((uint64_t)m.p, PAGES(100));
	mach_map_destroy(&m.map);
}

/* A child that has gone, or runs another program, costs nothing. */
static void lone_parents_go_on(void)
{
	struct managed m;
	unsigned before;
	pid_t pid;

	test_start();
	test_manage(&m, 1000);
	test_fill(&m, 0, 1000, 'p');
	CHECK(test_open(&m, 0, 1000, RW) == 0);
	before = test_mappings((uint64_t)m.p, PAGES(1000));
	for (int i = 0; i < 3; i++) {
		pid = fork_machine();
		if (pid == 0)
			_exit(m.p[PAGES(7)] == (i ? 'w' : 'p') ? 0 : 1);
		CHECK(ends_well(pid));
		CHECK(mach_pages_unshared(&m.span, 7, 1) == 0);
		write_page(&m, 7, 'w');
		CHECK(mach_pages_unshared(&m.span, 7, 1) == 1);
		CHECK(WRITES(m.p + PAGES(400)) && !WRITES(m.p + PAGES(600)));
		write_page(&m, 600, 'x');
		CHECK(mach_frame(&m.map, 7) && *(char *)mach_frame(&m.map, 7) == 'w');
		CHECK(test_mappings((uint64_t)m.p, PAGES(1000)) == before);
	}
}

/* An extent whose map has gone is not used again before its children have. */
static void extents_stay_with_children(void)
{
	struct managed m, other;
	uint64_t extent;
	int hold[2];
	char byte;
	pid_t pid;

	test_start();
	test_manage(&m, 64);
	test_fill(&m, 0, 64, 'p');
	extent = m.map.extent;
	CHECK(pipe(hold) == 0);
	pid = fork_machine();
	if (pid == 0) {
		close(hold[1]);
		CHECK(read(hold[0], &byte, 1) == 0);
		CHECK(test_open(&m, 0, 64, UF_PROT_READ) == 0);
		for (int i = 0; i < 64; i++)
			CHECK(m.p[PAGES(i)] == 'p');
		_exit(0);
	}
	close(hold[0]);
	mach_munmap((uint64_t)m.p, PAGES(64));
	mach_map_destroy(&m.map);
	test_manage(&other, 64);
	CHECK(other.map.extent != extent);
	test_fill(&other, 0, 64, 'o');
	close(hold[1]);
	CHECK(ends_well(pid));
	test_manage(&m, 64);
	CHECK(m.map.extent == extent);
}

static void generations(struct managed *m, int depth)
{
	pid_t pid;

	if (depth == 0)
		return;
	pid = fork_machine();
	if (pid == 0) {
		CHECK(m->p[0] == 'p' && m->p[PAGES(depth + 1)] == (char)('0' + depth + 1));
		write_page(m, (uint64_t)depth, (char)('0' + depth));
		CHECK(m->p[PAGES(depth + 1)] == (char)('0' + depth + 1));
		generations(m, depth - 1);
		CHECK(m->p[PAGES(depth)] == (char)('0' + depth));
		CHECK(m->p[PAGES(depth - 1)] == 'p');
		_exit(0);
	}
	CHECK(ends_well(pid));
}

static void children_have_children(void)
{
	struct managed m;

	test_start();
	test_manage(&m, 10);
	test_fill(&m, 0, 10, 'p');
	CHECK(test_open(&m, 0, 10, RW) == 0);
	m.p[PAGES(7)] = '7';
	generations(&m, 6);
	CHECK(m.p[PAGES(6)] == 'p');
}

static void mappings_are_told(void)
{
	struct mach_vma vma;
	struct managed m;
	stack_t st;
	char *p;

	test_start();
	p = mmap(NULL, PAGES(30), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mprotect(p + PAGES(10), PAGES(10), PROT_READ | PROT_WRITE) == 0);
	CHECK(mach_vma_next((uint64_t)p + PAGES(12), &vma) == 0);
	CHECK(vma.start == (uint64_t)p + PAGES(10) && vma.end == vma.start + PAGES(10));
	CHECK(vma.prot == RW && !vma.shared && vma.kind == MACH_VMA_ANON);
	p = mmap(NULL, PAGES(3), PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(mach_vma_next((uint64_t)p, &vma) == 0 && vma.start == (uint64_t)p);
	CHECK(vma.kind == MACH_VMA_SHMEM && vma.shared && vma.prot == UF_PROT_READ);
	CHECK(mach_vma_next((uint64_t)&children_have_children, &vma) == 0);
	CHECK(vma.kind == MACH_VMA_FILE);
	CHECK(mach_vma_next((uint64_t)&vma, &vma) == 0);
	CHECK(vma.kind == MACH_VMA_ANON && vma.growsdown);
	CHECK(mach_vma_next(mach_task_size(), &vma) != 0 || vma.kind == MACH_VMA_SPECIAL);
	test_manage(&m, 5);
	CHECK(mach_vma_next((uint64_t)m.p, &vma) == 0);
	CHECK(vma.kind == MACH_VMA_SPECIAL && vma.start == (uint64_t)m.p);
	/* Our own are holes to the program; its neighbours of the same kind are not. */
	CHECK(mach_vma_next(m.map.alias, &vma) == 0 && vma.start > m.map.alias);
	CHECK(host_altstack_enter() == 0 && sigaltstack(NULL, &st) == 0);
	p = mmap((char *)st.ss_sp + 512 * (st.ss_size + UF_PAGE_SIZE) - UF_PAGE_SIZE, UF_PAGE_SIZE,
		 PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mach_vma_next((uint64_t)p, &vma) == 0 && vma.start <= (uint64_t)p);
	CHECK(vma.kind == MACH_VMA_ANON && !host_owns(vma.start, vma.end - vma.start));
}

static const struct test tests[] = {
	{"draws_what_stood_there", draws_what_stood_there},
	{"nothing_aside_when_empty", nothing_aside_when_empty},
	{"odd_mappings_are_adopted", odd_mappings_are_adopted},
	{"no_write_is_lost", no_write_is_lost},
	{"moves_with_contents", moves_with_contents},
	{"forgets_what_is_unmapped", forgets_what_is_unmapped},
	{"frames_are_recycled_within_limits", frames_are_recycled_within_limits},
	{"frames_move_and_copy", frames_move_and_copy},
	{"forked_memory_is_copied", forked_memory_is_copied},
	{"lone_parents_go_on", lone_parents_go_on},
	{"extents_stay_with_children", extents_stay_with_children},
	{"children_have_children", children_have_children},
	{"mappings_are_told", mappings_are_told},
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
