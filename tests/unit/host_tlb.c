/* host_tlb.c - opening and closing pages, under the trap that the argument names. */
#include "host_test.h"

static void new_map_is_closed(void)
{
	struct managed m;

	test_start();
	test_manage(&m, 300);
	CHECK(!READS(m.p));
	CHECK(!READS(m.p + PAGES(299)));
	mach_map_destroy(&m.map);
}

static void open_lets_through_only_the_page(void)
{
	struct managed m;

	test_start();
	test_manage(&m, 300);
	test_fill(&m, 100, 3, 'a');
	CHECK(test_open(&m, 101, 1, RW) == 0);
	CHECK(WRITES(m.p + PAGES(101)));
	CHECK(m.p[PAGES(101) + 5] == 'a');
	CHECK(!READS(m.p + PAGES(100)));
	CHECK(!READS(m.p + PAGES(102)));
	CHECK(!READS(m.p));
}

static void contents_survive_closing(void)
{
	struct managed m;

	test_start();
	test_manage(&m, 2000);
	test_fill(&m, 0, 2000, 'x');
	CHECK(test_open(&m, 0, 2000, RW) == 0);
	for (uint64_t i = 0; i < 2000; i++)
		m.p[PAGES(i) + 7] = (char)i;
	for (uint64_t i = 0; i < 2000; i += 3)
		test_limit(&m, i, 1, 0);
	CHECK(!READS(m.p + PAGES(3)));
	CHECK(READS(m.p + PAGES(4)));
	test_limit(&m, 0, 2000, 0);
	for (uint64_t i = 0; i < 2000; i++)
		CHECK(!READS(m.p + PAGES(i)));
	for (uint64_t i = 0; i < 2000; i++) {
		CHECK(test_open(&m, i, 1, RW) == 0);
		CHECK(m.p[PAGES(i) + 7] == (char)i && m.p[PAGES(i) + 8] == 'x');
	}
}

static void read_only_and_back(void)
{
	struct managed m;

	test_start();
	test_manage(&m, 256);
	test_fill(&m, 0, 256, 'r');
	CHECK(test_open(&m, 0, 256, RW) == 0);
	test_limit(&m, 10, 20, UF_PROT_READ);
	CHECK(READS(m.p + PAGES(10)) && !WRITES(m.p + PAGES(10)) && !WRITES(m.p + PAGES(29)));
	CHECK(WRITES(m.p + PAGES(9)) && WRITES(m.p + PAGES(30)));
	CHECK(test_open(&m, 15, 1, RW) == 0);
	CHECK(WRITES(m.p + PAGES(15)) && !WRITES(m.p + PAGES(14)) && !WRITES(m.p + PAGES(16)));
	test_limit(&m, 0, 256, 0);
	CHECK(test_open(&m, 15, 1, UF_PROT_READ) == 0);
	CHECK(READS(m.p + PAGES(15)) && !WRITES(m.p + PAGES(15)));
	CHECK(!READS(m.p + PAGES(14)) && !READS(m.p + PAGES(16)));
	/* A limit above what a page has opens nothing. */
	test_limit(&m, 0, 256, RW);
	CHECK(!READS(m.p + PAGES(14)) && !WRITES(m.p + PAGES(15)));
	CHECK(test_open(&m, 14, 1, RW) == 0);
	CHECK(WRITES(m.p + PAGES(14)) && !WRITES(m.p + PAGES(15)) && READS(m.p + PAGES(15)));
	CHECK(test_open(&m, 0, 256, RW) == 0);
	CHECK(WRITES(m.p + PAGES(15)));
}

static uint32_t state_of(const struct managed *m, uint64_t page)
{
	volatile char *p = m->p + PAGES(page);

	return (READS(p) ? UF_PROT_READ : 0) | (WRITES(p) ? UF_PROT_WRITE : 0);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 20;
}

/*
 * Open some of the pages [page, page + n), in runs of random lengths. Guards make it exact; by
 * protection alone pages may get less, which is what the model learns then.
 */
static void open_random_set(struct managed *m, uint64_t page, uint64_t n, uint32_t prot,
			    uint32_t *model, uint64_t *seed)
{
	bool exact = host.trap == &trap_guard, in = false;
	uint64_t bits[8] = {0}, length = 1 + next_random(seed) % 40;

	for (uint64_t i = 0; i < n; i++) {
		if (next_random(seed) % length == 0)
			in = !in;
		bits[i / 64] |= (uint64_t)in << (i % 64);
	}
	CHECK(mach_tlb_open_set(&m->span, page, n, bits, prot) == 0);
	for (uint64_t i = 0; i < n; i++) {
		bool member = bits[i / 64] >> (i % 64) & 1;
		uint32_t has = state_of(m, page + i), before = model[page + i];

		if (exact)
			CHECK(has == (member ? prot : before));
		else
			CHECK((has & ~(before | (member ? prot : 0))) == 0);
		model[page + i] = has;
	}
}

/* Every page in a random state that a model knows; compared after each step. */
static void random_states(void)
{
	enum {
		N = 400
	};
	static uint32_t model[N];
	struct managed m;
	uint64_t seed = 12345, others = 54321, used, most;

	test_start();
	test_manage(&m, N);
	test_fill(&m, 0, N, 'm');
	for (unsigned step = 0; step < 3000; step++) {
		static const uint32_t prots[3] = {0, UF_PROT_READ, RW};
		uint64_t page, n, kind;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		page = (seed >> 33) % N;
		n = 1 + (seed >> 20) % (step % 5 ? 8 : N);
		n = page + n > N ? N - page : n;
		kind = (seed >> 50) % 5;
		if (step % 10 == 9)
			open_random_set(&m, page, n, prots[1 + kind % 2], model, &others);
		else if (kind < 2)
			CHECK(test_open(&m, page, n, prots[kind + 1]) == 0);
		else
			test_limit(&m, page, n, prots[kind - 2]);
		for (uint64_t i = page; step % 10 != 9 && i < page + n; i++)
			model[i] = kind < 2 ? prots[kind + 1] : model[i] & prots[kind - 2];
		for (uint64_t i = step % 7; i < N; i += 7) {
			CHECK(READS(m.p + PAGES(i)) == (model[i] != 0));
			CHECK(WRITES(m.p + PAGES(i)) == (model[i] == RW));
		}
		mach_usage(&used, &most);
		CHECK(test_mappings((uint64_t)m.p, PAGES(N)) <= used);
	}
}

/* Every other page, write-protected and opened again as a whole: the same few mappings each time.
 */
static void sparse_sets(void)
{
	enum {
		N = 1500
	};
	uint64_t bits[(N + 63) / 64], used, most;
	struct managed m;
	bool exact;

	memset(bits, 0x55, sizeof(bits));
	test_start();
	exact = host.trap == &trap_guard;
	test_manage(&m, N);
	test_fill(&m, 0, N, 's');
	for (int round = 0; round < 3; round++) {
		CHECK(mach_tlb_open_set(&m.span, 0, N, bits, RW) == 0);
		mach_usage(&used, &most);
		CHECK(used == 1 && test_mappings((uint64_t)m.p, PAGES(N)) == 1);
		for (uint64_t i = 0; i < N; i++) {
			CHECK(WRITES(m.p + PAGES(i)) == (exact && i % 2 == 0));
			CHECK(i % 2 == 0 || !READS(m.p + PAGES(i)));
		}
		test_limit(&m, 0, N, UF_PROT_READ);
		mach_usage(&used, &most);
		CHECK(used == 1 && test_mappings((uint64_t)m.p, PAGES(N)) == 1);
		for (uint64_t i = 0; i < N; i++) {
			CHECK(!WRITES(m.p + PAGES(i)));
			CHECK(READS(m.p + PAGES(i)) == (exact && i % 2 == 0));
		}
	}
	/* A page that was open for reading, and is not in the set, does not become writable. */
	CHECK(test_open(&m, 7, 1, UF_PROT_READ) == 0);
	CHECK(mach_tlb_open_set(&m.span, 0, N, bits, RW) == 0);
	CHECK(READS(m.p + PAGES(7)) && !WRITES(m.p + PAGES(7)));
	CHECK(WRITES(m.p + PAGES(6)) == exact && WRITES(m.p + PAGES(8)) == exact);
	CHECK(!READS(m.p + PAGES(9)));
	/* One that is lifted alone is lowered together with its neighbours. */
	CHECK(test_open(&m, 20, 1, RW) == 0 && test_open(&m, 30, 1, RW) == 0);
	test_limit(&m, 0, N, UF_PROT_READ);
	CHECK(!WRITES(m.p + PAGES(20)) && !WRITES(m.p + PAGES(30)) && READS(m.p + PAGES(30)));
	CHECK(!READS(m.p + PAGES(21)));
	for (uint64_t i = 0; i < N; i++) {
		CHECK(test_open(&m, i, 1, RW) == 0);
		CHECK(m.p[PAGES(i) + 9] == 's');
	}
}

struct reader {
	struct managed *m;
	_Atomic bool stop;
	_Atomic uint64_t phase; /* odd while the page is closed */
	_Atomic uint64_t seen, wrong;
};

/* Hammers one page; what it reads while the page is said to be closed is wrong. */
static void *hammer(void *arg)
{
	struct reader *r = arg;
	volatile char *p = r->m->p + PAGES(70);

	while (!r->stop) {
		uint64_t phase = r->phase;
		bool read = READS(p);

		r->seen += read;
		r->wrong += read && phase % 2 && r->phase == phase;
	}
	return NULL;
}

static void closing_is_complete(void)
{
	struct managed m;
	struct reader r = {.m = &m};
	pthread_t thread;

	test_start();
	test_manage(&m, 200);
	test_fill(&m, 0, 200, 'h');
	CHECK(!READS(m.p));
	r.phase = 1;
	CHECK(pthread_create(&thread, NULL, hammer, &r) == 0);
	for (unsigned i = 0; i < 20000 || r.seen == 0; i++) {
		r.phase++;
		CHECK(test_open(&m, 70, 1, RW) == 0);
		/* The neighbours' chunk changes around it. */
		CHECK(test_open(&m, 71 + i % 50, 1, i % 2 ? RW : UF_PROT_READ) == 0);
		if (i % 3 == 0)
			test_limit(&m, 60, 40, 0);
		else
			test_limit(&m, 70, 1, 0);
		r.phase++;
	}
	r.stop = true;
	pthread_join(thread, NULL);
	CHECK(r.wrong == 0);
}

static void *opener(void *arg)
{
	struct managed *m = arg;
	static _Atomic unsigned number;
	unsigned me = number++;

	CHECK(!READS(m->p + PAGES(m->span.npages - 1)));
	for (unsigned round = 0; round < 10; round++) {
		for (uint64_t i = me; i < m->span.npages - 1; i += 4) {
			uint64_t page = i * 97 % (m->span.npages - 1);

			if (page % 4 != me)
				continue;
			CHECK(test_open(m, page, 1, RW) == 0);
			m->p[PAGES(page)] = (char)round;
			CHECK(READS(m->p + PAGES(page)));
			test_limit(m, page, 1, page % 8 < 4 ? UF_PROT_READ : 0);
			CHECK(!WRITES(m->p + PAGES(page)));
		}
	}
	return NULL;
}

/* Several threads, each with its own pages, in the same chunks, while pages are taken away. */
static void threads_on_neighbours(void)
{
	struct managed m;
	pthread_t thread[4];

	test_start();
	test_manage(&m, 1021);
	test_fill(&m, 0, 1021, 't');
	CHECK(!READS(m.p));
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&thread[i], NULL, opener, &m) == 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	test_limit(&m, 0, 1021, 0);
	CHECK(test_open(&m, 0, 1021, RW) == 0);
	for (uint64_t i = 0; i < 1020; i++)
		CHECK(m.p[PAGES(i)] == 9 && m.p[PAGES(i) + 1] == 't');
}

/* Opens every second page read-only and every third for writing, far beyond a small budget. */
static void budget_is_kept(void)
{
	uint64_t used, most, top = 0;
	struct managed m;

	test_config.budget = 100;
	test_start();
	test_manage(&m, 4000);
	test_fill(&m, 0, 4000, 'b');
	for (uint64_t i = 0; i < 4000; i++) {
		uint64_t page = i * 1009 % 4000;

		if (page % 3 == 0) {
			CHECK(test_open(&m, page, 1, RW) == 0);
			CHECK(WRITES(m.p + PAGES(page)));
		} else if (page % 2 == 0) {
			CHECK(test_open(&m, page, 1, UF_PROT_READ) == 0);
			CHECK(READS(m.p + PAGES(page)) && !WRITES(m.p + PAGES(page)));
		}
		mach_usage(&used, &most);
		top = used > top ? used : top;
	}
	CHECK(most == 100 && top <= 100 && top > 50);
	CHECK(test_mappings((uint64_t)m.p, PAGES(4000)) <= used);
	for (uint64_t i = 0; i < 4000; i++) {
		if (i % 3 != 0)
			CHECK(!WRITES(m.p + PAGES(i)));
		if (i % 3 != 0 && i % 2 != 0)
			CHECK(!READS(m.p + PAGES(i)));
	}
}

#ifndef __SANITIZE_ADDRESS__ /* whose own mappings would fail */
/* The host itself has no room: others' pages are closed for it, and nothing fails. */
static void host_limit_is_survived(void)
{
	struct managed m;
	uint64_t pages = 3000, filler = 0;

	test_start();
	test_manage(&m, pages);
	test_fill(&m, 0, pages, 'l');
	CHECK(!READS(m.p));
	/* Nearly all that the host allows, taken by the program: single pages of alternating kinds.
	 */
	while (filler < host.max_maps - 600u &&
	       mmap(NULL, UF_PAGE_SIZE, filler % 2 ? PROT_READ : PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		filler++;
	for (uint64_t i = 0; i < pages; i++) {
		uint64_t page = i * 1009 % pages;

		CHECK(test_open(&m, page, 1, page % 2 ? RW : UF_PROT_READ) == 0);
		CHECK(READS(m.p + PAGES(page)));
	}
	for (uint64_t i = 0; i < pages; i++) {
		test_limit(&m, i, 1, i % 3 ? UF_PROT_READ : 0);
		CHECK(!WRITES(m.p + PAGES(i)));
	}
}

#endif

static const struct test tests[] = {
	{"new_map_is_closed", new_map_is_closed},
	{"open_lets_through_only_the_page", open_lets_through_only_the_page},
	{"contents_survive_closing", contents_survive_closing},
	{"read_only_and_back", read_only_and_back},
	{"random_states", random_states},
	{"sparse_sets", sparse_sets},
	{"closing_is_complete", closing_is_complete},
	{"threads_on_neighbours", threads_on_neighbours},
	{"budget_is_kept", budget_is_kept},
#ifndef __SANITIZE_ADDRESS__
	{"host_limit_is_survived", host_limit_is_survived},
#endif
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
