/*
 * make-trace FILE [OPTION=VALUE]... - writes a trace (src/trace/trace.h) as a run or a server
 * would, the same for the same options. A small model: threads touch pages, a handler answers one
 * message at a time, so that queues and their latencies come about as they do in life.
 *
 *   origin=run|pager  records=N  seed=N  seconds=N
 *   module=FILE sites=OFFSET,OFFSET...   where accesses come from (run)
 */
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "trace/trace.h"

#define PAGE	 4096ull
#define START_NS 7200000000000ull
#define CODE	 0x555555554000ull

static struct trace_file *file;
static uint64_t seed = 1, budget = 200000, seconds = 12;
static const char *module_path;
static uint64_t site[16];
static unsigned nsites;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static double uniform(void)
{
	return (double)(next_random() >> 11) / 9007199254740992.0;
}

/* Log-normal, about. */
static uint64_t spread(double median, double width)
{
	double sum = 0;

	for (int i = 0; i < 12; i++)
		sum += uniform();
	return (uint64_t)(median * exp((sum - 6) * width));
}

static void put(enum trace_kind kind, struct trace_record r)
{
	struct trace_record *to = trace_claim(file);

	if (!to)
		return;
	r.kind = 0;
	*to = r;
	trace_finish(to, kind);
}

static void put_name(enum trace_kind kind, uint32_t process, uint32_t thread, const char *name)
{
	struct trace_record r = {.process = process, .thread = thread};

	memcpy(r.text, name, strnlen(name, sizeof(r.text)));
	put(kind, r);
}

static void put_range(enum trace_kind kind, uint32_t process, uint64_t addr, uint64_t size,
		      uint32_t modes)
{
	put(kind, (struct trace_record){.time = START_NS,
					.addr = addr,
					.arg = size,
					.process = process,
					.value = modes});
}

static void put_module(uint32_t process)
{
	put(TRACE_MODULE,
	    (struct trace_record){
		    .time = 0, .addr = CODE, .arg = 1 << 20, .process = process, .value = 1});
	for (size_t i = 0; i < strlen(module_path); i += 24) {
		struct trace_record r = {.process = process, .thread = 1, .value = (uint32_t)i};

		memcpy(r.text, module_path + i, strnlen(module_path + i, 24));
		put(TRACE_TEXT, r);
	}
}

static bool room(void)
{
	return atomic_load(&file->header.count) + 8 < budget;
}

/* ---- a run: a cache with worker threads, a handler thread, and a forked saver
 */

#define HEAP	    0x7f3a40000000ull
#define INDEX	    0x7f3b10000000ull
#define SHARE	    0x7f3e00000000ull
#define HEAP_PAGES  65536u
#define INDEX_PAGES 8192u
#define SHARE_PAGES 16384u

enum {
	MAIN = 4711,
	SAVER = 4720,
	HANDLER = 4712,
	WORKERS = 6
};

struct worker {
	uint32_t process, tid;
	uint64_t clock, position;
};

static uint64_t handler_free = START_NS;

static void answer(struct worker *w, uint64_t addr, unsigned flags, uint64_t ip)
{
	uint64_t began = w->clock, trap = 400 + next_random() % 200;
	uint64_t read = began + trap > handler_free ? began + trap : handler_free;
	uint64_t fill = spread(1300, 0.25), end;
	unsigned why = flags & TRACE_WHY;

	read += spread(900, 0.3);
	if (next_random() % 20000 == 0)
		read += spread(4e6, 0.5); /* it was off the CPU */
	end = read + fill;
	handler_free = end;
	put(TRACE_MESSAGE, (struct trace_record){.time = began + trap,
						 .addr = addr,
						 .process = w->process,
						 .thread = HANDLER,
						 .value = trace_span(read - began - trap)});
	if (why == TRACE_WP)
		put(TRACE_PROTECT, (struct trace_record){.time = read + 200,
							 .addr = addr,
							 .arg = PAGE,
							 .process = w->process,
							 .thread = HANDLER,
							 .value = (uint32_t)fill,
							 .flags = TRACE_LIFTED});
	else
		put(TRACE_FILL,
		    (struct trace_record){
			    .time = read + 200,
			    .addr = addr,
			    .arg = PAGE,
			    .process = w->process,
			    .thread = HANDLER,
			    .value = (uint32_t)fill,
			    .flags = why == TRACE_MINOR ? TRACE_CONTINUE
				     : addr >= INDEX && addr < SHARE && next_random() % 3
					     ? TRACE_ZEROPAGE
					     : TRACE_COPY,
		    });
	put(TRACE_WAKE, (struct trace_record){.time = end,
					      .addr = addr,
					      .arg = PAGE,
					      .process = w->process,
					      .thread = HANDLER});
	end += spread(700, 0.4);
	put(TRACE_FAULT, (struct trace_record){.time = began,
					       .addr = addr + next_random() % PAGE,
					       .arg = ip,
					       .process = w->process,
					       .thread = w->tid,
					       .value = trace_span(end - began),
					       .flags = (uint16_t)flags});
	w->clock = end;
}

static void quick(struct worker *w, uint64_t addr, unsigned why, uint64_t ip)
{
	uint64_t cost = spread(800, 0.3);

	put(TRACE_FAULT, (struct trace_record){.time = w->clock,
					       .addr = addr,
					       .arg = ip,
					       .process = w->process,
					       .thread = w->tid,
					       .value = (uint32_t)cost,
					       .flags = (uint16_t)why});
	w->clock += cost;
}

static uint64_t ip_of(unsigned n)
{
	return nsites ? CODE + site[n % nsites] : CODE + 0x1100 + 0x140 * n;
}

static uint64_t zipf(uint64_t n)
{
	return (uint64_t)((double)n * pow(uniform(), 3.0));
}

static void touch(struct worker *w, double when)
{
	unsigned n = w->tid % 8;

	if (w->process == SAVER) {
		if (next_random() % 3)
			quick(w, HEAP + w->position++ % HEAP_PAGES * PAGE, TRACE_OPENED, ip_of(5));
		else
			answer(w, HEAP + w->position++ % HEAP_PAGES * PAGE, TRACE_MISSING,
			       ip_of(5));
	} else if (when < 0.22 && n < 3) {
		answer(w, HEAP + (w->position++ * 3 + n) % HEAP_PAGES * PAGE,
		       TRACE_MISSING | TRACE_WRITE, ip_of(0));
	} else if (when > 0.5 && when < 0.62) {
		answer(w, HEAP + zipf(HEAP_PAGES / 2) * PAGE, TRACE_WP | TRACE_WRITE, ip_of(1));
	} else if (n == 5) {
		answer(w, SHARE + w->position++ % SHARE_PAGES * PAGE,
		       TRACE_MINOR | (next_random() % 4 ? 0 : TRACE_KERNEL), ip_of(2));
	} else {
		switch (next_random() % 8) {
		case 0:
			quick(w, HEAP + zipf(HEAP_PAGES) * PAGE, TRACE_OPENED, ip_of(3));
			break;
		case 1:
			quick(w, HEAP + zipf(HEAP_PAGES) * PAGE, TRACE_BACK, ip_of(3));
			break;
		case 2:
			answer(w, INDEX + next_random() % INDEX_PAGES * PAGE, TRACE_MISSING,
			       ip_of(4));
			break;
		default:
			answer(w, HEAP + zipf(HEAP_PAGES) * PAGE,
			       TRACE_MISSING | (next_random() % 2 ? TRACE_WRITE : 0), ip_of(3));
		}
	}
}

static void housekeeping(uint64_t now, unsigned round)
{
	uint64_t addr = HEAP + next_random() % (HEAP_PAGES - 64) * PAGE;

	put(TRACE_EVICT, (struct trace_record){.time = now,
					       .addr = addr,
					       .arg = (1 + next_random() % 48) * PAGE,
					       .process = MAIN,
					       .thread = HANDLER,
					       .value = (uint32_t)spread(20000, 0.3)});
	if (round % 40 == 0)
		put(TRACE_REMOVE,
		    (struct trace_record){.time = now,
					  .addr = INDEX + next_random() % 64 * 128 * PAGE,
					  .arg = 128 * PAGE,
					  .process = MAIN,
					  .thread = MAIN});
}

static void make_run(void)
{
	struct worker w[WORKERS + 2];
	uint64_t end = START_NS + seconds * 1000000000, step, keep = START_NS;
	unsigned round = 0;
	bool protected = false;

	put_name(TRACE_PROCESS, MAIN, 0, "cache-server");
	put_name(TRACE_PROCESS, SAVER, 0, "cache-saver");
	put_name(TRACE_THREAD, MAIN, MAIN, "cache-server");
	put_name(TRACE_THREAD, MAIN, HANDLER, "fault-handler");
	put_name(TRACE_THREAD, SAVER, SAVER, "cache-saver");
	for (unsigned i = 0; i < WORKERS + 2; i++) {
		char name[24];

		w[i] = (struct worker){MAIN, 4713 + i, START_NS + i * 1000, 0};
		if (i == WORKERS)
			w[i].tid = MAIN;
		if (i == WORKERS + 1)
			w[i] = (struct worker){SAVER, SAVER, START_NS + seconds * 700000000, 0};
		if (i >= WORKERS)
			continue;
		snprintf(name, sizeof(name), "worker-%u", i);
		put_name(TRACE_THREAD, MAIN, w[i].tid, name);
	}
	put_module(MAIN);
	put_module(SAVER);
	put_range(TRACE_RANGE, MAIN, HEAP, HEAP_PAGES * PAGE, 3);
	put_range(TRACE_RANGE, MAIN, INDEX, INDEX_PAGES * PAGE, 1);
	put_range(TRACE_RANGE, MAIN, SHARE, SHARE_PAGES * PAGE, 4);
	put_range(TRACE_RANGE, SAVER, HEAP, HEAP_PAGES * PAGE, 1);
	/* About 4.2 records an access, by 8 threads: so long they rest in between. */
	step = (uint64_t)((double)(end - START_NS) * (WORKERS + 2) * 4.2 / (double)budget);
	while (room()) {
		struct worker *first = &w[0];
		double when;

		for (unsigned i = 1; i < WORKERS + 2; i++)
			if (w[i].clock < first->clock)
				first = &w[i];
		when = (double)(first->clock - START_NS) / (double)(end - START_NS);
		if (!protected && when > 0.5) {
			protected = true;
			put(TRACE_PROTECT, (struct trace_record){.time = first->clock,
								 .addr = HEAP,
								 .arg = HEAP_PAGES * PAGE,
								 .process = MAIN,
								 .thread = HANDLER,
								 .value = 410000});
		}
		if (first->clock > keep && when > 0.3) {
			housekeeping(first->clock, round++);
			keep = first->clock + (end - START_NS) / 2000;
		}
		touch(first, when);
		first->clock += spread((double)step * (when < 0.22 ? 0.4 : 0.9), 0.5);
	}
}

/* ---- a server: guests that were restored from one image
 */

#define GUESTS	  3u
#define LOW	  0x7f1200000000ull
#define LOW_SIZE  (768ull << 20)
#define HIGH	  0x7f1300000000ull
#define HIGH_SIZE (256ull << 20)
#define RUN_PAGES 16u

struct guest {
	uint64_t clock, ahead, base;
	unsigned fetch;
};

static uint64_t guest_page(uint64_t base, uint64_t n)
{
	uint64_t low = LOW_SIZE / PAGE;

	return base + (n < low ? LOW + n * PAGE : HIGH + (n - low) * PAGE);
}

static void stream_ahead(struct guest *g, uint32_t number, uint64_t now)
{
	uint64_t fetch = spread(240000, 0.4);

	put(TRACE_FETCH, (struct trace_record){.time = now,
					       .addr = g->ahead * PAGE,
					       .arg = 64 * PAGE,
					       .process = number,
					       .value = (uint32_t)fetch,
					       .flags = TRACE_AHEAD});
	put(TRACE_FILL, (struct trace_record){.time = now + fetch,
					      .addr = guest_page(g->base, g->ahead),
					      .arg = 64 * PAGE,
					      .process = number,
					      .value = (uint32_t)spread(30000, 0.2),
					      .flags = TRACE_COPY | TRACE_AHEAD});
	g->ahead += 64;
}

static void demand(struct guest *g, uint32_t number, uint64_t page)
{
	uint64_t addr = guest_page(g->base, page), began = g->clock;
	uint64_t fetch = spread(next_random() % 50 ? 90000 : 1800000, 0.5),
		 fill = spread(5000, 0.3);
	bool zero = next_random() % 5 == 0, fails = next_random() % 4000 == 0;
	uint64_t end = began + spread(2000, 0.3) + (zero ? 0 : fetch) + fill;

	put(TRACE_MESSAGE,
	    (struct trace_record){.time = began, .addr = addr, .process = number, .value = 0});
	if (!zero)
		put(TRACE_FETCH, (struct trace_record){.time = began + 2000,
						       .addr = page / RUN_PAGES * RUN_PAGES * PAGE,
						       .arg = RUN_PAGES * PAGE,
						       .process = number,
						       .value = (uint32_t)fetch,
						       .flags = fails ? TRACE_FAILED : 0});
	put(TRACE_FILL,
	    (struct trace_record){.time = end - fill,
				  .addr = guest_page(g->base, page / RUN_PAGES * RUN_PAGES),
				  .arg = RUN_PAGES * PAGE,
				  .process = number,
				  .value = (uint32_t)fill,
				  .flags = fails  ? TRACE_POISON
					   : zero ? TRACE_ZEROPAGE
						  : TRACE_COPY});
	put(TRACE_WAKE,
	    (struct trace_record){.time = end, .addr = addr, .arg = PAGE, .process = number});
	put(TRACE_FAULT,
	    (struct trace_record){.time = began,
				  .addr = addr,
				  .process = number,
				  .thread = 100 * number + (uint32_t)(next_random() % 2),
				  .value = trace_span(end - began),
				  .flags = fails ? TRACE_SIGNALLED : 0});
}

static void make_pager(void)
{
	uint64_t all = (LOW_SIZE + HIGH_SIZE) / PAGE, end = START_NS + seconds * 1000000000, step;
	struct guest guest[GUESTS + 1] = {0};

	for (uint32_t i = 1; i <= GUESTS; i++) {
		char name[24];

		snprintf(name, sizeof(name), "guest %u", i);
		put_name(TRACE_PROCESS, i, 0, name);
		for (unsigned n = 0; n < 2; n++) {
			snprintf(name, sizeof(name), "vcpu %u", n);
			put_name(TRACE_THREAD, i, 100 * i + n, name);
		}
		guest[i].clock = START_NS + (i - 1) * seconds * 100000000;
		guest[i].base = (uint64_t)i << 36;
		put_range(TRACE_RANGE, i, guest[i].base + LOW, LOW_SIZE, 1);
		put_range(TRACE_RANGE, i, guest[i].base + HIGH, HIGH_SIZE, 1);
	}
	step = (uint64_t)((double)(end - START_NS) * GUESTS * 5.5 / (double)budget);
	while (room()) {
		uint32_t first = 1;
		struct guest *g;

		for (uint32_t i = 2; i <= GUESTS; i++)
			if (guest[i].clock < guest[first].clock)
				first = i;
		g = &guest[first];
		if (next_random() % 3 == 0 && g->ahead < all)
			stream_ahead(g, first, g->clock);
		demand(g, first, next_random() % 4 ? zipf(all) : next_random() % all);
		if (next_random() % 900 == 0)
			put(TRACE_REMOVE,
			    (struct trace_record){.time = g->clock,
						  .addr = g->base + HIGH +
							  next_random() % 120 * (2 << 20),
						  .arg = 8 << 20,
						  .process = first});
		g->clock += spread((double)step * 0.8, 0.6);
	}
}

static void option(const char *text)
{
	uint64_t value = strtoull(strchr(text, '=') + 1, NULL, 0);

	if (strncmp(text, "records=", 8) == 0)
		budget = value;
	else if (strncmp(text, "seed=", 5) == 0)
		seed = value * 0x9e3779b97f4a7c15ull + 1;
	else if (strncmp(text, "seconds=", 8) == 0)
		seconds = value;
	else if (strncmp(text, "module=", 7) == 0)
		module_path = text + 7;
	else if (strncmp(text, "sites=", 6) == 0)
		for (const char *s = text + 6; s && nsites < 16;
		     s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL)
			site[nsites++] = strtoull(s, NULL, 0);
}

int main(int argc, char **argv)
{
	bool pager = false;
	size_t size;
	int fd;

	module_path = "/usr/bin/cache-server";
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "origin=pager") == 0)
			pager = true;
		else if (strchr(argv[i], '='))
			option(argv[i]);
	}
	if (argc < 2)
		return 2;
	for (unsigned i = 0; i < 8; i++)
		next_random();
	size = sizeof(struct trace_file) + budget * sizeof(struct trace_record);
	fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return 1;
	file = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (file == MAP_FAILED)
		return 1;
	file->header = (struct trace_header){
		.magic = TRACE_MAGIC,
		.version = TRACE_VERSION,
		.record_size = sizeof(struct trace_record),
		.capacity = budget,
		.mono_ns = START_NS,
		.real_ns = 1790000000000000000ull,
		.origin = pager ? TRACE_OF_PAGER : TRACE_OF_RUN,
		.page_size = PAGE,
	};
	strcpy(file->header.program, pager ? "/srv/images/guest.mem" : "cache-server --threads 6");
	if (pager)
		make_pager();
	else
		make_run();
	size = sizeof(struct trace_file) +
	       atomic_load(&file->header.count) * sizeof(struct trace_record);
	return ftruncate(fd, (off_t)size) < 0;
}
