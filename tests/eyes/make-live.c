/*
 * make-live - a process with the memory files of a pager and its guests (src/pager/shared.h), whose
 * counters move at known rates, for `userfault top` to look at. It says "ready", and ends when its
 * input does; a line "hostile" fills the second guest's file with nonsense, "end" ends the third
 * guest; "done" answers each.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "pager/shared.h"

#define GUESTS 3u
#define PAGES  4096u
#define FAULTS 2000u /* a second, of the first guest; the others have half and a third */

static struct pager_file *pager;
static struct guest_file *guest[GUESTS];
static uint64_t began;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void *make_file(const char *name, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC);
	void *map = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
		map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		perror(name);
		exit(1);
	}
	return map;
}

static void make_pager(void)
{
	struct shared_source *s;

	pager = make_file(PAGER_FILE_NAME, sizeof(*pager));
	pager->version = SHARED_VERSION;
	pager->header_size = sizeof(*pager);
	pager->id = 0xfeed00000000beefull;
	pager->started = (uint64_t)time(NULL) * 1000000000;
	pager->pid = (uint32_t)getpid();
	pager->in_flight_limit = 32 << 20;
	pager->takeovers = 1;
	strcpy(pager->name, "/run/test.sock");
	s = &pager->source[0];
	strcpy(s->spec, "nbd://test/image");
	strcpy(s->kind, "nbd");
	s->healthy = s->used = 1;
	s->errors = 7;
	s = &pager->source[1];
	strcpy(s->spec, "rados:broken/image");
	s->used = 1;
	pager->magic = PAGER_MAGIC;
}

static void make_guest(unsigned i)
{
	size_t size = sizeof(struct guest_file) + PAGES;
	struct guest_file *g = make_file(GUEST_FILE_NAME, size);
	uint8_t *states = (uint8_t *)(g + 1);

	g->version = SHARED_VERSION;
	g->header_size = sizeof(*g);
	g->size = size;
	g->npages = PAGES;
	g->states_at = sizeof(*g);
	g->number = i + 1;
	g->pid = (uint32_t)getpid();
	snprintf(g->name, sizeof(g->name), "guest-%u", i + 1);
	strcpy(g->source, "nbd://test/image");
	g->state = GUEST_LIVE;
	g->nregions = 1;
	g->region[0] = (struct guest_region){
		.addr = 0x7f0000000000, .size = PAGES * 4096ull, .page_size = 4096};
	g->resident = 1024;
	memset(states, PAGE_PRESENT | PAGE_USED, 1024);
	memset(states + 1024, PAGE_REMOVED, 512);
	if (i == 0) {
		g->waiting = 2;
		g->waiter[0] = (struct guest_waiter){.addr = 0x7f0000123000,
						     .since = began - 5000000000,
						     .thread = (uint32_t)getpid()};
		g->waiter[7] = (struct guest_waiter){.addr = 0x7f0000456000, .since = began};
	}
	g->magic = GUEST_MAGIC;
	guest[i] = g;
}

/* As the clock says, so that the rates are right whenever somebody looks. */
static void move_on(void)
{
	uint64_t ms = (now() - began) / 1000000;

	for (unsigned i = 0; i < GUESTS; i++) {
		struct guest_file *g = guest[i];
		uint64_t faults = FAULTS / (i + 1) * ms / 1000;

		g->count[GUEST_FAULTS] = faults;
		g->count[GUEST_FILLED_DEMAND] = faults;
		g->count[GUEST_FILLED_NEAR] = 3 * faults;
		g->count[GUEST_FILLED_AHEAD] = 10 * faults;
		g->latency.bucket[52] = faults; /* 8,192 to 10,239 ns */
	}
	pager->source[0].fetches = 500 * ms / 1000;
	pager->source[0].bytes = (uint64_t)(64 << 20) * ms / 1000;
}

static void obey(const char *line)
{
	if (strncmp(line, "hostile", 7) == 0) {
		memset(guest[1]->name, 0x1b, sizeof(guest[1]->name));
		memset(guest[1]->source, 0xff, sizeof(guest[1]->source));
		guest[1]->nregions = UINT32_MAX;
		memset(guest[1]->region, 0xff, sizeof(guest[1]->region));
		memset(guest[1]->waiter, 0xff, sizeof(guest[1]->waiter));
		guest[1]->waiting = UINT32_MAX;
		guest[1]->state = guest[1]->end = 0xffff;
		guest[1]->resident = UINT64_MAX;
	} else if (strncmp(line, "end", 3) == 0) {
		guest[2]->end = GUEST_EXITED;
		guest[2]->state = GUEST_ENDED;
	} else if (strncmp(line, "damage", 6) == 0) {
		guest[2]->npages = UINT64_MAX;
	}
	puts("done");
	fflush(stdout);
}

int main(void)
{
	struct pollfd in = {STDIN_FILENO, POLLIN, 0};
	char line[64];

	began = now();
	make_pager();
	for (unsigned i = 0; i < GUESTS; i++)
		make_guest(i);
	puts("ready");
	fflush(stdout);
	setvbuf(stdin, NULL, _IONBF, 0);
	for (;;) {
		move_on();
		if (poll(&in, 1, 2) > 0) {
			if (!fgets(line, sizeof(line), stdin))
				return 0;
			obey(line);
		}
	}
}
