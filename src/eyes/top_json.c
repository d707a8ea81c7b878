/*
 * top_json.c - all values of one look as JSON. Members are documented in userfault-top(1) and only
 * ever added to.
 */
#include "eyes/top.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

static void add(struct json_object *to, const char *key, struct json_object *value)
{
	json_object_object_add(to, key, value);
}

static void add_number(struct json_object *to, const char *key, uint64_t value)
{
	add(to, key, json_object_new_uint64(value));
}

static void add_text(struct json_object *to, const char *key, const char *value)
{
	add(to, key, value[0] ? json_object_new_string(value) : NULL);
}

static void add_time(struct json_object *to, const char *key, uint64_t ns)
{
	add(to, key, ns == NO_TIME ? NULL : json_object_new_uint64(ns));
}

static void add_address(struct json_object *to, const char *key, uint64_t addr)
{
	char text[20];

	snprintf(text, sizeof(text), "0x%" PRIx64, addr);
	add_text(to, key, text);
}

static struct json_object *latency_json(const uint64_t *all, const uint64_t *recent, uint64_t max)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	add_time(o, "p50", quarters_quantile(recent, 0.5));
	add_time(o, "p99", quarters_quantile(recent, 0.99));
	add_time(o, "p50_of_all", quarters_quantile(all, 0.5));
	add_time(o, "p99_of_all", quarters_quantile(all, 0.99));
	add_number(o, "max", max);
	for (unsigned i = 0; i < SHARED_BUCKETS; i++) {
		struct json_object *bucket;

		if (!all[i])
			continue;
		bucket = json_object_new_array();
		json_object_array_add(bucket, json_object_new_uint64(quarters_low(i)));
		json_object_array_add(bucket, json_object_new_uint64(all[i]));
		json_object_array_add(list, bucket);
	}
	add(o, "histogram", list);
	return o;
}

static struct json_object *waiters_json(const struct top_row *r)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < r->nwaiters; i++) {
		const struct top_waiter *w = &r->waiter[i];
		struct json_object *o = json_object_new_object();

		add(o, "tid", w->thread ? json_object_new_uint64(w->thread) : NULL);
		add_text(o, "name", w->name);
		add_text(o, "for", w->event ? "event" : "page");
		if (w->event)
			add(o, "address", NULL);
		else
			add_address(o, "address", w->addr);
		add_number(o, "nanoseconds", w->age);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *regions_json(const struct top_row *r)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < r->nregions; i++) {
		struct json_object *o = json_object_new_object();

		add_address(o, "address", r->region[i].addr);
		add_number(o, "size", r->region[i].size);
		add_number(o, "offset", r->region[i].offset);
		add_number(o, "page_size", r->region[i].page_size);
		add(o, "minor", json_object_new_boolean(r->region[i].flags & REGION_MINOR));
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *states_json(const struct top_row *r)
{
	static const char *const names[PAGE_STATES] = {"missing", "fetching", "present",
						       "removed", "failed",   "evicted"};
	struct json_object *o;
	uint64_t states[PAGE_STATES];

	if (!guest_states(r, states))
		return NULL;
	o = json_object_new_object();
	for (unsigned i = 0; i < PAGE_STATES; i++)
		add_number(o, names[i], states[i]);
	return o;
}

static struct json_object *rates_json(const struct top_row *r)
{
	static const char *const names[TOP_COUNTS] = {"faults", "demand",  "near",    "ahead",
						      "zero",	"removed", "evicted", "failed"};
	struct json_object *o;

	if (!r->compared)
		return NULL;
	o = json_object_new_object();
	for (unsigned i = 0; i < TOP_COUNTS; i++) {
		if (r->kind == ROW_PROCESS && i > TOP_DEMAND && i != TOP_EVICTED)
			continue;
		add(o, r->kind == ROW_PROCESS && i == TOP_DEMAND ? "filled" : names[i],
		    json_object_new_double(r->rate[i]));
	}
	return o;
}

static void guest_members(struct json_object *o, const struct top_row *r)
{
	static const char *const names[GUEST_COUNT_MAX] = {
#define X(name, metric, help) metric,
		GUEST_COUNTS(X)
#undef X
	};
	struct json_object *counts = json_object_new_object();

	add_text(o, "source", r->source);
	for (unsigned i = 0; i < GUEST_COUNT_MAX; i++)
		add_number(counts, names[i], r->guest_count[i]);
	add(o, "counts", counts);
	add_number(o, "resident_bytes", r->resident);
	add_number(o, "in_flight_bytes", r->in_flight);
	add_number(o, "prefetched_bytes", r->ahead_done);
	add_number(o, "prefetch_bytes", r->ahead_total);
	add(o, "regions", regions_json(r));
	add(o, "page_states", states_json(r));
}

static void process_members(struct json_object *o, const struct top_row *r)
{
	static const char *const kinds[] = {"missing", "write_protect", "minor",
					    "read_write_protect"};
	struct json_object *counts = json_object_new_object(), *faults = json_object_new_object();

	add(o, "pid_of_other_namespace", json_object_new_boolean(r->elsewhere));
	for (unsigned i = 0; i < 4; i++)
		add_number(faults, kinds[i], r->faults_by_kind[i]);
	add(counts, "faults", faults);
	add_number(counts, "filled_pages", r->count[TOP_DEMAND]);
	add_number(counts, "evicted_pages", r->count[TOP_EVICTED]);
	add(o, "counts", counts);
}

static struct json_object *row_json(const struct top_row *r)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "name", r->name);
	if (r->kind == ROW_GUEST)
		add_number(o, "number", r->key[2]);
	add(o, "pid", r->pid ? json_object_new_int64(r->pid) : NULL);
	add_text(o, r->kind == ROW_GUEST ? "state" : "role", r->state);
	add_number(o, "registered_bytes", r->registered);
	add(o, "per_second", rates_json(r));
	add(o, "latency", latency_json(r->bucket, r->recent, r->max_ns));
	add_number(o, "waiting", r->waiting);
	add_time(o, "longest_waiting", r->oldest);
	add(o, "waiters", waiters_json(r));
	if (r->kind == ROW_GUEST)
		guest_members(o, r);
	else
		process_members(o, r);
	return o;
}

static struct json_object *sources_json(const struct top_group *g)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < g->nsources; i++) {
		const struct top_source *s = &g->source[i];
		struct json_object *o = json_object_new_object();

		add_text(o, "source", s->spec);
		add_text(o, "kind", s->kind);
		add(o, "healthy", json_object_new_boolean(s->healthy));
		add_number(o, "size", s->size);
		add_number(o, "fetches", s->fetches);
		add_number(o, "bytes", s->bytes);
		add_number(o, "errors", s->errors);
		add_number(o, "retries", s->retries);
		add_number(o, "in_flight", s->in_flight);
		add_number(o, "in_flight_bytes", s->in_flight_bytes);
		add_number(o, "cache_hits", s->hits);
		add(o, "fetches_per_second", json_object_new_double(s->fetch_rate));
		add(o, "bytes_per_second", json_object_new_double(s->byte_rate));
		add_time(o, "p50", s->p50);
		add_time(o, "p99", s->p99);
		json_object_array_add(list, o);
	}
	return list;
}

static void pager_members(struct json_object *o, const struct top_group *g)
{
	add(o, "keeper", g->keeper ? json_object_new_int64(g->keeper) : NULL);
	add_number(o, "takeovers", g->takeovers);
	add_number(o, "accepted", g->accepted);
	add_number(o, "refused", g->refused);
	add_number(o, "ended", g->ended);
	add_number(o, "cut_off", g->cut_off);
	add_number(o, "cache_bytes", g->cache_bytes);
	add_number(o, "cache_limit", g->cache_limit);
	add_number(o, "in_flight_bytes", g->in_flight);
	add_number(o, "in_flight_limit", g->in_flight_limit);
	add_number(o, "bandwidth", g->bandwidth);
	add(o, "sources", sources_json(g));
}

static struct json_object *group_json(const struct look *l, uint32_t number)
{
	const struct top_group *g = &l->group[number];
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	bool pager = g->kind == GROUP_PAGER;

	add_text(o, "id", g->id);
	add_text(o, pager ? "name" : "program", g->name);
	add(o, "pid", g->pid ? json_object_new_int64(g->pid) : NULL);
	add(o, "begun", g->began ? json_object_new_uint64(g->began) : NULL);
	if (pager)
		pager_members(o, g);
	for (size_t i = 0; i < l->nrows; i++)
		if (l->row[i].group == number)
			json_object_array_add(list, row_json(&l->row[i]));
	add(o, pager ? "guests" : "processes", list);
	return o;
}

bool print_top_json(const struct look *l, FILE *out)
{
	struct json_object *o = json_object_new_object();
	struct json_object *pagers = json_object_new_array(), *sessions = json_object_new_array();

	if (!o || !pagers || !sessions)
		return false;
	for (size_t i = 0; i < l->ngroups; i++)
		json_object_array_add(l->group[i].kind == GROUP_PAGER ? pagers : sessions,
				      group_json(l, (uint32_t)i));
	add_text(o, "version", UF_VERSION);
	add(o, "seconds", json_object_new_double(l->seconds));
	add_number(o, "not_understood", l->hidden);
	add(o, "pagers", pagers);
	add(o, "sessions", sessions);
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
							  JSON_C_TO_STRING_SPACED |
							  JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return !ferror(out);
}
