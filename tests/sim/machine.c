/*
 * machine.c - the simulated machine by itself: that its schedules are schedules, that the same seed
 * is the same run, and that it notices each kind of misuse it promises to notice.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine-parts.h"

struct sim_config config;

void start(enum sim_mode mode, uint64_t seed)
{
	config = (struct sim_config){.mode = mode, .seed = seed, .pages = 2048, .swap = 2};
	config.max_points = 1000000;
}

/* ---- Locks and schedules -------------------------------------------------------------------- */

static struct {
	struct mach_lock lock, other;
	struct mach_rwlock rw;
	unsigned counter, inside, most;
	struct mach_waiter waiter;
	_Atomic bool posted;
	int result;
} * shared;

static void shared_make(void)
{
	shared = (void *)(mach_arena_base + 4096);
}

static void count_locked(void *arg)
{
	struct mach_entry e;

	(void)arg;
	for (unsigned i = 0; i < 50; i++) {
		unsigned seen;

		mach_enter(&e);
		mach_lock(&shared->lock);
		seen = shared->counter;
		sim_point();
		shared->counter = seen + 1;
		mach_unlock(&shared->lock);
		mach_leave(&e);
	}
}

static void count_unlocked(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 50; i++) {
		unsigned seen = shared->counter;

		sim_point();
		shared->counter = seen + 1;
	}
}

static unsigned run_counters(void (*fn)(void *), uint64_t seed, uint64_t *hash)
{
	unsigned counter;

	start(SIM_DETERMINISTIC, seed);
	sim_start(&config);
	shared_make();
	for (unsigned i = 0; i < 4; i++)
		sim_spawn("counter", fn, NULL);
	sim_run();
	counter = shared->counter;
	if (hash)
		*hash = sim_hash();
	sim_stop();
	return counter;
}

static void test_schedules(void)
{
	uint64_t first, again, hashes[20];
	unsigned lost = 0, same = 0;

	for (uint64_t seed = 0; seed < 20; seed++) {
		CHECK(run_counters(count_locked, seed, &first) == 200);
		CHECK(run_counters(count_locked, seed, &again) == 200);
		CHECK(first == again);
		hashes[seed] = first;
		for (uint64_t i = 0; i < seed; i++)
			same += hashes[i] == first;
		lost += run_counters(count_unlocked, seed, NULL) < 200;
	}
	CHECK(same == 0);
	CHECK(lost >= 10);
}

static void read_locked(void *arg)
{
	struct mach_entry e;

	(void)arg;
	for (unsigned i = 0; i < 30; i++) {
		mach_enter(&e);
		mach_read_lock(&shared->rw);
		if (++shared->inside > shared->most)
			shared->most = shared->inside;
		sim_point();
		CHECK(shared->counter % 2 == 0);
		shared->inside--;
		mach_read_unlock(&shared->rw);
		mach_leave(&e);
	}
}

static void write_locked(void *arg)
{
	struct mach_entry e;

	(void)arg;
	for (unsigned i = 0; i < 30; i++) {
		mach_enter(&e);
		mach_write_lock(&shared->rw);
		shared->counter++;
		sim_point();
		CHECK(shared->inside == 0);
		shared->counter++;
		mach_write_unlock(&shared->rw);
		mach_leave(&e);
	}
}

static void test_rwlock(void)
{
	start(SIM_DETERMINISTIC, 3);
	sim_start(&config);
	shared_make();
	for (unsigned i = 0; i < 3; i++)
		sim_spawn("reader", read_locked, NULL);
	sim_spawn("writer", write_locked, NULL);
	sim_spawn("writer", write_locked, NULL);
	sim_run();
	CHECK(shared->counter == 120);
	CHECK(shared->most > 1);
	sim_stop();
}

/* ---- Waiting -------------------------------------------------------------------------------- */

static void wait_once(void *trap)
{
	struct mach_entry e;

	mach_enter(&e);
	mach_wait_init(&shared->waiter);
	atomic_store(&shared->posted, true);
	shared->result = mach_wait(&shared->waiter, trap, 1000);
	mach_leave(&e);
}

static bool not_posted(void *arg)
{
	(void)arg;
	return !atomic_load(&shared->posted);
}

static void wake_once(void *arg)
{
	(void)arg;
	sim_wait_while(not_posted, NULL, "waits for the waiter");
	mach_wake(&shared->waiter);
}

static void test_waiting(void)
{
	unsigned interrupted = 0;

	for (uint64_t seed = 0; seed < 30; seed++) {
		start(SIM_DETERMINISTIC, seed);
		config.signal = 500;
		sim_start(&config);
		shared_make();
		sim_spawn("waiter", wait_once, seed % 2 ? &config : NULL);
		sim_spawn("waker", wake_once, NULL);
		sim_run();
		CHECK(shared->result == 0 || (seed % 2 && shared->result == -EINTR));
		interrupted += shared->result != 0;
		sim_stop();
	}
	CHECK(interrupted > 0 && interrupted < 15);
}

/* ---- Maps ----------------------------------------------------------------------------------- */

static struct mach_map map;
static struct mach_span span;
static unsigned faults;

static enum sim_trap open_on_fault(uint64_t addr, bool write, struct mach_trap *trap)
{
	uint64_t page = (addr - PAGE(8)) / UF_PAGE_SIZE;

	(void)trap;
	if (addr < PAGE(8) || addr >= PAGE(16))
		return SIM_UNMANAGED;
	faults++;
	mach_tlb_open(&span, page, 1, write ? 3 : 1);
	return SIM_RETRY;
}

static void use_map(void *arg)
{
	uint64_t bits = 0, value = 0;

	(void)arg;
	CHECK(sim_load(PAGE(1), &value) == SIM_GOT_SEGV);
	CHECK(sim_load(PAGE(9), &value) == SIM_OK && value == 0);
	CHECK(sim_store(PAGE(9) + 8, 7) == SIM_OK);
	CHECK(sim_store(PAGE(20), 8) == SIM_OK);

	CHECK(mach_map_adopt(&map, PAGE(8), 8, 3) == 0);
	CHECK(map.aside != 0 && map.aside_pages == 1);
	span = (struct mach_span){&map, PAGE(8), 0, 8, 3};
	mach_aside_query(&map, 0, 8, &bits);
	CHECK(bits == 2);
	CHECK(mach_aside_draw(&span, 1, 1) == 0);
	CHECK(map.aside_pages == 0);
	mach_frames_zero(&span, 0, 1);
	CHECK(mach_frames_copy(&span, 2, 1, PAGE(20)) == 1);
	CHECK(mach_frames_copy(&span, 3, 1, PAGE(1)) == -EFAULT);

	faults = 0;
	CHECK(sim_load(PAGE(9) + 8, &value) == SIM_OK && value == 7);
	CHECK(sim_load(PAGE(10), &value) == SIM_OK && value == 8);
	CHECK(sim_load(PAGE(10), &value) == SIM_OK && faults == 2);
	CHECK(sim_store(PAGE(10), 9) == SIM_OK && faults == 3);
	mach_tlb_limit(&span, 2, 1, 1);
	CHECK(sim_tlb(PAGE(10)) == 1);
	CHECK(mach_copy_in(&value, PAGE(10), 8) == 0 && value == 9 && faults == 3);
	CHECK(mach_copy_out(PAGE(10), &bits, 8) == 0 && faults == 4);
	CHECK(mach_copy_in(&value, SIM_HOST(&bits), 8) == 0 && value == 2);

	CHECK(mach_map_move(&span, PAGE(32), false) == 0);
	CHECK(!sim_is_mapped(PAGE(8)) && sim_is_managed(PAGE(39)));
	CHECK(sim_tlb(PAGE(34)) == 3);
	CHECK(mach_munmap(PAGE(32), 8 * UF_PAGE_SIZE) == 0);
	mach_map_destroy(&map);
}

static void test_maps(void)
{
	struct sim_left left;
	struct mach_vma vma;

	start(SIM_DETERMINISTIC, 1);
	config.fault = open_on_fault;
	sim_start(&config);
	sim_mmap(PAGE(8), 8 * UF_PAGE_SIZE, 3);
	sim_mmap(PAGE(20), UF_PAGE_SIZE, 3);
	CHECK(mach_vma_next(PAGE(10), &vma) == 0 && vma.start == PAGE(8) && vma.end == PAGE(16));
	CHECK(mach_vma_next(PAGE(16), &vma) == 0 && vma.start == PAGE(20) && vma.prot == 3);
	CHECK(mach_vma_next(PAGE(21), &vma) == -ENOENT);
	sim_spawn("user", use_map, NULL);
	sim_run();
	sim_left(&left);
	CHECK(left.maps == 0 && left.notifies == 0);
	sim_stop();
}

/* ---- Misuse --------------------------------------------------------------------------------- */

static void lock_twice(void *arg)
{
	struct mach_entry e;

	(void)arg;
	mach_enter(&e);
	mach_lock(&shared->lock);
	mach_lock(&shared->lock);
}

static void lock_outside(void *arg)
{
	(void)arg;
	mach_lock(&shared->lock);
}

static void leave_locked(void *arg)
{
	struct mach_entry e;

	(void)arg;
	mach_enter(&e);
	mach_lock(&shared->lock);
	mach_leave(&e);
}

static void lock_both_orders(void *arg)
{
	struct mach_entry e;

	(void)arg;
	mach_enter(&e);
	mach_lock(&shared->lock);
	mach_lock(&shared->other);
	mach_unlock(&shared->lock);
	mach_lock(&shared->lock);
}

static void lock_above(void *arg)
{
	struct mach_entry e;

	(void)arg;
	sim_lock_class(&shared->rw, sizeof(shared->rw), SIM_LOCK_TOP);
	mach_enter(&e);
	mach_lock(&shared->lock);
	mach_read_lock(&shared->rw);
}

static void wait_locked(void *arg)
{
	struct mach_entry e;

	(void)arg;
	mach_enter(&e);
	mach_lock(&shared->lock);
	mach_wait_init(&shared->waiter);
	mach_wait(&shared->waiter, NULL, 0);
}

static void wait_forever(void *arg)
{
	wait_once(arg);
}

static void wake_twice(void *arg)
{
	(void)arg;
	mach_wait_init(&shared->waiter);
	mach_wake(&shared->waiter);
	mach_wake(&shared->waiter);
}

static void adopt(void)
{
	sim_mmap(PAGE(8), 8 * UF_PAGE_SIZE, 1);
	mach_map_adopt(&map, PAGE(8), 8, 1);
	span = (struct mach_span){&map, PAGE(8), 0, 8, 1};
}

static void open_incomplete(void *arg)
{
	(void)arg;
	adopt();
	mach_tlb_open(&span, 0, 1, 1);
}

static void open_more(void *arg)
{
	(void)arg;
	adopt();
	mach_frames_zero(&span, 0, 1);
	mach_tlb_open(&span, 0, 1, 3);
}

static void write_open_frame(void *arg)
{
	(void)arg;
	adopt();
	mach_frames_zero(&span, 0, 1);
	mach_tlb_open(&span, 0, 1, 1);
	mach_frames_zero(&span, 0, 1);
}

static void wrong_span(void *arg)
{
	(void)arg;
	adopt();
	mach_frames_zero(&span, 0, 8);
	span.addr += UF_PAGE_SIZE;
	mach_tlb_open(&span, 0, 1, 1);
}

static void destroy_used(void *arg)
{
	(void)arg;
	adopt();
	mach_map_destroy(&map);
}

static void spin(void *arg)
{
	(void)arg;
	for (;;)
		mach_relax();
}

void expect_failure(void (*fn)(void *), const char *words)
{
	char text[4096];
	size_t n = 0;
	ssize_t got;
	int ends[2], status;
	pid_t pid;

	if (pipe(ends))
		abort();
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], 2);
		close(ends[0]);
		close(ends[1]);
		start(SIM_DETERMINISTIC, 1);
		sim_start(&config);
		shared_make();
		sim_spawn("misuser", fn, NULL);
		sim_run();
		_exit(0);
	}
	close(ends[1]);
	while ((got = read(ends[0], text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	close(ends[0]);
	waitpid(pid, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 1 || !strstr(text, words)) {
		fprintf(stderr, "expected \"%s\", got status %#x and:\n%s", words, status, text);
		exit(1);
	}
}

static void test_misuse(void)
{
	expect_failure(lock_twice, "a lock that it holds");
	expect_failure(lock_outside, "outside of mach_enter");
	expect_failure(leave_locked, "left with a lock held");
	expect_failure(lock_both_orders, "in both orders");
	expect_failure(lock_above, "lock order");
	expect_failure(wait_locked, "waits with a lock held");
	expect_failure(wait_forever, "deadlock");
	expect_failure(wake_twice, "not armed");
	expect_failure(open_incomplete, "before it is complete");
	expect_failure(open_more, "where the area has");
	expect_failure(write_open_frame, "while it is open");
	expect_failure(wrong_span, "it does not");
	expect_failure(destroy_used, "is destroyed while");
	expect_failure(spin, "livelock");
}

/* ---- Real threads --------------------------------------------------------------------------- */

static void test_threads(void)
{
	start(SIM_THREADS, 1);
	sim_start(&config);
	shared_make();
	for (unsigned i = 0; i < 4; i++)
		sim_spawn("counter", count_locked, NULL);
	sim_run();
	CHECK(shared->counter == 200);
	sim_stop();

	start(SIM_THREADS, 2);
	sim_start(&config);
	shared_make();
	sim_spawn("waiter", wait_once, NULL);
	sim_spawn("waker", wake_once, NULL);
	sim_run();
	CHECK(shared->result == 0);
	sim_stop();
}

/* With "threads": only what makes sense under the thread sanitizer. */
int main(int argc, char **argv)
{
	alarm(120);
	if (argc > 1 && strcmp(argv[1], "threads") == 0) {
		test_threads();
		return 0;
	}
	test_schedules();
	test_rwlock();
	test_waiting();
	test_maps();
	test_misuse();
	test_files();
	test_threads();
	return 0;
}
