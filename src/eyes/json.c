/*
 * json.c - a trace's figures as JSON. Members are documented in userfault-trace(1) and only ever
 * added to. Times are in nanoseconds.
 */
#include "eyes/eyes.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define LISTED 100u

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

static void add_bool(struct json_object *to, const char *key, bool value)
{
	add(to, key, json_object_new_boolean(value));
}

/* Addresses as text: a number of JSON may lose their low bits. */
static void add_address(struct json_object *to, const char *key, uint64_t addr)
{
	char text[20];

	snprintf(text, sizeof(text), "0x%" PRIx64, addr);
	add_text(to, key, text);
}

static struct json_object *latency_json(const struct latency *l)
{
	struct json_object *o = json_object_new_object();

	add_number(o, "count", l->count);
	add_number(o, "mean", l->count ? l->sum / l->count : 0);
	add_number(o, "p50", latency_quantile(l, 0.5));
	add_number(o, "p90", latency_quantile(l, 0.9));
	add_number(o, "p99", latency_quantile(l, 0.99));
	add_number(o, "p999", latency_quantile(l, 0.999));
	add_number(o, "max", l->max);
	add_number(o, "sum", l->sum);
	return o;
}

static struct json_object *coarse_json(const struct latency_coarse *l)
{
	struct json_object *o = json_object_new_object();

	add_number(o, "count", l->count);
	add_number(o, "p50", coarse_quantile(l, 0.5));
	add_number(o, "p99", coarse_quantile(l, 0.99));
	add_number(o, "max", l->max);
	add_number(o, "sum", l->sum);
	return o;
}

static struct json_object *kinds_json(const uint64_t *by_why)
{
	struct json_object *o = json_object_new_object();

	for (unsigned i = 0; i < WHYS; i++)
		if (by_why[i])
			add_number(o, why_keys[i], by_why[i]);
	return o;
}

static struct json_object *faults_json(const struct figures *f)
{
	struct json_object *o = json_object_new_object();

	add_number(o, "total", f->faults);
	add_number(o, "handled", f->handled);
	add(o, "by_kind", kinds_json(f->by_why));
	add_number(o, "writes", f->writes);
	add_number(o, "in_system_calls", f->in_kernel);
	add_number(o, "signalled", f->signalled);
	add_number(o, "interrupted", f->retried);
	add_number(o, "distinct_pages", f->distinct_pages);
	add(o, "per_second",
	    json_object_new_double(f->span ? (double)f->faults * 1e9 / (double)f->span : 0));
	return o;
}

static struct json_object *latencies_json(const struct figures *f)
{
	struct json_object *o = json_object_new_object(), *kinds = json_object_new_object();

	add(o, "handled", latency_json(&f->all));
	for (unsigned i = 0; i < WHYS; i++)
		if (f->kind[i].count)
			add(kinds, why_keys[i], latency_json(&f->kind[i]));
	add(o, "by_kind", kinds);
	add(o, "message_unread", latency_json(&f->message));
	add(o, "fill", latency_json(&f->fill));
	add(o, "fetch", latency_json(&f->fetch));
	return o;
}

static struct json_object *work_json(const struct figures *f)
{
	struct json_object *o = json_object_new_object(), *fills = json_object_new_object();

	for (unsigned i = 0; i < 5; i++) {
		struct json_object *fill = json_object_new_object();

		add_number(fill, "number", f->fills[i]);
		add_number(fill, "pages", f->filled_pages[i]);
		add(fills, fill_names[i], fill);
	}
	add(o, "fills", fills);
	add_number(o, "filled_bytes", f->filled_bytes);
	add_number(o, "pages_on_demand", f->demand_pages);
	add_number(o, "pages_ahead", f->ahead_pages);
	add_number(o, "failed_fills", f->failed_fills);
	add_number(o, "messages", f->message.count);
	add_number(o, "wakes", f->wakes);
	add_number(o, "protections", f->protects);
	add_number(o, "protections_lifted", f->lifts);
	add_number(o, "removals", f->removes);
	add_number(o, "removed_pages", f->removed_pages);
	add_number(o, "evictions", f->evicts);
	add_number(o, "evicted_pages", f->evicted_pages);
	add_number(o, "fetches", f->fetches);
	add_number(o, "fetched_bytes", f->fetched_bytes);
	add_number(o, "fetched_bytes_ahead", f->fetched_ahead);
	add_number(o, "failed_fetches", f->fetch_failed);
	return o;
}

static struct json_object *pages_json(const struct pages *p, const struct page_counts *c)
{
	struct json_object *o = json_object_new_object();

	add_number(o, "registered_bytes", c->registered);
	for (unsigned i = 0; i < PAGE_IS_MAX; i++)
		add_number(o, page_is_keys[i], page_count(p, c, i));
	return o;
}

static struct json_object *processes_json(const struct figures *f)
{
	struct json_object *list = json_object_new_array();
	uint32_t *order = processes_by_weight(f->survey);
	char name[80];

	for (uint32_t i = 0; order && i < f->survey->processes.n && i < LISTED; i++) {
		const struct process *p = table_item(&f->survey->processes, order[i]);
		const struct page_counts *c = table_find(&f->pages.counts, p->number, 0);
		struct json_object *o = json_object_new_object();

		add_number(o, "process", p->number);
		add_text(o, "name", process_name(f->survey, p->number, name, sizeof(name)));
		add_number(o, "faults_and_fills", p->weight);
		if (c)
			add(o, "pages", pages_json(&f->pages, c));
		json_object_array_add(list, o);
	}
	free(order);
	return list;
}

static struct json_object *threads_json(const struct figures *f)
{
	struct json_object *list = json_object_new_array();
	uint32_t *order = threads_by_wait(f);
	char name[80];

	for (uint32_t i = 0; order && i < f->survey->threads.n && i < LISTED; i++) {
		const struct thread *t = table_item(&f->survey->threads, order[i]);
		struct json_object *o = json_object_new_object();

		add_number(o, "process", t->process);
		add_number(o, "thread", t->tid);
		add_text(o, "name", thread_name(f->survey, t->process, t->tid, name, sizeof(name)));
		add(o, "faults", kinds_json(t->by_why));
		add(o, "waits", coarse_json(&t->waits));
		add_number(o, "messages", t->messages);
		add_number(o, "fills", t->fills);
		json_object_array_add(list, o);
	}
	free(order);
	return list;
}

static struct json_object *places_json(const struct figures *f)
{
	struct json_object *list = json_object_new_array();
	char name[512];

	for (uint32_t i = 0; i < f->nplaces && i < LISTED; i++) {
		const struct place *p = &f->place[i];
		struct json_object *o = json_object_new_object();

		add_text(o, "name", place_name(p, name, sizeof(name)));
		add_text(o, "function", p->function);
		add_text(o, "file", p->file);
		add(o, "line", p->file[0] ? json_object_new_int(p->line) : NULL);
		add_text(o, "module", p->module);
		add_address(o, "offset", p->offset);
		add_number(o, "total", p->faults);
		add(o, "faults", kinds_json(p->by_why));
		add(o, "waits", coarse_json(&p->waits));
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *ranges_json(const struct figures *f)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < f->ranges.n && i < LISTED; i++) {
		const struct range_figures *r = table_item(&f->ranges, i);
		struct json_object *o = json_object_new_object();

		add_number(o, "process", r->process);
		add_address(o, "address", r->span.from);
		add_number(o, "size", r->span.to - r->span.from);
		add_number(o, "modes", r->span.modes);
		add(o, "faults", kinds_json(r->by_why));
		add_number(o, "pages_touched", r->touched);
		add_number(o, "pages_filled", r->filled);
		add_number(o, "pages_removed", r->removed);
		add_number(o, "pages_evicted", r->evicted);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *hot_json(const struct figures *f)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < f->nhot; i++) {
		struct json_object *o = json_object_new_object();

		add_number(o, "process", f->hot[i].process);
		add_address(o, "address", f->hot[i].addr);
		add_number(o, "faults", f->hot[i].faults);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *sources_json(const struct figures *f)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < f->sources.n; i++) {
		const struct source_figures *s = table_item(&f->sources, i);
		struct json_object *o = json_object_new_object();

		add_number(o, "source", s->number);
		add_number(o, "on_demand", s->demand);
		add_number(o, "ahead", s->ahead);
		add_number(o, "failed", s->failed);
		add_number(o, "bytes_on_demand", s->demand_bytes);
		add_number(o, "bytes_ahead", s->ahead_bytes);
		add(o, "latency", coarse_json(&s->latency));
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *since(bool known, uint64_t ns)
{
	return known ? json_object_new_uint64(ns) : NULL;
}

static struct json_object *waits_json(const struct figures *f)
{
	struct json_object *list = json_object_new_array();
	char name[80];

	for (uint32_t i = 0; i < f->nwaits; i++) {
		const struct wait *w = &f->wait[i];
		const struct trace_record *r = &w->fault;
		struct json_object *o = json_object_new_object();

		add_number(o, "nanoseconds", r->value);
		add_number(o, "at", survey_when(f->survey, r->time));
		add_number(o, "process", r->process);
		add_number(o, "thread", r->thread);
		add_text(o, "name",
			 thread_name(f->survey, r->process, r->thread, name, sizeof(name)));
		add_address(o, "address", r->addr);
		add_text(o, "kind", why_keys[r->flags & TRACE_WHY]);
		add(o, "read_after", since(w->read, w->read));
		add(o, "fill_after", since(w->filled, w->fill));
		add(o, "filled_after", since(w->filled, w->filled));
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *notes_json(const struct figures *f)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < f->nnotes; i++)
		json_object_array_add(list, json_object_new_string(f->note[i]));
	return list;
}

struct json_object *figures_json(const struct figures *f)
{
	const struct survey *s = f->survey;
	const struct reader *r = s->reader;
	struct json_object *o = json_object_new_object();

	add_text(o, "version", UF_VERSION);
	add_text(o, "program", r->program);
	add_text(o, "origin", r->header.origin == TRACE_OF_PAGER ? "serve" : "run");
	add_number(o, "recorded", r->header.real_ns / 1000000000);
	add_number(o, "nanoseconds", f->span);
	add_number(o, "page_size", s->page);
	add_number(o, "records", r->count);
	add_number(o, "records_lost", r->lost);
	add_number(o, "records_unfinished", s->unfinished);
	add_number(o, "records_unknown", s->unknown + s->misdated);
	add_bool(o, "ends_early", r->cut);
	add_bool(o, "pages_incomplete", f->pages.gave_up);
	add_number(o, "process_count", f->heat.processes);
	add_number(o, "thread_count", known_threads(s));
	add(o, "notes", notes_json(f));
	add(o, "faults", faults_json(f));
	add(o, "latency", latencies_json(f));
	add(o, "work", work_json(f));
	add(o, "pages", pages_json(&f->pages, &f->pages.all));
	add(o, "processes", processes_json(f));
	add(o, "threads", threads_json(f));
	add_number(o, "call_site_count", f->nplaces);
	add(o, "call_sites", places_json(f));
	add_number(o, "call_sites_left_out", f->sites_left_out);
	add_number(o, "range_count", f->ranges.n);
	add(o, "ranges", ranges_json(f));
	add(o, "hottest_pages", hot_json(f));
	add(o, "sources", sources_json(f));
	add(o, "longest_waits", waits_json(f));
	return o;
}
