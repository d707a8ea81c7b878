/*
 * status.c - /status: all that is known, as JSON. Names are only ever added.
 */
#include "serve.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The loop goes round twice a second. */
#define STUCK_MS 5000

static void add_number(struct json_object *o, const char *name, uint64_t value)
{
	json_object_object_add(o, name, json_object_new_uint64(value));
}

static void add_text(struct json_object *o, const char *name, const char *text, size_t size)
{
	json_object_object_add(o, name, json_object_new_string_len(text, (int)strnlen(text, size)));
}

static void add_time(struct json_object *o, const char *name, uint64_t ns)
{
	json_object_object_add(o, name, json_object_new_double((double)ns / 1e9));
}

/* Seconds that a share of all stayed below, as precise as buckets are. */
static double quantile(const struct shared_histogram *h, double share)
{
	uint64_t all = 0, below = 0;

	for (unsigned i = 0; i < SHARED_BUCKETS; i++)
		all += h->bucket[i];
	for (unsigned i = 0; i < SHARED_BUCKETS && all; i++) {
		below += h->bucket[i];
		if ((double)below >= share * (double)all) {
			double top = exp2((i + 1) / 4.0);
			double most = (double)h->max_ns;

			return (most && most < top ? most : top) / 1e9;
		}
	}
	return 0;
}

static void add_latency(struct json_object *to, const struct shared_histogram *h)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "p50", json_object_new_double(quantile(h, 0.5)));
	json_object_object_add(o, "p99", json_object_new_double(quantile(h, 0.99)));
	add_time(o, "max", h->max_ns);
	json_object_object_add(to, "latency_seconds", o);
}

static struct json_object *counts_of(const _Atomic uint64_t count[GUEST_COUNT_MAX])
{
	struct json_object *o = json_object_new_object();

#define X(NAME, metric, text) add_number(o, metric, count[GUEST_##NAME]);
	GUEST_COUNTS(X)
#undef X
	return o;
}

static struct json_object *waiters_of(const struct guest_file *f)
{
	struct json_object *array = json_object_new_array();
	struct timespec t;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	for (unsigned i = 0; i < GUEST_WAITERS; i++) {
		struct guest_waiter w = f->waiter[i];
		struct json_object *o;

		if (!w.addr)
			continue;
		o = json_object_new_object();
		add_number(o, "address", w.addr);
		add_number(o, "thread", w.thread);
		add_time(o, "seconds", w.since < now ? now - w.since : 0);
		json_object_array_add(array, o);
	}
	return array;
}

static struct json_object *guest_object(const struct shown *s)
{
	const struct guest_file *f = shown_file(s);
	struct json_object *o = json_object_new_object(), *ahead = json_object_new_object();
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < f->nregions && i < GUEST_REGIONS; i++)
		bytes += f->region[i].size;
	add_number(o, "number", f->number);
	add_text(o, "name", f->name, sizeof(f->name));
	add_number(o, "pid", f->pid);
	json_object_object_add(o, "uid", json_object_new_int64((int32_t)shown_peer(s)->uid));
	add_time(o, "started", f->started);
	add_number(o, "bytes", bytes);
	add_number(o, "regions", f->nregions);
	add_number(o, "resident_pages", f->resident);
	add_number(o, "in_flight_bytes", f->in_flight);
	add_number(o, "waiting_threads", f->waiting);
	json_object_object_add(o, "waiting", waiters_of(f));
	json_object_object_add(o, "recording", json_object_new_boolean(f->recording != 0));
	add_number(ahead, "done_bytes", f->ahead_done);
	add_number(ahead, "bytes", f->ahead_total);
	json_object_object_add(o, "prefetch", ahead);
	add_latency(o, &f->latency);
	json_object_object_add(o, "counts", counts_of(f->count));
	return o;
}

static struct json_object *guests_array(void)
{
	struct json_object *array = json_object_new_array();
	struct shown **all;
	size_t n = shown_all(&all);

	for (size_t i = 0; i < n; i++)
		json_object_array_add(array, guest_object(all[i]));
	shown_free(all, n);
	return array;
}

static struct json_object *sources_array(const struct pager_file *p)
{
	struct json_object *array = json_object_new_array();

	for (unsigned i = 0; i < PAGER_SOURCES; i++) {
		const struct shared_source *s = &p->source[i];
		struct json_object *o;

		if (!s->used)
			continue;
		o = json_object_new_object();
		add_text(o, "source", s->spec, sizeof(s->spec));
		add_text(o, "kind", s->kind, sizeof(s->kind));
		add_number(o, "bytes", s->size);
		json_object_object_add(o, "healthy", json_object_new_boolean(s->healthy != 0));
		add_number(o, "fetches", s->fetches);
		add_number(o, "fetched_bytes", s->bytes);
		add_number(o, "errors", s->errors);
		add_number(o, "retries", s->retries);
		add_number(o, "cache_hits", s->cache_hits);
		add_number(o, "in_flight", s->in_flight);
		add_number(o, "in_flight_bytes", s->in_flight_bytes);
		add_latency(o, &s->latency);
		json_object_array_add(array, o);
	}
	return array;
}

static struct json_object *totals_object(const struct pager_file *p)
{
	struct json_object *o = json_object_new_object();

	add_number(o, "accepted", p->accepted);
	add_number(o, "refused", p->refused);
	add_number(o, "ended", p->ended);
	add_number(o, "cut_off", p->cut_off);
	json_object_object_add(o, "ended_counts", counts_of(p->ended_count));
	return o;
}

static struct json_object *limits_object(const struct pager_file *p)
{
	struct json_object *o = json_object_new_object();

	add_number(o, "in_flight_bytes", p->in_flight_limit);
	add_number(o, "cache_bytes", p->cache_limit);
	add_number(o, "prefetch_bytes_per_second", p->bandwidth);
	return o;
}

char *status_text(struct server *s, size_t *len)
{
	const struct pager_file *p = engine_shared(s->engine);
	struct json_object *o = json_object_new_object();
	char why[128], *text;

	json_object_object_add(o, "version", json_object_new_string(UF_VERSION));
	json_object_object_add(o, "healthy",
			       json_object_new_boolean(status_healthy(s, why, sizeof(why))));
	add_text(o, "socket", p->name, sizeof(p->name));
	add_number(o, "pid", p->pid);
	add_number(o, "keeper", p->keeper);
	add_time(o, "started", p->started);
	add_time(o, "restarted", p->restarted);
	add_number(o, "takeovers", p->takeovers);
	add_number(o, "cache_bytes", p->cache_bytes);
	add_number(o, "in_flight_bytes", p->in_flight_bytes);
	json_object_object_add(o, "limits", limits_object(p));
	json_object_object_add(o, "totals", totals_object(p));
	json_object_object_add(o, "sources", sources_array(p));
	json_object_object_add(o, "guests", guests_array());
	text = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
								JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	*len = text ? strlen(text) : 0;
	return text;
}

bool status_healthy(struct server *s, char *why, size_t why_size)
{
	const struct pager_file *p = engine_shared(s->engine);
	uint64_t age = now_ms() - s->beat;

	if (age > STUCK_MS) {
		snprintf(why, why_size, "the server has not gone round for %ju s",
			 (uintmax_t)age / 1000);
		return false;
	}
	for (unsigned i = 0; i < PAGER_SOURCES; i++) {
		if (p->source[i].used && !p->source[i].healthy) {
			snprintf(why, why_size, "a source fails");
			return false;
		}
	}
	return true;
}
