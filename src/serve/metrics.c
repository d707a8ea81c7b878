/*
 * metrics.c - the counts of the server, its sources and its guests as Prometheus reads them.
 *
 * They are in memory files (pager/shared.h) that the engine writes without locks, and are read by
 * the thread that answers. It has a mapping of its own of each guest's, so that a guest may end
 * meanwhile. The number of series is bounded: guests beyond a number count as one called "other",
 * all that have ended as one called "ended".
 */
#include "serve.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <dirent.h>
#include <time.h>
#include <unistd.h>

/* Histograms: bounds are 2^FIRST ns to 2^LAST ns, 4 us to 17 s. */
#define FIRST 12
#define LAST  34

struct shown {
	struct shown *next;
	_Atomic unsigned refs;
	struct guest_file *file;
	struct peer peer;
};

static struct {
	pthread_mutex_t lock;
	struct shown *first;
	size_t n;
} list = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- guests as another thread may look at them
 */

struct shown *shown_add(struct guest *g, const struct peer *p)
{
	struct shown *s = calloc(1, sizeof(*s));
	void *at = MAP_FAILED;

	if (s)
		at = mmap(NULL, sizeof(struct guest_file), PROT_READ, MAP_SHARED, guest_fd(g), 0);
	if (!s || at == MAP_FAILED) {
		free(s);
		return NULL;
	}
	s->file = at;
	s->peer = *p;
	s->refs = 1;
	pthread_mutex_lock(&list.lock);
	s->next = list.first;
	list.first = s;
	list.n++;
	pthread_mutex_unlock(&list.lock);
	return s;
}

static void put(struct shown *s)
{
	if (atomic_fetch_sub(&s->refs, 1) > 1)
		return;
	munmap(s->file, sizeof(*s->file));
	free(s);
}

static void add_histogram(struct shared_histogram *to, const struct shared_histogram *h)
{
	for (unsigned i = 0; i < SHARED_BUCKETS; i++)
		atomic_fetch_add(&to->bucket[i], h->bucket[i]);
	atomic_fetch_add(&to->count, h->count);
	atomic_fetch_add(&to->sum_ns, h->sum_ns);
	if (to->max_ns < h->max_ns)
		to->max_ns = h->max_ns;
}

void shown_end(struct shown *s, struct pager_file *pager)
{
	struct shown **at = &list.first;

	pthread_mutex_lock(&list.lock);
	while (*at && *at != s)
		at = &(*at)->next;
	if (*at) {
		*at = s->next;
		list.n--;
	}
	/* Within the lock, or it would be counted twice, or not at all. */
	for (unsigned i = 0; i < GUEST_COUNT_MAX; i++)
		atomic_fetch_add(&pager->ended_count[i], s->file->count[i]);
	add_histogram(&pager->ended_latency, &s->file->latency);
	pthread_mutex_unlock(&list.lock);
	put(s);
}

static int by_number(const void *a, const void *b)
{
	const struct shown *const *x = a, *const *y = b;

	return ((*x)->file->number > (*y)->file->number) -
	       ((*x)->file->number < (*y)->file->number);
}

size_t shown_all(struct shown ***all)
{
	size_t n = 0;

	pthread_mutex_lock(&list.lock);
	*all = calloc(list.n + 1, sizeof(**all));
	for (struct shown *s = list.first; s && *all; s = s->next) {
		atomic_fetch_add(&s->refs, 1);
		(*all)[n++] = s;
	}
	pthread_mutex_unlock(&list.lock);
	if (n > 1)
		qsort(*all, n, sizeof(**all), by_number);
	return n;
}

void shown_free(struct shown **all, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put(all[i]);
	free(all);
}

const struct guest_file *shown_file(const struct shown *s)
{
	return s->file;
}

const struct peer *shown_peer(const struct shown *s)
{
	return &s->peer;
}

/* ---- text
 */

/* One guest, or several that count as one. */
struct row {
	char labels[192];
	bool gauges;
	uint64_t count[GUEST_COUNT_MAX];
	uint64_t resident, in_flight, ahead_done, ahead_total, recording, waiting;
	double oldest; /* seconds that somebody has waited */
	struct shared_histogram latency;
};

static void escape(char *to, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 3 < size; text++) {
		if (*text == '\\' || *text == '"')
			to[n++] = '\\';
		to[n++] = (unsigned char)*text < ' ' ? '?' : *text;
	}
	to[n] = 0;
}

static double oldest_wait(const struct guest_file *f)
{
	uint64_t oldest = 0, now;
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	for (unsigned i = 0; i < GUEST_WAITERS; i++) {
		uint64_t since = f->waiter[i].since;

		if (f->waiter[i].addr && since < now && now - since > oldest)
			oldest = now - since;
	}
	return (double)oldest / 1e9;
}

static void add_guest(struct row *r, const struct guest_file *f)
{
	double oldest = oldest_wait(f);

	r->gauges = true;
	for (unsigned i = 0; i < GUEST_COUNT_MAX; i++)
		r->count[i] += f->count[i];
	r->resident += f->resident;
	r->in_flight += f->in_flight;
	r->ahead_done += f->ahead_done;
	r->ahead_total += f->ahead_total;
	r->recording += f->recording;
	r->waiting += f->waiting;
	if (oldest > r->oldest)
		r->oldest = oldest;
	add_histogram(&r->latency, &f->latency);
}

static void name_guest(struct row *r, const struct guest_file *f)
{
	char name[sizeof(f->name)], escaped[2 * sizeof(f->name)];

	memcpy(name, f->name, sizeof(name));
	name[sizeof(name) - 1] = 0;
	escape(escaped, sizeof(escaped), name);
	snprintf(r->labels, sizeof(r->labels), "guest=\"%u\",name=\"%s\",pid=\"%u\"", f->number,
		 escaped, f->pid);
}

/* The rows, the last of which are "other" (if there are some) and "ended". */
static struct row *rows_make(struct server *s, size_t *nrows, size_t *nguests)
{
	const struct pager_file *p = engine_shared(s->engine);
	struct shown **all;
	struct row *row, *other = NULL;
	size_t n, used = 0;

	n = shown_all(&all);
	*nguests = n;
	row = calloc(n + 2, sizeof(*row));
	if (!row || !all) {
		free(row);
		shown_free(all, n);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		const struct guest_file *f = all[i]->file;

		if (i < s->o->metrics_guests) {
			name_guest(&row[used], f);
			add_guest(&row[used++], f);
			continue;
		}
		if (!other) {
			other = &row[used++];
			strcpy(other->labels, "guest=\"other\",name=\"\",pid=\"\"");
		}
		add_guest(other, f);
	}
	shown_free(all, n);
	strcpy(row[used].labels, "guest=\"ended\",name=\"\",pid=\"\"");
	for (unsigned i = 0; i < GUEST_COUNT_MAX; i++)
		row[used].count[i] = p->ended_count[i];
	add_histogram(&row[used].latency, &p->ended_latency);
	*nrows = used + 1;
	return row;
}

static void head(FILE *f, const char *name, const char *type, const char *help)
{
	fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void print_histogram(FILE *f, const char *name, const char *labels,
			    const struct shared_histogram *h)
{
	uint64_t below = 0;
	unsigned b = 0;

	for (unsigned k = FIRST; k <= LAST; k++) {
		for (; b < 4 * k; b++)
			below += h->bucket[b];
		fprintf(f, "%s_bucket{%s,le=\"%.10g\"} %" PRIu64 "\n", name, labels,
			(double)(1ull << k) / 1e9, below);
	}
	/* Not h->count, which may be ahead of the buckets. */
	for (; b < SHARED_BUCKETS; b++)
		below += h->bucket[b];
	fprintf(f, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, labels, below);
	fprintf(f, "%s_sum{%s} %.9f\n", name, labels, (double)h->sum_ns / 1e9);
	fprintf(f, "%s_count{%s} %" PRIu64 "\n", name, labels, below);
}

static void print_counts(FILE *f, const struct row *row, size_t n)
{
	static const struct {
		const char *name, *help;
	} counts[] = {
#define X(NAME, metric, text) [GUEST_##NAME] = {"userfault_guest_" metric "_total", text},
		GUEST_COUNTS(X)
#undef X
	};

	for (unsigned i = 0; i < GUEST_COUNT_MAX; i++) {
		head(f, counts[i].name, "counter", counts[i].help);
		for (size_t j = 0; j < n; j++)
			fprintf(f, "%s{%s} %" PRIu64 "\n", counts[i].name, row[j].labels,
				row[j].count[i]);
	}
}

static void print_guest_gauges(FILE *f, const struct row *row, size_t n)
{
	static const struct {
		const char *name, *help;
		size_t at;
	} gauges[] = {
		{"userfault_guest_resident_pages", "Pages that are there because of the server.",
		 offsetof(struct row, resident)},
		{"userfault_guest_in_flight_bytes", "Bytes being fetched.",
		 offsetof(struct row, in_flight)},
		{"userfault_guest_prefetch_done_bytes", "Bytes of the prefetch that are done.",
		 offsetof(struct row, ahead_done)},
		{"userfault_guest_prefetch_bytes", "Bytes that the prefetch has to do in all.",
		 offsetof(struct row, ahead_total)},
		{"userfault_guest_recording", "1 while first touches are recorded.",
		 offsetof(struct row, recording)},
		{"userfault_guest_waiting_threads", "Threads that wait for a page.",
		 offsetof(struct row, waiting)},
	};

	for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
		head(f, gauges[i].name, "gauge", gauges[i].help);
		for (size_t j = 0; j < n; j++)
			if (row[j].gauges)
				fprintf(f, "%s{%s} %" PRIu64 "\n", gauges[i].name, row[j].labels,
					*(const uint64_t *)((const char *)&row[j] + gauges[i].at));
	}
	head(f, "userfault_guest_oldest_wait_seconds", "gauge",
	     "How long the thread has waited that has waited longest.");
	for (size_t j = 0; j < n; j++)
		if (row[j].gauges)
			fprintf(f, "userfault_guest_oldest_wait_seconds{%s} %.6f\n", row[j].labels,
				row[j].oldest);
	head(f, "userfault_guest_fault_latency_seconds", "histogram",
	     "From when a fault's message was read until its page was there.");
	for (size_t j = 0; j < n; j++)
		print_histogram(f, "userfault_guest_fault_latency_seconds", row[j].labels,
				&row[j].latency);
}

static void one(FILE *f, const char *name, const char *type, const char *help, double value)
{
	head(f, name, type, help);
	fprintf(f, "%s %.17g\n", name, value);
}

static void print_pager(FILE *f, struct server *s, size_t nguests)
{
	const struct pager_file *p = engine_shared(s->engine);

	head(f, "userfault_build_info", "gauge", "1; the version is a label.");
	fprintf(f, "userfault_build_info{version=\"%s\"} 1\n", UF_VERSION);
	one(f, "userfault_pager_start_time_seconds", "gauge", "When serving began, since 1970.",
	    (double)p->started / 1e9);
	one(f, "userfault_pager_server_start_time_seconds", "gauge",
	    "When this server took over, since 1970.", (double)p->restarted / 1e9);
	one(f, "userfault_pager_takeovers_total", "counter",
	    "Times that another server took over from one that was gone.", p->takeovers);
	one(f, "userfault_pager_keeper", "gauge", "1 if there is a keeper.", p->keeper != 0);
	one(f, "userfault_pager_turn_age_seconds", "gauge",
	    "How long ago the server last went round; more than a second: it is stuck.",
	    (double)(now_ms() - s->beat) / 1e3);
	one(f, "userfault_pager_guests", "gauge", "Guests that are being served.", (double)nguests);
	one(f, "userfault_pager_guests_accepted_total", "counter", "Guests that were accepted.",
	    (double)p->accepted);
	one(f, "userfault_pager_guests_refused_total", "counter", "Guests that were refused.",
	    (double)p->refused);
	one(f, "userfault_pager_guests_ended_total", "counter", "Guests that have ended.",
	    (double)p->ended);
	one(f, "userfault_pager_guests_cut_off_total", "counter",
	    "Of them, those that broke the rules.", (double)p->cut_off);
	one(f, "userfault_pager_cache_bytes", "gauge", "Bytes in the cache of fetched chunks.",
	    (double)p->cache_bytes);
	one(f, "userfault_pager_cache_limit_bytes", "gauge", "The cache's limit.",
	    (double)p->cache_limit);
	one(f, "userfault_pager_in_flight_bytes", "gauge", "Bytes being fetched.",
	    (double)p->in_flight_bytes);
	one(f, "userfault_pager_in_flight_limit_bytes", "gauge", "The limit of that.",
	    (double)p->in_flight_limit);
	one(f, "userfault_pager_prefetch_limit_bytes", "gauge",
	    "Bytes a second that prefetch may take; 0: no limit.", (double)p->bandwidth);
}

static void source_labels(const struct shared_source *source, char *labels, size_t size)
{
	char spec[sizeof(source->spec)], escaped[2 * sizeof(source->spec)];
	char kind[sizeof(source->kind)];

	memcpy(spec, source->spec, sizeof(spec));
	spec[sizeof(spec) - 1] = 0;
	memcpy(kind, source->kind, sizeof(kind));
	kind[sizeof(kind) - 1] = 0;
	escape(escaped, sizeof(escaped), spec);
	snprintf(labels, size, "source=\"%s\",kind=\"%s\"", escaped, kind);
}

static void print_sources(FILE *f, const struct pager_file *p)
{
	static const struct {
		const char *name, *type, *help;
		size_t at;
	} values[] = {
		{"userfault_source_fetches_total", "counter", "Fetches that were begun.",
		 offsetof(struct shared_source, fetches)},
		{"userfault_source_fetched_bytes_total", "counter", "Bytes that were fetched.",
		 offsetof(struct shared_source, bytes)},
		{"userfault_source_errors_total", "counter", "Fetches that failed.",
		 offsetof(struct shared_source, errors)},
		{"userfault_source_retries_total", "counter", "Fetches that were tried again.",
		 offsetof(struct shared_source, retries)},
		{"userfault_source_cache_hits_total", "counter",
		 "Chunks that were in the cache when they were wanted.",
		 offsetof(struct shared_source, cache_hits)},
		{"userfault_source_in_flight", "gauge", "Fetches under way.",
		 offsetof(struct shared_source, in_flight)},
		{"userfault_source_in_flight_bytes", "gauge", "Bytes of the fetches under way.",
		 offsetof(struct shared_source, in_flight_bytes)},
		{"userfault_source_size_bytes", "gauge", "Its size.",
		 offsetof(struct shared_source, size)},
	};
	char labels[1200];

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		head(f, values[i].name, values[i].type, values[i].help);
		for (unsigned j = 0; j < PAGER_SOURCES; j++) {
			const struct shared_source *source = &p->source[j];

			if (!source->used)
				continue;
			source_labels(source, labels, sizeof(labels));
			fprintf(f, "%s{%s} %" PRIu64 "\n", values[i].name, labels,
				*(const uint64_t *)((const char *)source + values[i].at));
		}
	}
	head(f, "userfault_source_healthy", "gauge", "1 if the last fetches succeeded.");
	for (unsigned j = 0; j < PAGER_SOURCES; j++) {
		if (!p->source[j].used)
			continue;
		source_labels(&p->source[j], labels, sizeof(labels));
		fprintf(f, "userfault_source_healthy{%s} %u\n", labels, p->source[j].healthy != 0);
	}
	head(f, "userfault_source_fetch_latency_seconds", "histogram",
	     "From asking the source until its answer.");
	for (unsigned j = 0; j < PAGER_SOURCES; j++) {
		if (!p->source[j].used)
			continue;
		source_labels(&p->source[j], labels, sizeof(labels));
		print_histogram(f, "userfault_source_fetch_latency_seconds", labels,
				&p->source[j].latency);
	}
}

static unsigned descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n > 3 ? n - 3 : 0;
}

/* The names that every program's exporter has for these. */
static void print_process(FILE *f)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	unsigned long size = 0, resident = 0;
	struct rusage usage;
	struct rlimit limit;

	if (statm && fscanf(statm, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	if (statm)
		fclose(statm);
	one(f, "process_resident_memory_bytes", "gauge", "Memory of the server.",
	    (double)resident * (double)sysconf(_SC_PAGESIZE));
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		one(f, "process_cpu_seconds_total", "counter", "CPU time of the server.",
		    (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
			    (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6);
	one(f, "process_open_fds", "gauge", "Open descriptors of the server.", descriptors());
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		one(f, "process_max_fds", "gauge", "The limit of that.", (double)limit.rlim_cur);
}

char *metrics_text(struct server *s, size_t *len)
{
	size_t nrows = 0, nguests = 0;
	struct row *row = rows_make(s, &nrows, &nguests);
	char *text = NULL;
	FILE *f = row ? open_memstream(&text, len) : NULL;

	if (f) {
		print_pager(f, s, nguests);
		print_sources(f, engine_shared(s->engine));
		print_counts(f, row, nrows);
		print_guest_gauges(f, row, nrows);
		print_process(f);
		if (fclose(f) != 0) {
			free(text);
			text = NULL;
		}
	}
	free(row);
	return text;
}
