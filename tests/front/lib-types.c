/* SPDX-License-Identifier: MIT */
/* Memory whose pages the program makes, saves and forgets; functions that fail; limits. */
#include "lib.h"

#include <sys/wait.h>

#define PAGES 64

/* ---- A type that keeps its pages in a table of its own ---- */

static struct store {
	char saved[PAGES][PG];
	bool has[PAGES];
	/* Accesses to the memory change these, which the compiler does not see. */
	volatile unsigned inside; /* functions of it that run now */
	volatile unsigned fetches, saves, drops;
	bool only_saved; /* nobody may ask for a page that it does not have */
	volatile ssize_t fetch_answer, save_answer; /* instead of doing it, if not 0 */
} store;

static void enter(struct store *s)
{
	EQ(__atomic_fetch_add(&s->inside, 1, __ATOMIC_SEQ_CST), 0);
}

static void leave(struct store *s)
{
	__atomic_fetch_sub(&s->inside, 1, __ATOMIC_SEQ_CST);
}

/* What a page of the computed type holds, and a new one of the stored type. */
static void compute(uint64_t page, char *buf)
{
	for (size_t i = 0; i < PG; i++)
		buf[i] = (char)(page * 31 + i * 7 + 1);
}

static ssize_t fetch(void *arg, uint64_t page, void *buf, size_t size)
{
	struct store *s = arg;

	enter(s);
	errno = ENOTTY;
	EQ(size, PG);
	CHECK(page < PAGES);
	s->fetches++;
	CHECK(s->has[page] || !s->only_saved);
	if (s->has[page])
		memcpy(buf, s->saved[page], PG);
	else
		compute(page, buf);
	leave(s);
	return s->fetch_answer ? s->fetch_answer : (ssize_t)PG;
}

static ssize_t save(void *arg, uint64_t page, const void *buf, size_t size)
{
	struct store *s = arg;

	enter(s);
	EQ(size, PG);
	CHECK(page < PAGES);
	s->saves++;
	if (!s->save_answer) {
		memcpy(s->saved[page], buf, PG);
		s->has[page] = true;
	}
	leave(s);
	return s->save_answer ? s->save_answer : (ssize_t)PG;
}

static void drop(void *arg, uint64_t page, uint64_t n)
{
	struct store *s = arg;

	enter(s);
	CHECK(page + n <= PAGES);
	s->drops += (unsigned)n;
	memset(s->has + page, 0, n * sizeof(s->has[0]));
	leave(s);
}

static const struct uf_type computed = {.name = "computed", .fetch = fetch};
static const struct uf_type stored = {
	.name = "stored", .fetch = fetch, .writeback = save, .drop = drop};
static const struct uf_type empty = {
	.name = "empty", .flags = UF_TYPE_EMPTY, .fetch = fetch, .writeback = save, .drop = drop};

static volatile char *make(const struct uf_type *type, size_t pages, int prot)
{
	int error = 1;
	char *p;

	memset(&store, 0, sizeof(store));
	p = uf_type_map(type, &store, NULL, pages * PG, prot, &error);
	EQ(error, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static struct uf_type_stats stats_of(volatile char *p)
{
	struct uf_type_stats stats;

	EQ(uf_type_get_stats((void *)p, &stats), 0);
	return stats;
}

static char expect(uint64_t page, size_t at)
{
	char buf[PG];

	compute(page, buf);
	return buf[at];
}

static bool resident(volatile char *p)
{
	unsigned before = store.fetches;

	(void)*p;
	return store.fetches == before;
}

/* ---- The tests ---- */

static void wrong_uses(void)
{
	struct uf_type bad = stored;
	struct uf_type_stats stats;
	int error = 0;
	char *p = map(1);

	CHECK(uf_type_map(NULL, NULL, NULL, PG, PROT_READ, &error) == MAP_FAILED);
	EQ(error, -EINVAL);
	CHECK(uf_type_map(&stored, NULL, NULL, 0, PROT_READ, &error) == MAP_FAILED);
	EQ(error, -EINVAL);
	bad.fetch = NULL;
	CHECK(uf_type_map(&bad, NULL, NULL, PG, PROT_READ, &error) == MAP_FAILED);
	EQ(error, -EINVAL);
	bad = stored;
	bad.flags = 64;
	CHECK(uf_type_map(&bad, NULL, NULL, PG, PROT_READ, NULL) == MAP_FAILED);
	EQ(uf_type_get_stats(p, &stats), -ENOENT);
	EQ(uf_type_get_stats(NULL, &stats), -ENOENT);
}

static void on_demand(void)
{
	volatile char *p = make(&computed, PAGES, PROT_READ | PROT_WRITE), *q;
	int error;

	ERRNO = 0;
	for (uint64_t i = 0; i < 8; i++)
		EQ(p[i * 3 * PG + i], expect(i * 3, i));
	EQ(ERRNO, 0);
	EQ(store.fetches, 8);
	EQ(stats_of(p).fetched, 8);
	/* A write finds the page's contents, too. */
	p[PG] = 99;
	EQ(p[PG + 1], expect(1, 1));
	/* What was computed can go, and comes again; what was changed has nowhere to go. */
	EQ(uf_madvise((void *)p, PAGES * PG, MADV_PAGEOUT), 0);
	EQ(p[PG], 99);
	CHECK(!resident(p + 3 * PG));
	EQ(p[3 * PG + 1], expect(3, 1));
	EQ(uf_madvise((void *)p, PAGES * PG, MADV_DONTNEED), 0);
	EQ(p[PG], expect(1, 0));
	EQ(uf_mprotect((void *)p, PG, PROT_NONE), 0);
	EQ(try_read(p), SIGSEGV);
	EQ(uf_mprotect((void *)p, PG, PROT_READ), 0);
	EQ(p[2], expect(0, 2));
	/* Its pages keep their numbers when it moves, and go on when it grows. */
	EQ(uf_munmap((void *)(p + 32 * PG), 32 * PG), 0);
	q = uf_mremap((void *)(p + 8 * PG), 24 * PG, 40 * PG, MREMAP_MAYMOVE, NULL, &error);
	EQ(error, 0);
	EQ(q[5 * PG + 7], expect(13, 7));
	EQ(q[39 * PG + 7], expect(47, 7));
	EQ(uf_munmap((void *)q, 40 * PG), 0);
	EQ(uf_munmap((void *)p, 8 * PG), 0);
}

static void leave_and_return(void)
{
	volatile char *p = make(&stored, PAGES, PROT_READ | PROT_WRITE);
	struct uf_type_stats stats;

	for (size_t i = 0; i < PAGES; i++)
		p[i * PG + 1] = (char)i;
	EQ(uf_madvise((void *)p, PAGES * PG, MADV_PAGEOUT), 0);
	EQ(store.saves, PAGES);
	store.fetches = 0;
	for (size_t i = 0; i < PAGES; i++) {
		EQ(p[i * PG + 1], i);
		EQ(p[i * PG + 2], expect(i, 2));
	}
	EQ(store.fetches, PAGES);
	stats = stats_of(p);
	EQ(stats.saved, PAGES);
	EQ(stats.fetched, 2 * PAGES);
	EQ(stats.errors, 0);
	EQ(uf_madvise((void *)(p + PG), PG, MADV_DONTNEED), 0);
	EQ(store.drops, 1);
	EQ(p[PG + 1], expect(1, 1));
	EQ(uf_munmap((void *)p, PAGES * PG), 0);
	EQ(store.drops, PAGES + 1);
	for (size_t i = 0; i < PAGES; i++)
		EQ(store.has[i], false);
}

static void begins_empty(void)
{
	volatile char *p = make(&empty, PAGES, PROT_READ | PROT_WRITE);

	EQ(p[PG], 0);
	p[2 * PG] = 1;
	EQ(store.fetches, 0);
	EQ(uf_madvise((void *)p, PAGES * PG, MADV_PAGEOUT), 0);
	EQ(store.saves, 2);
	EQ(p[2 * PG], 1);
	EQ(store.fetches, 1);
	EQ(p[3 * PG], 0);
	EQ(store.fetches, 1);
	EQ(uf_madvise((void *)p, PAGES * PG, MADV_DONTNEED), 0);
	EQ(p[2 * PG], 0);
	EQ(store.fetches, 1);
	EQ(uf_munmap((void *)p, PAGES * PG), 0);
}

static void failures(void)
{
	volatile char *p = make(&stored, PAGES, PROT_READ | PROT_WRITE);
	struct uf_type_stats stats;

	store.fetch_answer = -ENXIO;
	EQ(try_read(p), SIGBUS);
	stats = stats_of(p);
	EQ(stats.errors, 1);
	EQ(stats.short_pages, 0);
	EQ(stats.last_error, -ENXIO);
	EQ(stats.fetched, 0);
	store.fetch_answer = PG - 1;
	EQ(try_read(p), SIGBUS);
	stats = stats_of(p);
	EQ(stats.errors, 2);
	EQ(stats.short_pages, 1);
	EQ(stats.last_error, -EIO);
	store.fetch_answer = 2 * PG;
	EQ(try_read(p), SIGBUS);
	store.fetch_answer = 0;
	EQ(p[5], expect(0, 5));

	/* What cannot be saved stays, with what was written to it. */
	p[5] = 55;
	store.save_answer = -ENOSPC;
	(void)uf_madvise((void *)p, PG, MADV_PAGEOUT);
	EQ(store.saves, 1);
	EQ(stats_of(p).last_error, -ENOSPC);
	CHECK(resident(p));
	EQ(p[5], 55);
	store.save_answer = 17;
	(void)uf_madvise((void *)p, PG, MADV_PAGEOUT);
	EQ(store.saves, 2);
	EQ(stats_of(p).last_error, -EIO);
	EQ(p[5], 55);
	EQ(stats_of(p).saved, 0);
	store.save_answer = 0;
	EQ(uf_madvise((void *)p, PG, MADV_PAGEOUT), 0);
	EQ(stats_of(p).saved, 1);
	/* It left, and cannot be had back now: nothing is lost. */
	store.fetch_answer = -EIO;
	EQ(try_read(p), SIGBUS);
	store.fetch_answer = 0;
	EQ(p[5], 55);
	EQ(uf_munmap((void *)p, PAGES * PG), 0);
}

static void limited(void)
{
	volatile char *p = make(&stored, PAGES, PROT_READ | PROT_WRITE);
	static char model[PAGES];
	unsigned seed = 7;

	EQ(uf_limit((void *)p, PAGES * PG + PG, PG), -EINVAL);
	EQ(uf_limit((void *)(p + 1), PG, PG), -EINVAL);
	/* Still one mapping when parts of it differ. */
	EQ(uf_mprotect((void *)p, PG, PROT_READ), 0);
	EQ(uf_limit((void *)p, PAGES * PG, 8 * PG), 0);
	EQ(uf_mprotect((void *)p, PG, PROT_READ | PROT_WRITE), 0);
	EQ(uf_limit((void *)p, PAGES * PG, 8 * PG), 0);
	for (size_t i = 0; i < PAGES; i++)
		model[i] = expect(i, 3);
	for (int i = 0; i < 20000; i++) {
		size_t page = (seed = seed * 1103515245 + 12345) / 65536 % PAGES;

		EQ(p[page * PG + 3], model[page]);
		if (seed / 1024 % 3 == 0)
			p[page * PG + 3] = model[page] = (char)i;
	}
	CHECK(store.saves > 100);
	CHECK(store.fetches > 1000);
	/* The limit held: no more were in memory than it lets. */
	EQ(uf_madvise((void *)p, PAGES * PG, MADV_PAGEOUT), 0);
	EQ(uf_limit((void *)p, PAGES * PG, 0), 0);
	store.fetches = 0;
	for (size_t i = 0; i < PAGES; i++)
		EQ(p[i * PG + 3], model[i]);
	EQ(store.fetches, PAGES);
	EQ(uf_limit((void *)p, PAGES * PG, 20 * PG), 0);
	EQ(uf_madvise((void *)p, PAGES * PG, MADV_PAGEOUT), 0);
	for (size_t i = 0; i < PAGES; i++)
		EQ(p[i * PG + 3], model[i]);
	/* Nowhere to go: what exists comes back all the same. */
	store.save_answer = -ENOSPC;
	for (size_t i = 0; i < PAGES; i++)
		EQ(p[i * PG + 3], model[i]);
	CHECK(stats_of(p).errors > 0);
	store.save_answer = 0;
	for (size_t i = 0; i < PAGES; i++)
		EQ(p[i * PG + 3], model[i]);
	EQ(uf_munmap((void *)p, PAGES * PG), 0);
	EQ(uf_limit((void *)p, PAGES * PG, PG), -ENOENT);
}

/* Nowhere to go: no page is made beyond the limit, and none is lost. */
static void refused(void)
{
	volatile char *p = make(&empty, PAGES, PROT_READ | PROT_WRITE);
	volatile size_t i;

	EQ(uf_limit((void *)p, PAGES * PG, 20 * PG), 0);
	store.save_answer = -ENOSPC;
	for (i = 0; i < PAGES; i++) {
		if (try_read(p + i * PG) == SIGBUS)
			break;
		p[i * PG] = (char)(i + 1);
	}
	EQ(i, 20);
	EQ(uf_mcopy_atomic((void *)(p + i * PG), &store, PG), -ENOMEM);
	CHECK(stats_of(p).errors > 0);
	for (i = 0; i < 20; i++)
		EQ(p[i * PG], i + 1);
	store.save_answer = 0;
	EQ(p[20 * PG], 0);
	for (i = 0; i < 20; i++)
		EQ(p[i * PG], i + 1);
	EQ(uf_munmap((void *)p, PAGES * PG), 0);
}

/* ---- Beside handlers and threads ---- */

static volatile unsigned calls;
static struct uf_handler *handler;

static int on_fault(const struct uf_fault *fault, void *arg)
{
	char page[PG];

	(void)arg;
	calls++;
	if (fault->flags & UF_PAGEFAULT_FLAG_WP)
		return uf_write_protect(handler, (void *)fault->page, PG, 0);
	memset(page, 5, PG);
	return uf_fill_copy(handler, (void *)fault->page, page, PG) == PG ? 0 : -EIO;
}

static void registered(void)
{
	volatile char *p = make(&stored, 4, PROT_READ | PROT_WRITE);

	EQ(uf_handle((void *)p, 4 * PG, UF_REGISTER_MODE_MINOR, on_fault, NULL, &handler), -EINVAL);
	/* No page of it is ever missing. */
	EQ(uf_handle((void *)p, 4 * PG, UF_REGISTER_MODE_MISSING | UF_REGISTER_MODE_WP, on_fault,
		     NULL, &handler),
	   0);
	EQ(p[9], expect(0, 9));
	EQ(calls, 0);
	EQ(uf_fill_zero(handler, (void *)(p + PG), PG), -EEXIST);
	EQ(uf_mcopy_atomic((void *)(p + PG), &store, PG), -EEXIST);
	EQ(uf_write_protect(handler, (void *)p, 2 * PG, 1), 0);
	/* One that was never in memory is as well protected. */
	EQ(p[PG + 9], expect(1, 9));
	EQ(calls, 0);
	p[PG + 9] = 1;
	EQ(calls, 1);
	EQ(p[PG + 8], expect(1, 8));
	calls = 0;
	/* The mark stays when the page leaves and returns. */
	EQ(uf_madvise((void *)p, PG, MADV_PAGEOUT), 0);
	EQ(store.saves, 1);
	EQ(p[9], expect(0, 9));
	EQ(calls, 0);
	p[9] = 1;
	EQ(calls, 1);
	EQ(p[9], 1);
	EQ(uf_unhandle(handler), 0);
	EQ(uf_munmap((void *)p, 4 * PG), 0);

	p = make(&empty, 4, PROT_READ | PROT_WRITE);
	calls = 0;
	EQ(uf_handle((void *)p, 4 * PG, UF_REGISTER_MODE_MISSING, on_fault, NULL, &handler), 0);
	EQ(p[PG], 5);
	EQ(calls, 1);
	EQ(uf_madvise((void *)p, 4 * PG, MADV_PAGEOUT), 0);
	EQ(store.saves, 1);
	EQ(p[PG], 5);
	EQ(store.fetches, 1);
	EQ(calls, 1);
	EQ(uf_unhandle(handler), 0);
	EQ(uf_munmap((void *)p, 4 * PG), 0);
}

/* Its pages can be given away where that is asked for; then they are made again. */
static void moved(void)
{
	volatile char *p = make(&computed, 4, PROT_READ | PROT_WRITE), *to = map(4);

	p[PG] = 77;
	EQ(uf_remap_pages((void *)to, (void *)(p + PG), PG), -EINVAL);
	EQ(uf_configure(UF_MOVE_ANY), 0);
	EQ(uf_remap_pages((void *)to, (void *)(p + PG), PG), PG);
	EQ(to[0], 77);
	EQ(to[1], expect(1, 1));
	EQ(p[PG], expect(1, 0));
	/* And never to where a page is. */
	EQ(uf_remap_pages((void *)p, (void *)to, PG), -EEXIST);
	EQ(uf_configure(0), 0);
	EQ(uf_munmap((void *)p, 4 * PG), 0);
	EQ(uf_munmap((void *)to, 4 * PG), 0);
}

static volatile char *shared;

/* Each thread has its own byte of every page. */
static void *writer(void *arg)
{
	size_t me = (uintptr_t)arg;
	unsigned seed = (unsigned)me;
	char mine[PAGES] = {0};

	for (int i = 0; i < 4000; i++) {
		size_t page = (seed = seed * 1103515245 + 12345) / 65536 % PAGES;

		EQ(shared[page * PG + me], mine[page]);
		shared[page * PG + me] = mine[page] = (char)i;
		if (i % 64 == 0)
			EQ(uf_madvise((void *)(shared + page * PG), PG, MADV_PAGEOUT), 0);
	}
	return NULL;
}

/* Each thread has its own pages, which it also throws away; any page may be sent out by any. */
static void *discarder(void *arg)
{
	size_t me = (uintptr_t)arg;
	unsigned seed = (unsigned)me + 99;
	char mine[PAGES] = {0};

	for (int i = 0; i < 4000; i++) {
		size_t any = (seed = seed * 1103515245 + 12345) / 65536 % PAGES;
		size_t page = any / 4 * 4 + me;

		EQ(shared[page * PG + 7], mine[page]);
		switch (seed / 1024 % 4) {
		case 0:
			EQ(uf_madvise((void *)(shared + page * PG), PG, MADV_DONTNEED), 0);
			mine[page] = 0;
			break;
		case 1:
			EQ(uf_madvise((void *)(shared + any * PG), PG, MADV_PAGEOUT), 0);
			break;
		default:
			shared[page * PG + 7] = mine[page] = (char)i;
		}
	}
	return NULL;
}

/* All on the same few pages: what leaves while it is thrown away is not forgotten. */
static void *fighter(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg + 7;

	for (int i = 0; i < 10000; i++) {
		volatile char *page = shared + (seed = seed * 1103515245 + 12345) / 65536 % 3 * PG;

		switch (seed / 1024 % 4) {
		case 0:
			EQ(uf_madvise((void *)page, PG, MADV_DONTNEED), 0);
			break;
		case 1:
			EQ(uf_madvise((void *)page, PG, MADV_PAGEOUT), 0);
			break;
		default:
			page[i % PG] = 1;
		}
	}
	return NULL;
}

static void threads(void *(*run)(void *))
{
	pthread_t thread[4];

	shared = make(&empty, PAGES, PROT_READ | PROT_WRITE);
	store.only_saved = true;
	EQ(uf_limit((void *)shared, PAGES * PG, 16 * PG), 0);
	for (uintptr_t i = 0; i < 4; i++)
		EQ(pthread_create(&thread[i], NULL, run, (void *)i), 0);
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(thread[i], NULL), 0);
	CHECK(store.saves > 100);
	EQ(stats_of(shared).errors, 0);
	EQ(uf_munmap((void *)shared, PAGES * PG), 0);
}

/* A system call is given what the program would see. */
static void system_calls(void)
{
	volatile char *p = make(&stored, 4, PROT_READ | PROT_WRITE);
	char seen[2 * PG];
	int fds[2];

	EQ(pipe(fds), 0);
	EQ(write(fds[1], (void *)p, 2 * PG), 2 * PG);
	EQ(read(fds[0], seen, 2 * PG), 2 * PG);
	EQ(seen[5], expect(0, 5));
	EQ(seen[PG + 5], expect(1, 5));
	EQ(uf_madvise((void *)p, 4 * PG, MADV_PAGEOUT), 0);
	EQ(write(fds[1], "abc", 3), 3);
	EQ(read(fds[0], (void *)(p + PG - 1), 3), 3);
	EQ(p[PG - 1], 'a');
	EQ(p[PG], 'b');
	EQ(p[PG + 2], expect(1, 2));
	store.fetch_answer = -EIO;
	EQ(write(fds[1], (void *)(p + 2 * PG), PG), -1);
	EQ(errno, EFAULT);
	close(fds[0]);
	close(fds[1]);
	EQ(uf_munmap((void *)p, 4 * PG), 0);
}

/* A child has a copy of it, and may have its own. */
static void forked(void)
{
	volatile char *p = make(&stored, 4, PROT_READ | PROT_WRITE);
	struct uf_type_stats stats;
	int status;
	pid_t pid;

	p[PG] = 3;
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		EQ(uf_type_get_stats((void *)p, &stats), 0);
		EQ(p[PG], 3);
		p[PG] = 5;
		EQ(uf_madvise((void *)p, 4 * PG, MADV_PAGEOUT), 0);
		EQ(p[PG], 5);
		EQ(p[2 * PG], expect(2, 0));
		EQ(uf_munmap((void *)p, 4 * PG), 0);
		store.saves = store.drops = 0;
		p = make(&stored, 4, PROT_READ | PROT_WRITE);
		EQ(p[PG], expect(1, 0));
		p[PG] = 4;
		EQ(uf_madvise((void *)p, 4 * PG, MADV_PAGEOUT), 0);
		EQ(store.saves, 1);
		EQ(p[PG], 4);
		EQ(uf_munmap((void *)p, 4 * PG), 0);
		EQ(store.drops, 4);
		_exit(0);
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
	EQ(p[PG], 3);
	EQ(uf_madvise((void *)p, 4 * PG, MADV_PAGEOUT), 0);
	EQ(store.saves, 1);
	EQ(p[PG], 3);
	EQ(uf_munmap((void *)p, 4 * PG), 0);
}

/* Places of mappings that went are used again. */
static void many(void)
{
	for (int i = 0; i < 3000; i++) {
		volatile char *p = make(&computed, 2, PROT_READ);

		EQ(p[PG], expect(1, 0));
		EQ(uf_munmap((void *)p, 2 * PG), 0);
	}
}

int main(void)
{
	const char *preload = getenv("LD_PRELOAD");

	start();
	signal(SIGBUS, jump);
	wrong_uses();
	EQ(uf_sigaction(SIGSEGV, &(struct sigaction){.sa_handler = jump}, NULL), 0);
	on_demand();
	leave_and_return();
	begins_empty();
	failures();
	limited();
	refused();
	registered();
	moved();
	threads(writer);
	threads(discarder);
	threads(fighter);
	if (preload && strstr(preload, "userfault")) {
		system_calls();
		forked();
	}
	many();
	return 0;
}
