/*
 * top_find.c - pagers and guests, by the memory files that processes have open.
 */
#include "eyes/top.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STATES_AT_A_TIME 65536u

static const char pager_link[] = "/memfd:" PAGER_FILE_NAME " (deleted)";
static const char guest_link[] = "/memfd:" GUEST_FILE_NAME " (deleted)";

void printable(char *to, size_t size, const char *from, size_t len)
{
	size_t i;

	for (i = 0; i < size - 1 && i < len && from[i]; i++)
		to[i] = (char)(isprint((unsigned char)from[i]) ? from[i] : '?');
	to[i] = 0;
}

static void *append(void *list, size_t *n, size_t size)
{
	void **first = list;
	char *longer = realloc(*first, (*n + 1) * size);

	if (!longer)
		return NULL;
	*first = longer;
	return memset(longer + (*n)++ * size, 0, size);
}

struct top_group *add_group(struct look *l)
{
	return append(&l->group, &l->ngroups, sizeof(*l->group));
}

struct top_row *add_row(struct look *l)
{
	return append(&l->row, &l->nrows, sizeof(*l->row));
}

static uint64_t load(const _Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

/* ---- a pager's file
 */

static void take_source(struct top_group *g, const struct shared_source *s)
{
	struct top_source *to = &g->source[g->nsources++];

	printable(to->spec, sizeof(to->spec), s->spec, sizeof(s->spec));
	printable(to->kind, sizeof(to->kind), s->kind, sizeof(s->kind));
	to->healthy = atomic_load(&s->healthy);
	to->size = s->size;
	to->fetches = load(&s->fetches);
	to->bytes = load(&s->bytes);
	to->errors = load(&s->errors);
	to->retries = load(&s->retries);
	to->in_flight = load(&s->in_flight);
	to->in_flight_bytes = load(&s->in_flight_bytes);
	to->hits = load(&s->cache_hits);
	for (unsigned i = 0; i < SHARED_BUCKETS; i++)
		to->bucket[i] = load(&s->latency.bucket[i]);
}

static void take_pager(struct top_group *g, const struct pager_file *p)
{
	g->kind = GROUP_PAGER;
	snprintf(g->id, sizeof(g->id), "%016" PRIx64, p->id);
	printable(g->name, sizeof(g->name), p->name, sizeof(p->name));
	g->pid = (pid_t)atomic_load(&p->pid);
	g->keeper = (pid_t)atomic_load(&p->keeper);
	g->takeovers = atomic_load(&p->takeovers);
	g->began = p->started / 1000000000;
	g->accepted = load(&p->accepted);
	g->refused = load(&p->refused);
	g->ended = load(&p->ended);
	g->cut_off = load(&p->cut_off);
	g->cache_bytes = load(&p->cache_bytes);
	g->cache_limit = load(&p->cache_limit);
	g->in_flight = load(&p->in_flight_bytes);
	g->in_flight_limit = load(&p->in_flight_limit);
	g->bandwidth = load(&p->bandwidth);
	for (unsigned i = 0; i < PAGER_SOURCES; i++)
		if (p->source[i].used)
			take_source(g, &p->source[i]);
}

static bool read_all(int fd, void *to, size_t size)
{
	return pread(fd, to, size, 0) == (ssize_t)size;
}

/* False: no memory. group: its index + 1, or 0 if it is none. */
static bool add_pager(struct look *l, const struct stat *st, int fd, uint32_t *group)
{
	struct pager_file *p;
	struct top_group *g;

	for (size_t i = 0; i < l->ngroups; i++)
		if (l->group[i].kind == GROUP_PAGER && l->group[i].key[0] == st->st_dev &&
		    l->group[i].key[1] == st->st_ino) {
			*group = (uint32_t)i + 1;
			return true;
		}
	*group = 0;
	p = malloc(sizeof(*p));
	if (!p)
		return false;
	if (!read_all(fd, p, sizeof(*p)) || p->magic != PAGER_MAGIC ||
	    p->version != SHARED_VERSION || p->header_size != sizeof(*p)) {
		l->hidden++;
		free(p);
		return true;
	}
	g = add_group(l);
	if (g) {
		take_pager(g, p);
		g->key[0] = st->st_dev;
		g->key[1] = st->st_ino;
		*group = (uint32_t)l->ngroups;
	}
	free(p);
	return g;
}

/* ---- a guest's file
 */

static const char *state_word(uint32_t state, uint32_t end)
{
	static const char *const ends[] = {"running", "exited",	  "detached",
					   "cut off", "given up", "unmapped"};

	if (state == GUEST_SETUP)
		return "setting up";
	if (state == GUEST_LIVE)
		return "running";
	return end > GUEST_RUNS && end < sizeof(ends) / sizeof(ends[0]) ? ends[end] : "ended";
}

static uint64_t monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void take_waiters(struct top_row *r, const struct guest_file *g)
{
	uint64_t now = monotonic();

	r->waiting = atomic_load(&g->waiting);
	for (unsigned i = 0; i < GUEST_WAITERS && r->nwaiters < TOP_WAITERS; i++) {
		const struct guest_waiter *w = &g->waiter[i];

		if (w->addr)
			r->waiter[r->nwaiters++] = (struct top_waiter){
				.addr = w->addr,
				.age = w->since < now ? now - w->since : 0,
				.thread = w->thread,
			};
	}
	if (r->waiting < r->nwaiters)
		r->waiting = r->nwaiters;
}

static bool take_regions(struct top_row *r, const struct guest_file *g)
{
	uint32_t n = g->nregions < GUEST_REGIONS ? g->nregions : GUEST_REGIONS;

	r->region = calloc(n + 1, sizeof(*r->region));
	if (!r->region)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		const struct guest_region *region = &g->region[i];

		if (!region->size || region->size > UINT64_MAX - region->addr)
			continue;
		r->region[r->nregions++] = *region;
		r->registered += region->size;
	}
	return true;
}

static void take_counts(struct top_row *r, const struct guest_file *g)
{
	static const enum guest_count which[TOP_COUNTS] = {
		[TOP_FAULTS] = GUEST_FAULTS,	[TOP_DEMAND] = GUEST_FILLED_DEMAND,
		[TOP_NEAR] = GUEST_FILLED_NEAR, [TOP_AHEAD] = GUEST_FILLED_AHEAD,
		[TOP_ZERO] = GUEST_FILLED_ZERO, [TOP_REMOVED] = GUEST_REMOVED,
		[TOP_EVICTED] = GUEST_EVICTED,	[TOP_FAILED] = GUEST_FAILED,
	};

	for (unsigned i = 0; i < GUEST_COUNT_MAX; i++)
		r->guest_count[i] = load(&g->count[i]);
	for (unsigned i = 0; i < TOP_COUNTS; i++)
		r->count[i] = r->guest_count[which[i]];
	for (unsigned i = 0; i < SHARED_BUCKETS; i++)
		r->bucket[i] = load(&g->latency.bucket[i]);
	r->max_ns = load(&g->latency.max_ns);
}

static bool take_guest(struct top_row *r, const struct guest_file *g)
{
	r->kind = ROW_GUEST;
	printable(r->name, sizeof(r->name), g->name, sizeof(g->name));
	printable(r->source, sizeof(r->source), g->source, sizeof(g->source));
	snprintf(r->state, sizeof(r->state), "%s",
		 state_word(atomic_load(&g->state), atomic_load(&g->end)));
	r->pid = g->pid <= INT32_MAX ? (pid_t)g->pid : 0;
	r->key[2] = g->number;
	/* Pages that are there are counted in those of 4 KiB unless there is one region of others.
	 */
	r->in_flight = load(&g->in_flight);
	r->ahead_done = load(&g->ahead_done);
	r->ahead_total = load(&g->ahead_total);
	take_waiters(r, g);
	take_counts(r, g);
	if (!take_regions(r, g))
		return false;
	r->resident = load(&g->resident);
	r->resident *= r->nregions && r->region[0].page_size ? r->region[0].page_size : 4096;
	if (r->resident > r->registered)
		r->resident = r->registered;
	return true;
}

static bool guest_valid(const struct guest_file *g, uint64_t size)
{
	return g->magic == GUEST_MAGIC && g->version == SHARED_VERSION &&
	       g->header_size == sizeof(*g) && g->size <= size && g->states_at >= sizeof(*g) &&
	       g->states_at <= g->size && g->npages <= g->size - g->states_at;
}

static bool known_guest(const struct look *l, const struct stat *st)
{
	for (size_t i = 0; i < l->nrows; i++)
		if (l->row[i].kind == ROW_GUEST && l->row[i].key[0] == st->st_dev &&
		    l->row[i].key[1] == st->st_ino)
			return true;
	return false;
}

/* A guest whose pager cannot be told has a group of its own. */
static bool lone_group(struct look *l, pid_t pid, uint32_t *group)
{
	struct top_group *g = add_group(l);

	if (!g)
		return false;
	g->kind = GROUP_PAGER;
	g->pid = pid;
	snprintf(g->name, sizeof(g->name), "process %d", pid);
	*group = (uint32_t)l->ngroups;
	return true;
}

/* group: that of the process's pager, its index + 1; 0: it has none so far. */
static bool add_guest(struct look *l, const struct stat *st, int fd, pid_t pid, uint32_t *group,
		      const char *path)
{
	struct guest_file *g = malloc(sizeof(*g));
	struct top_row *r;
	bool done = true;

	if (!g)
		return false;
	if (!read_all(fd, g, sizeof(*g)) || !guest_valid(g, (uint64_t)st->st_size)) {
		l->hidden++;
	} else if ((*group || lone_group(l, pid, group)) && (r = add_row(l))) {
		r->key[0] = st->st_dev;
		r->key[1] = st->st_ino;
		r->group = *group - 1;
		snprintf(r->file, sizeof(r->file), "%s", path);
		done = take_guest(r, g);
		l->group[r->group].rows++;
	} else {
		done = false;
	}
	free(g);
	return done;
}

bool guest_states(const struct top_row *r, uint64_t states[PAGE_STATES])
{
	unsigned char *buffer = malloc(STATES_AT_A_TIME);
	struct guest_file *g = malloc(sizeof(*g));
	int fd = open(r->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	bool done = buffer && g && fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == r->key[0] &&
		    st.st_ino == r->key[1] && read_all(fd, g, sizeof(*g)) &&
		    guest_valid(g, (uint64_t)st.st_size);

	memset(states, 0, PAGE_STATES * sizeof(*states));
	for (uint64_t at = 0; done && at < g->npages;) {
		uint64_t left = g->npages - at;
		ssize_t n = pread(fd, buffer, left < STATES_AT_A_TIME ? left : STATES_AT_A_TIME,
				  (off_t)(g->states_at + at));

		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			if ((buffer[i] & PAGE_STATE_MASK) < PAGE_STATES)
				states[buffer[i] & PAGE_STATE_MASK]++;
		at += (uint64_t)n;
	}
	if (fd >= 0)
		close(fd);
	free(g);
	free(buffer);
	return done;
}

/* ---- who has them
 */

struct found {
	int number;
	bool pager;
};

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

/* The descriptors of interest of a process, the pager's first. NULL: none, or no memory. */
static struct found *list_files(pid_t pid, size_t *n)
{
	char path[64], link[sizeof(pager_link) + 1];
	struct found *list = NULL;
	struct dirent *entry;
	DIR *d;

	*n = 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	if (!d)
		return NULL;
	while ((entry = readdir(d))) {
		ssize_t len = is_number(entry->d_name)
				      ? readlinkat(dirfd(d), entry->d_name, link, sizeof(link))
				      : -1;
		bool pager = len == sizeof(pager_link) - 1 && memcmp(link, pager_link, len) == 0;
		struct found *f;

		if (!pager && (len != sizeof(guest_link) - 1 || memcmp(link, guest_link, len) != 0))
			continue;
		f = append(&list, n, sizeof(*list));
		if (!f)
			break;
		*f = (struct found){atoi(entry->d_name), pager};
		if (pager && *n > 1) {
			*f = list[0];
			list[0] = (struct found){atoi(entry->d_name), true};
		}
	}
	closedir(d);
	return list;
}

static bool look_at_process(struct look *l, pid_t pid)
{
	size_t n;
	struct found *list = list_files(pid, &n);
	uint32_t group = 0, first = 0;
	bool room = true;

	for (size_t i = 0; room && i < n; i++) {
		char path[64];
		struct stat st;
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, list[i].number);
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			continue;
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
			if (list[i].pager)
				room = add_pager(l, &st, fd, &group);
			else if (!known_guest(l, &st))
				room = add_guest(l, &st, fd, pid, &first, path);
		}
		if (!first)
			first = group;
		close(fd);
	}
	free(list);
	return room;
}

bool find_pagers(struct look *l)
{
	DIR *d = opendir("/proc");
	struct dirent *entry;
	bool room = true;

	if (!d)
		return false;
	while (room && (entry = readdir(d)))
		if (is_number(entry->d_name))
			room = look_at_process(l, (pid_t)atol(entry->d_name));
	closedir(d);
	return room;
}
