/*
 * follow-events.c - what a guest does with its memory while it is served: gives pages back, unmaps,
 * moves, forks; also in the middle of a fetch.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 512
#define ALL   (UF_FEATURE_EVENT_REMOVE | UF_FEATURE_EVENT_UNMAP | UF_FEATURE_EVENT_REMAP)

static struct rig r;
static const char zeros[PAGE];

static void begin(uint64_t features, bool peek)
{
	rig_init(&r, fake_new(PAGES * PAGE, 16384, peek), PAGES * PAGE);
	r.features = features;
	r.options.near = 1;
	rig_begin(&r);
}

static void check(size_t page)
{
	CHECK(!fake_check(r.fake, page * PAGE, r.mem + page * PAGE));
}

static void *dontneed(void *arg)
{
	CHECK(!madvise(arg, PAGE, MADV_DONTNEED));
	return NULL;
}

/* A page that was removed is zero, whatever was under way for it. */
static void test_remove(void)
{
	struct toucher t;
	pthread_t other;

	begin(ALL, false);
	check(3);
	CHECK(!madvise(r.mem, 8 * PAGE, MADV_DONTNEED));
	for (size_t i = 0; i < 8; i++)
		CHECK(!memcmp(r.mem + i * PAGE, zeros, PAGE));
	r.mem[5 * PAGE] = 7;
	CHECK(!madvise(r.mem + 5 * PAGE, PAGE, MADV_DONTNEED));
	CHECK(r.mem[5 * PAGE] == 0);
	check(8);

	/* In the middle of a fetch. */
	atomic_store(&r.fake->hold, true);
	touch_begin(&t, r.mem + 100 * PAGE + 8);
	rig_until(atomic_load(&guest_shared(r.g)->in_flight) > 0);
	CHECK(!pthread_create(&other, NULL, dontneed, r.mem + 100 * PAGE));
	pthread_join(other, NULL);
	touch_end(&t);
	CHECK(t.value == 0);
	atomic_store(&r.fake->hold, false);
	fake_kick(r.fake);
	check(101);
	CHECK(!memcmp(r.mem + 100 * PAGE, zeros, PAGE));
	CHECK(rig_count(&r, GUEST_REMOVED) == 10);
	rig_end(&r);
}

static atomic_bool stop;

static void *storm(void *arg)
{
	unsigned long n = 0;

	while (!atomic_load(&stop)) {
		char *page = (char *)arg + n++ % 64 * PAGE;

		CHECK(!madvise(page, PAGE, MADV_DONTNEED));
		CHECK(*(volatile char *)(page + 16) == 0);
	}
	return NULL;
}

/* Fills and events cross all the time: EAGAIN. */
static void test_storm(bool peek)
{
	pthread_t t[2];

	begin(ALL, peek);
	CHECK(!madvise(r.mem, 128 * PAGE, MADV_DONTNEED));
	atomic_store(&stop, false);
	CHECK(!pthread_create(&t[0], NULL, storm, r.mem));
	CHECK(!pthread_create(&t[1], NULL, storm, r.mem + 64 * PAGE));
	for (size_t i = 128; i < PAGES; i++)
		check(i);
	rig_until(rig_count(&r, GUEST_EVENTS) > 2000);
	atomic_store(&stop, true);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	for (size_t i = 0; i < 128; i++)
		CHECK(!memcmp(r.mem + i * PAGE, zeros, PAGE));
	fprintf(stderr, "storm: %llu events, %llu fills put off\n",
		(unsigned long long)rig_count(&r, GUEST_EVENTS),
		(unsigned long long)rig_count(&r, GUEST_AGAIN));
	rig_end(&r);
}

static void test_unmap(void)
{
	struct toucher t;

	begin(ALL, false);
	atomic_store(&r.fake->hold, true);
	touch_begin(&t, r.mem + 10 * PAGE + 8);
	rig_until(atomic_load(&guest_shared(r.g)->in_flight) > 0);
	CHECK(!munmap(r.mem + 40 * PAGE, 20 * PAGE));
	atomic_store(&r.fake->hold, false);
	fake_kick(r.fake);
	touch_end(&t);
	for (size_t i = 0; i < PAGES; i++) {
		if (i < 40 || i >= 60)
			check(i);
	}
	CHECK(guest_shared(r.g)->nregions == 2);
	CHECK(!munmap(r.mem, PAGES * PAGE));
	rig_until(__atomic_load_n(&r.ended, __ATOMIC_SEQ_CST) == GUEST_UNMAPPED);
	rig_end(&r);
}

static void test_remap(void)
{
	char *to = mmap(NULL, 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct toucher t;

	begin(ALL, false);
	check(100);
	r.mem[100 * PAGE] = 1;
	CHECK(mremap(r.mem + 80 * PAGE, 64 * PAGE, 64 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) ==
	      to);
	CHECK(to[20 * PAGE] == 1);
	for (size_t i = 0; i < 64; i++) {
		if (i != 20)
			CHECK(!fake_check(r.fake, (80 + i) * PAGE, to + i * PAGE));
	}
	for (size_t i = 0; i < PAGES; i++) {
		if (i < 80 || i >= 144)
			check(i);
	}
	/* Back, with one of its pages in the middle of a fetch. */
	CHECK(!madvise(to, PAGE, MADV_DONTNEED));
	CHECK(mremap(to, 64 * PAGE, 64 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, r.mem + 80 * PAGE) ==
	      r.mem + 80 * PAGE);
	CHECK(!memcmp(r.mem + 80 * PAGE, zeros, PAGE));
	CHECK(guest_shared(r.g)->nregions == 3);
	CHECK(!munmap(r.mem, 80 * PAGE));
	touch_begin(&t, r.mem + 200 * PAGE);
	touch_end(&t);
	rig_end(&r);
}

/* Moved while its contents are on their way. */
static void test_remap_fetching(void)
{
	char *to = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	begin(ALL, false);
	atomic_store(&r.fake->hold, true);
	/* Without a waiter at the old place: MADV_POPULATE_READ would be one. */
	r.options.near = 4;
	struct toucher t;
	touch_begin(&t, r.mem + 4 * PAGE + 8);
	rig_until(atomic_load(&guest_shared(r.g)->in_flight) > 0);
	CHECK(mremap(r.mem + 8 * PAGE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) ==
	      to);
	atomic_store(&r.fake->hold, false);
	fake_kick(r.fake);
	touch_end(&t);
	for (size_t i = 0; i < 4; i++)
		CHECK(!fake_check(r.fake, (8 + i) * PAGE, to + i * PAGE));
	munmap(to, 4 * PAGE);
	rig_end(&r);
}

static void test_fork(void)
{
	int status;
	pid_t pid;

	begin(ALL | UF_FEATURE_EVENT_FORK, false);
	check(1);
	CHECK(!madvise(r.mem + 2 * PAGE, PAGE, MADV_DONTNEED));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		for (size_t i = 0; i < PAGES; i++) {
			if (i != 2 && fake_check(r.fake, i * PAGE, r.mem + i * PAGE))
				_exit(1);
		}
		_exit(memcmp(r.mem + 2 * PAGE, zeros, PAGE) ? 2 : 0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK(__atomic_load_n(&r.forks, __ATOMIC_SEQ_CST) == 1);
	for (size_t i = 0; i < PAGES; i++) {
		if (i != 2)
			check(i);
	}
	rig_end(&r);
}

/* Memory that went away, and nobody said so. */
static void test_vanished(bool peek)
{
	begin(0, peek);
	CHECK(!munmap(r.mem + 100 * PAGE, 10 * PAGE));
	rig_end(&r);

	rig_init(&r, fake_new(PAGES * PAGE, 65536, peek), PAGES * PAGE);
	r.mem = mmap(NULL, r.len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(!munmap(r.mem + 100 * PAGE, 10 * PAGE));
	r.config.no_prefetch = false;
	rig_begin(&r);
	rig_until(atomic_load(&guest_shared(r.g)->ahead_done) >= PAGES * PAGE);
	rig_until(rig_count(&r, GUEST_FILLED_AHEAD) + rig_count(&r, GUEST_FILLED_DEMAND) +
			  rig_count(&r, GUEST_FILLED_NEAR) ==
		  PAGES - 10);
	for (size_t i = 0; i < PAGES; i++) {
		if (i < 100 || i >= 110)
			check(i);
	}
	rig_end(&r);
}

/* A page that is there already is left as it is. */
static void test_exists(bool peek)
{
	char page[PAGE];

	rig_init(&r, fake_new(PAGES * PAGE, 65536, peek), PAGES * PAGE);
	r.mem = mmap(NULL, r.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(page, 0x5a, sizeof(page));
	for (size_t i = 0; i < PAGES; i += 7)
		memcpy(r.mem + i * PAGE, page, PAGE);
	r.config.no_prefetch = false;
	rig_begin(&r);
	for (size_t i = 0; i < PAGES; i++) {
		if (i % 7)
			check(i);
		else
			CHECK(!memcmp(r.mem + i * PAGE, page, PAGE));
	}
	rig_until(rig_count(&r, GUEST_EXISTED) == (PAGES + 6) / 7);
	rig_end(&r);
}

/* A process that is killed with fetches under way. */
static void test_death(bool pidfd)
{
	int up[2], status;
	char *mem = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct rig other;
	pid_t pid;
	int fd;

	CHECK(!pipe(up));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		fd = rig_uffd(ALL);
		rig_register(fd, mem, PAGES * PAGE, UF_REGISTER_MODE_MISSING);
		CHECK(write(up[1], &fd, sizeof(fd)) == sizeof(fd));
		_exit(*(volatile char *)(mem + 8));
	}
	CHECK(read(up[0], &fd, sizeof(fd)) == sizeof(fd));
	rig_init(&other, fake_new(PAGES * PAGE, 65536, false), PAGES * PAGE);
	atomic_store(&other.fake->hold, true);
	CHECK(!engine_new(&other.options, &other.e));
	int p = (int)syscall(SYS_pidfd_open, pid, 0);
	CHECK(p >= 0);
	other.config.uffd = (int)syscall(SYS_pidfd_getfd, p, fd, 0);
	CHECK(other.config.uffd >= 0);
	other.config.pidfd = pidfd ? dup(p) : -1;
	other.config.source = &other.fake->s;
	other.region[0] = (struct guest_region){
		.addr = (uintptr_t)mem, .size = PAGES * PAGE, .page_size = PAGE};
	other.config.region = other.region;
	other.config.nregions = 1;
	other.config.no_prefetch = false;
	CHECK(!engine_add_source(other.e, &other.fake->s));
	CHECK(!guest_attach(other.e, &other.config, &other.g, other.why, sizeof(other.why)));
	CHECK(!pthread_create(&other.thread, NULL, rig_main, &other));
	rig_until(atomic_load(&engine_shared(other.e)->in_flight_bytes) > 0);
	CHECK(!kill(pid, 9));
	CHECK(waitpid(pid, &status, 0) == pid);
	atomic_store(&other.fake->hold, false);
	fake_kick(other.fake);
	rig_until(__atomic_load_n(&other.ended, __ATOMIC_SEQ_CST) == GUEST_EXITED);
	engine_stop(other.e);
	pthread_join(other.thread, NULL);
	CHECK(atomic_load(&engine_shared(other.e)->in_flight_bytes) == 0 ||
	      atomic_load(&other.fake->fetches) != atomic_load(&other.fake->answered));
	engine_free(other.e);
	close(p);
	close(up[0]);
	close(up[1]);
	munmap(mem, PAGES * PAGE);
}

/* Memory that is registered but in none of the regions is zero. */
static void test_stray(void)
{
	rig_init(&r, fake_new(PAGES * PAGE, 65536, true), PAGES * PAGE);
	rig_begin(&r);
	char *more = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	rig_register(r.uffd, more, 4 * PAGE, UF_REGISTER_MODE_MISSING);
	CHECK(!memcmp(more + PAGE, zeros, PAGE));
	rig_end(&r);
	munmap(more, 4 * PAGE);
}

int main(void)
{
	rig_need_uffd();
	test_remove();
	test_storm(false);
	test_storm(true);
	test_unmap();
	test_remap();
	test_remap_fetching();
	if (!geteuid())
		test_fork();
	test_vanished(false);
	test_vanished(true);
	test_exists(false);
	test_exists(true);
	test_death(true);
	test_death(false);
	test_stray();
	return 0;
}
