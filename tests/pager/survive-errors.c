/*
 * survive-errors.c - sources that fail, are slow, or never answer; and what several guests want of
 * one source at a time.
 */
#include "rig.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 256

static struct rig r;
static sigjmp_buf back;

static void on_sigbus(int sig)
{
	(void)sig;
	siglongjmp(back, 1);
}

/* 0: it can be read; 1: SIGBUS. */
static int touch(size_t page)
{
	volatile char c;

	if (sigsetjmp(back, 1))
		return 1;
	c = *(volatile char *)(r.mem + page * PAGE);
	(void)c;
	return 0;
}

static void begin(enum engine_failure on_failure, unsigned deadline_ms, bool peek)
{
	rig_init(&r, fake_new(PAGES * PAGE, 16384, peek), PAGES * PAGE);
	r.options.on_failure = on_failure;
	r.options.deadline_ms = deadline_ms;
	rig_begin(&r);
}

static void check(size_t page)
{
	CHECK(!fake_check(r.fake, page * PAGE, r.mem + page * PAGE));
}

/* Errors that pass are not seen. */
static void test_retry(void)
{
	begin(FAILURE_POISON, 20000, false);
	atomic_store(&r.fake->error, -ECONNRESET);
	atomic_store(&r.fake->fail, 4);
	check(0);
	CHECK(atomic_load(&r.fake->of_chunk[0]) == 5);
	CHECK(atomic_load(&r.fake->repairs) > 0);
	CHECK(atomic_load(&engine_shared(r.e)->source[0].retries) == 4);
	CHECK(atomic_load(&engine_shared(r.e)->source[0].healthy) == 1);
	rig_end(&r);
}

/* Those that do not are told at once, of the page only. */
static void test_poison(void)
{
	begin(FAILURE_POISON, 20000, false);
	atomic_store(&r.fake->error, -EBADMSG);
	atomic_store(&r.fake->fail, -1);
	CHECK(touch(5) == 1);
	atomic_store(&r.fake->fail, 0);
	check(6);
	check(4);
	CHECK(rig_count(&r, GUEST_POISONED) == 1 && rig_count(&r, GUEST_FAILED) == 1);
	CHECK(touch(5) == 1);
	rig_end(&r);
}

static void test_deadline(void)
{
	uint64_t begun;

	begin(FAILURE_POISON, 300, false);
	atomic_store(&r.fake->error, -EIO);
	atomic_store(&r.fake->fail, -1);
	begun = rig_ms();
	CHECK(touch(5) == 1);
	if (rig_ms() - begun > 20)
		CHECK(rig_ms() - begun >= 290);
	atomic_store(&r.fake->fail, 0);
	/* No answer at all. */
	atomic_store(&r.fake->hold, true);
	begun = rig_ms();
	CHECK(touch(50) == 1);
	CHECK(rig_ms() - begun >= 290 && rig_ms() - begun < 5000);
	atomic_store(&r.fake->hold, false);
	fake_kick(r.fake);
	check(51);
	rig_end(&r);
}

static void test_kill(void)
{
	begin(FAILURE_KILL, 300, false);
	atomic_store(&r.fake->error, -EBADMSG);
	atomic_store(&r.fake->fail, -1);
	struct toucher t;

	close(r.uffd);
	r.uffd = -1;
	touch_begin(&t, r.mem);
	rig_until(__atomic_load_n(&r.ended, __ATOMIC_SEQ_CST) == GUEST_GIVEN_UP);
	CHECK(r.given_up == 1);
	touch_end(&t); /* the end of its userfaultfd lets it go */
	rig_end(&r);
}

/* It waits for as long as it takes. */
static void test_wait(void)
{
	struct toucher t;

	begin(FAILURE_WAIT, 100, false);
	atomic_store(&r.fake->error, -EBADMSG);
	atomic_store(&r.fake->fail, -1);
	touch_begin(&t, r.mem + 8 * PAGE + 8);
	rig_until(atomic_load(&r.fake->fetches) > 6);
	CHECK(!t.done);
	atomic_store(&r.fake->fail, 0);
	touch_end(&t);
	check(8);
	rig_end(&r);
}

/* What was peeked at went away between the look and the fill: it is fetched. */
static void test_truncated(void)
{
	begin(FAILURE_POISON, 1000, true);
	check(0);
	atomic_store(&r.fake->vanished, true);
	check(100);
	CHECK(atomic_load(&r.fake->fetches) == 1);
	atomic_store(&r.fake->error, -ENODATA);
	atomic_store(&r.fake->fail, -1);
	CHECK(touch(200) == 1);
	rig_end(&r);
}

/* One fetch for all threads and guests that want it. */
#define GUESTS 8
static void *attach_more(void *arg)
{
	struct rig *more = arg;

	CHECK(!guest_attach(r.e, &more->config, &more->g, more->why, sizeof(more->why)));
	return NULL;
}

static void attach_call(void *arg)
{
	attach_more(arg);
}

static void test_joined(void)
{
	struct rig more[GUESTS];
	struct toucher t[GUESTS][4];

	begin(FAILURE_POISON, 20000, false);
	atomic_store(&r.fake->hold, true);
	for (unsigned i = 0; i < GUESTS; i++) {
		struct rig *m = &more[i];

		rig_init(m, r.fake, PAGES * PAGE);
		m->mem = mmap(NULL, m->len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		m->config.uffd = rig_uffd(0);
		rig_register(m->config.uffd, m->mem, m->len, UF_REGISTER_MODE_MISSING);
		m->region[0] = (struct guest_region){
			.addr = (uintptr_t)m->mem, .size = m->len, .page_size = PAGE};
		m->config.region = m->region;
		m->config.nregions = 1;
		m->config.source = &r.fake->s;
		rig_call(&r, attach_call, m);
		for (unsigned j = 0; j < 4; j++)
			touch_begin(&t[i][j], m->mem + (16 + j) * PAGE);
	}
	for (unsigned i = 0; i < GUESTS; i++)
		rig_until(atomic_load(&guest_shared(more[i].g)->waiting) == 4);
	CHECK(atomic_load(&r.fake->fetches) == 1);
	atomic_store(&r.fake->hold, false);
	fake_kick(r.fake);
	for (unsigned i = 0; i < GUESTS; i++) {
		for (unsigned j = 0; j < 4; j++) {
			touch_end(&t[i][j]);
			CHECK(!fake_check(r.fake, (16 + j) * PAGE, more[i].mem + (16 + j) * PAGE));
		}
		CHECK(rig_count(&more[i], GUEST_FAULTS) == 4);
		CHECK(rig_count(&more[i], GUEST_FAULTS_JOINED) == 3);
		rig_until(rig_count(&more[i], GUEST_FILLED_DEMAND) == 4);
		CHECK(atomic_load(&guest_shared(more[i].g)->latency.count) == 4);
		rig_until(atomic_load(&guest_shared(more[i].g)->waiting) == 0);
	}
	CHECK(atomic_load(&r.fake->fetches) == 1);
	rig_end(&r);
	for (unsigned i = 0; i < GUESTS; i++)
		munmap(more[i].mem, PAGES * PAGE);
}

/* A second guest has it from the cache. */
static void test_cache(void)
{
	for (unsigned cached = 0; cached < 2; cached++) {
		rig_init(&r, fake_new(PAGES * PAGE, 16384, false), PAGES * PAGE);
		r.options.cache = cached ? PAGES * PAGE / 2 : 0;
		r.options.near = 1;
		rig_begin(&r);
		for (size_t i = 0; i < PAGES / 2; i++)
			check(i);
		CHECK(atomic_load(&r.fake->fetches) == (cached ? PAGES / 8 : PAGES / 2));
		rig_until(atomic_load(&engine_shared(r.e)->cache_bytes) ==
			  (cached ? PAGES * PAGE / 2 : 0));
		for (size_t i = PAGES / 2; i < PAGES; i++)
			check(i);
		CHECK(atomic_load(&engine_shared(r.e)->cache_bytes) <= PAGES * PAGE / 2);
		rig_end(&r);
	}
}

/* Not more than is allowed is under way, and faults come before prefetch. */
static void test_in_flight(void)
{
	struct toucher t;

	rig_init(&r, fake_new(PAGES * PAGE, 16384, false), PAGES * PAGE);
	r.options.in_flight = 4 * 16384;
	r.config.no_prefetch = false;
	atomic_store(&r.fake->hold, true);
	rig_begin(&r);
	rig_until(atomic_load(&engine_shared(r.e)->in_flight_bytes) == 4 * 16384);
	touch_begin(&t, r.mem + 200 * PAGE);
	rig_until(atomic_load(&r.fake->of_chunk[50]) == 1);
	rig_until(atomic_load(&engine_shared(r.e)->in_flight_bytes) == 5 * 16384);
	CHECK(atomic_load(&r.fake->fetches) == 5);
	atomic_store(&r.fake->hold, false);
	fake_kick(r.fake);
	touch_end(&t);
	for (size_t i = 0; i < PAGES; i++)
		check(i);
	rig_end(&r);
}

int main(void)
{
	struct sigaction on = {.sa_handler = on_sigbus};

	rig_need_uffd();
	CHECK(!sigaction(SIGBUS, &on, NULL));
	test_retry();
	test_poison();
	test_deadline();
	test_kill();
	test_wait();
	test_truncated();
	test_joined();
	test_cache();
	test_in_flight();
	return 0;
}
