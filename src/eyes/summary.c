/*
 * summary.c - a trace, told on a terminal.
 */
#include "eyes/eyes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOP 10u

static void heading(FILE *out, const char *text)
{
	fprintf(out, "\n%s\n", text);
}

static const char *percent(uint64_t part, uint64_t whole, char buffer[16])
{
	snprintf(buffer, 16, "%.1f %%", whole ? 100.0 * (double)part / (double)whole : 0.0);
	return buffer;
}

static void print_head(const struct figures *f, FILE *out)
{
	const struct survey *s = f->survey;
	const struct reader *r = s->reader;
	time_t begun = (time_t)(r->header.real_ns / 1000000000);
	char when[64] = "an unknown time", a[32], b[32], c[32];
	struct tm tm;

	if (localtime_r(&begun, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	fprintf(out, "%s: %s\n", r->name, r->program[0] ? r->program : "-");
	fprintf(out, "  recorded by 'userfault %s' on %s, %s, %s records\n",
		r->header.origin == TRACE_OF_PAGER ? "serve" : "run", when,
		tell_ns(f->span, a, sizeof(a)), tell_count(r->count, b, sizeof(b)));
	fprintf(out, "  %" PRIu32 " %s%s, %" PRIu32 " thread%s, %s registered at the end\n",
		f->heat.processes, r->header.origin == TRACE_OF_PAGER ? "guest" : "process",
		f->heat.processes == 1		     ? ""
		: r->header.origin == TRACE_OF_PAGER ? "s"
						     : "es",
		known_threads(s), known_threads(s) == 1 ? "" : "s",
		tell_bytes(f->pages.all.registered, c, sizeof(c)));
	for (uint32_t i = 0; i < f->nnotes; i++)
		fprintf(out, "  * %s\n", f->note[i]);
}

static void print_latency_row(FILE *out, const char *name, uint64_t n, uint64_t whole,
			      const struct latency *l)
{
	char count[32], part[16], t[4][32];

	fprintf(out, "  %-18s %14s %8s", name, tell_count(n, count, sizeof(count)),
		percent(n, whole, part));
	if (l->count)
		fprintf(out, " %9s %9s %9s %9s",
			tell_ns(latency_quantile(l, 0.5), t[0], sizeof(t[0])),
			tell_ns(latency_quantile(l, 0.9), t[1], sizeof(t[1])),
			tell_ns(latency_quantile(l, 0.99), t[2], sizeof(t[2])),
			tell_ns(l->max, t[3], sizeof(t[3])));
	fputc('\n', out);
}

static void print_faults(const struct figures *f, FILE *out)
{
	fprintf(out, "\n%-20s %14s %8s %9s %9s %9s %9s\n", "FAULTS", "NUMBER", "PART", "P50", "P90",
		"P99", "LONGEST");
	for (unsigned i = 0; i < WHYS; i++)
		if (f->by_why[i])
			print_latency_row(out, why_names[i], f->by_why[i], f->faults, &f->kind[i]);
	if (f->handled)
		print_latency_row(out, "all that were asked", f->handled, f->faults, &f->all);
}

static void print_work(const struct figures *f, FILE *out)
{
	char n[32], pages[32], bytes[32], a[32], b[32], c[32];

	heading(out, "WHAT WAS DONE");
	for (unsigned i = 0; i < 5; i++)
		if (f->fills[i])
			fprintf(out, "  %-18s %14s   %s pages\n", fill_names[i],
				tell_count(f->fills[i], n, sizeof(n)),
				tell_count(f->filled_pages[i], pages, sizeof(pages)));
	if (f->ahead_pages)
		fprintf(out, "  %-18s %14s   pages, and %s on demand\n", "filled ahead",
			tell_count(f->ahead_pages, n, sizeof(n)),
			tell_count(f->demand_pages, pages, sizeof(pages)));
	if (f->message.count)
		fprintf(out, "  %-18s %14s   unread for %s (p50), %s (p99), %s at most\n",
			"messages", tell_count(f->message.count, n, sizeof(n)),
			tell_ns(latency_quantile(&f->message, 0.5), a, sizeof(a)),
			tell_ns(latency_quantile(&f->message, 0.99), b, sizeof(b)),
			tell_ns(f->message.max, c, sizeof(c)));
	if (f->fetches)
		fprintf(out, "  %-18s %14s   %s in %s (p50), %s (p99), %s at most\n", "fetches",
			tell_count(f->fetches, n, sizeof(n)),
			tell_bytes(f->fetched_bytes, bytes, sizeof(bytes)),
			tell_ns(latency_quantile(&f->fetch, 0.5), a, sizeof(a)),
			tell_ns(latency_quantile(&f->fetch, 0.99), b, sizeof(b)),
			tell_ns(f->fetch.max, c, sizeof(c)));
	if (f->protects)
		fprintf(out, "  %-18s %14s\n", "protections",
			tell_count(f->protects, n, sizeof(n)));
	if (f->removes)
		fprintf(out, "  %-18s %14s   %s pages\n", "removals",
			tell_count(f->removes, n, sizeof(n)),
			tell_count(f->removed_pages, pages, sizeof(pages)));
	if (f->evicts)
		fprintf(out, "  %-18s %14s   %s pages\n", "evictions",
			tell_count(f->evicts, n, sizeof(n)),
			tell_count(f->evicted_pages, pages, sizeof(pages)));
}

static void print_threads(const struct figures *f, FILE *out)
{
	uint32_t *order = threads_by_wait(f), shown = 0;
	char process[80], name[80], n[32], t[3][32];

	if (!order || !f->handled) {
		free(order);
		return;
	}
	fprintf(out, "\n%-20s %-20s %12s %9s %9s %9s\n", "THREADS THAT WAIT", "PROCESS", "FAULTS",
		"P50", "P99", "TOGETHER");
	for (uint32_t i = 0; i < f->survey->threads.n && shown < TOP; i++) {
		const struct thread *h = table_item(&f->survey->threads, order[i]);

		if (!h->waits.count)
			break;
		shown++;
		fprintf(out, "  %-18.18s %-20.20s %12s %9s %9s %9s\n",
			thread_name(f->survey, h->process, h->tid, name, sizeof(name)),
			process_name(f->survey, h->process, process, sizeof(process)),
			tell_count(h->waits.count, n, sizeof(n)),
			tell_ns(coarse_quantile(&h->waits, 0.5), t[0], sizeof(t[0])),
			tell_ns(coarse_quantile(&h->waits, 0.99), t[1], sizeof(t[1])),
			tell_ns(h->waits.sum, t[2], sizeof(t[2])));
	}
	free(order);
}

static void print_places(const struct figures *f, FILE *out)
{
	char name[512], n[32], part[16], t[32];

	if (!f->nplaces)
		return;
	fprintf(out, "\n%-50s %12s %8s %9s\n", "CALL SITES", "FAULTS", "PART", "P50");
	for (uint32_t i = 0; i < f->nplaces && i < TOP; i++)
		fprintf(out, "  %-48s %12s %8s %9s\n", place_name(&f->place[i], name, sizeof(name)),
			tell_count(f->place[i].faults, n, sizeof(n)),
			percent(f->place[i].faults, f->faults, part),
			f->place[i].waits.count
				? tell_ns(coarse_quantile(&f->place[i].waits, 0.5), t, sizeof(t))
				: "-");
	if (f->nplaces > TOP)
		fprintf(out, "  and %" PRIu32 " more\n", f->nplaces - TOP);
}

static void print_memory(const struct figures *f, FILE *out)
{
	char process[80], a[32], b[32], c[32];

	if (f->ranges.n) {
		fprintf(out, "\n%-32s %-20s %9s %12s %12s\n", "RANGES", "PROCESS", "SIZE", "FAULTS",
			"PAGES HIT");
		for (uint32_t i = 0; i < f->ranges.n && i < TOP; i++) {
			const struct range_figures *r = table_item(&f->ranges, i);
			uint64_t faults = 0;

			for (unsigned k = 0; k < WHYS; k++)
				faults += r->by_why[k];
			fprintf(out, "  0x%-28" PRIx64 " %-20.20s %9s %12s %12s\n", r->span.from,
				process_name(f->survey, r->process, process, sizeof(process)),
				tell_bytes(r->span.to - r->span.from, a, sizeof(a)),
				tell_count(faults, b, sizeof(b)),
				tell_count(r->touched, c, sizeof(c)));
		}
		if (f->ranges.n > TOP)
			fprintf(out, "  and %" PRIu32 " more\n", f->ranges.n - TOP);
	}
	heading(out, "PAGES AT THE END");
	for (unsigned i = 0; i < PAGE_IS_MAX; i++)
		fprintf(out, "  %-18s %14s   %s\n", page_is_keys[i],
			tell_count(page_count(&f->pages, &f->pages.all, i), a, sizeof(a)),
			tell_bytes(page_count(&f->pages, &f->pages.all, i) * f->pages.size, b,
				   sizeof(b)));
	if (f->nhot && f->hot[0].faults > 1) {
		fprintf(out, "\n%-32s %-20s %9s\n", "HOTTEST PAGES", "PROCESS", "FAULTS");
		for (uint32_t i = 0; i < f->nhot && i < 5; i++)
			fprintf(out, "  0x%-28" PRIx64 " %-20.20s %9s\n", f->hot[i].addr,
				process_name(f->survey, f->hot[i].process, process,
					     sizeof(process)),
				tell_count(f->hot[i].faults, a, sizeof(a)));
	}
}

static void print_waits(const struct figures *f, FILE *out)
{
	char thread[80], t[32], at[32];

	if (!f->nwaits)
		return;
	fprintf(out, "\n%-20s %10s %10s  %-18s %s\n", "LONGEST WAITS", "TOOK", "AT", "ADDRESS",
		"KIND");
	for (uint32_t i = 0; i < f->nwaits && i < TOP; i++) {
		const struct trace_record *r = &f->wait[i].fault;

		fprintf(out, "  %-18.18s %10s %10s  0x%-16" PRIx64 " %s\n",
			thread_name(f->survey, r->process, r->thread, thread, sizeof(thread)),
			tell_ns(r->value, t, sizeof(t)),
			tell_ns(survey_when(f->survey, r->time), at, sizeof(at)), r->addr,
			why_names[r->flags & TRACE_WHY]);
	}
}

void summary_print(const struct figures *f, FILE *out)
{
	print_head(f, out);
	if (!f->faults && !f->fills[0] && !f->fetches) {
		fputs("\nnothing happened in it\n", out);
		return;
	}
	print_faults(f, out);
	print_work(f, out);
	print_threads(f, out);
	print_places(f, out);
	print_memory(f, out);
	print_waits(f, out);
}
