/*
 * perfetto.c - a trace as Chrome's trace events, which ui.perfetto.dev reads. Written record by
 * record; only what is needed to tie a fault to its message and its fill is kept.
 *
 *   run     a track for each thread; faults, fills and fetches are slices, arrows lead from a fault
 *           to its message, the fill, and the wake
 *   serve   faults and fetches overlap on a track: they are asynchronous slices of their guest
 *
 * Both have counters for each process: faults per second, resident pages.
 */
#include "eyes/eyes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNTER_NS    1000000ull /* at least, between two values */
#define COUNTER_STEPS 4000u
#define OPEN	      65536u /* pages with a message whose fault has not ended */
#define TRACKS	      "\"pid\":%" PRIu32 ",\"tid\":%" PRIu32

struct flow {
	uint64_t id; /* 0: none under way */
	uint64_t read;
};

struct rate {
	uint64_t faults; /* since the last value */
	bool changed;
};

struct perfetto {
	struct survey *survey;
	FILE *out;
	bool comma, async;
	uint64_t flows, step_ns, next_step;
	struct table open;  /* (process, page): struct flow */
	struct table rates; /* (process, 0): struct rate */
	struct pages pages;
};

static void begin(struct perfetto *p)
{
	fputs(p->comma ? ",\n{" : "\n{", p->out);
	p->comma = true;
}

static void put_text(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

/* Microseconds since the beginning, to the nanosecond. */
static void put_time(struct perfetto *p, const char *key, uint64_t ns)
{
	fprintf(p->out, "\"%s\":%" PRIu64 ".%03u", key, ns / 1000, (unsigned)(ns % 1000));
}

/* ---- names
 */

static void put_name(struct perfetto *p, const char *what, uint32_t pid, uint32_t tid,
		     const char *name)
{
	begin(p);
	fprintf(p->out, "\"ph\":\"M\",\"name\":\"%s\"," TRACKS ",\"args\":{\"name\":", what, pid,
		tid);
	put_text(p->out, name);
	fputs("}}", p->out);
}

static void put_names(struct perfetto *p)
{
	const struct survey *s = p->survey;
	char name[80];

	for (uint32_t i = 0; i < s->processes.n; i++) {
		const struct process *process = table_item(&s->processes, i);

		put_name(p, "process_name", process->number, 0,
			 process_name(s, process->number, name, sizeof(name)));
	}
	for (uint32_t i = 0; i < s->threads.n; i++) {
		const struct thread *t = table_item(&s->threads, i);

		put_name(p, "thread_name", t->process, t->tid,
			 thread_name(s, t->process, t->tid, name, sizeof(name)));
	}
	for (uint32_t i = 0; i < s->processes.n; i++) {
		const struct process *process = table_item(&s->processes, i);

		if (!table_find(&s->threads, process->number, 0))
			put_name(p, "thread_name", process->number, 0,
				 p->async ? "pager" : "thread not known");
	}
}

/* ---- slices
 */

static void put_args(struct perfetto *p, const struct trace_record *r)
{
	unsigned kind = record_kind(r);

	fprintf(p->out, ",\"args\":{\"%s\":\"0x%" PRIx64 "\"",
		kind == TRACE_FETCH ? "offset" : "address", r->addr);
	if (kind == TRACE_FAULT) {
		if (r->arg)
			fprintf(p->out, ",\"instruction\":\"0x%" PRIx64 "\"", r->arg);
		fprintf(p->out, ",\"access\":\"%s\"",
			r->flags & TRACE_WRITE	? "write"
			: r->flags & TRACE_EXEC ? "execute"
						: "read");
		if (r->flags & TRACE_KERNEL)
			fputs(",\"by\":\"system call\"", p->out);
		if (r->flags & TRACE_SIGNALLED)
			fputs(",\"ended_in\":\"signal\"", p->out);
	} else {
		fprintf(p->out, ",\"bytes\":%" PRIu64, r->arg);
	}
	if (kind == TRACE_MESSAGE)
		fprintf(p->out, ",\"unread_ns\":%" PRIu32, r->value);
	if ((kind == TRACE_FILL || kind == TRACE_FETCH) && r->flags & TRACE_AHEAD)
		fputs(",\"ahead\":true", p->out);
	if ((kind == TRACE_FILL || kind == TRACE_FETCH) && r->flags & TRACE_FAILED)
		fputs(",\"failed\":true", p->out);
	fputc('}', p->out);
}

/* A message lies there before its reader has it. */
static uint64_t starts(const struct perfetto *p, const struct trace_record *r)
{
	return survey_when(p->survey,
			   record_kind(r) == TRACE_MESSAGE ? r->time + r->value : r->time);
}

static void put_slice(struct perfetto *p, const struct trace_record *r, const char *category,
		      const char *name, uint64_t ns)
{
	begin(p);
	fprintf(p->out, "\"ph\":\"X\",\"cat\":\"%s\",\"name\":\"%s\"," TRACKS ",", category, name,
		r->process, r->thread);
	put_time(p, "ts", starts(p, r));
	fputc(',', p->out);
	put_time(p, "dur", ns);
	put_args(p, r);
	fputc('}', p->out);
}

static void put_async(struct perfetto *p, const struct trace_record *r, const char *category,
		      const char *name)
{
	uint64_t id = ++p->flows, at = survey_when(p->survey, r->time);
	uint32_t tid = record_kind(r) == TRACE_FETCH ? 0 : r->thread;

	begin(p);
	fprintf(p->out,
		"\"ph\":\"b\",\"cat\":\"%s\",\"name\":\"%s\",\"id\":\"0x%" PRIx64 "\"," TRACKS ",",
		category, name, id, r->process, tid);
	put_time(p, "ts", at);
	put_args(p, r);
	fputc('}', p->out);
	begin(p);
	fprintf(p->out,
		"\"ph\":\"e\",\"cat\":\"%s\",\"name\":\"%s\",\"id\":\"0x%" PRIx64 "\"," TRACKS ",",
		category, name, id, r->process, tid);
	put_time(p, "ts", at + r->value);
	fputc('}', p->out);
}

static void put_instant(struct perfetto *p, const struct trace_record *r, const char *name)
{
	begin(p);
	fprintf(p->out, "\"ph\":\"i\",\"s\":\"t\",\"cat\":\"memory\",\"name\":\"%s\"," TRACKS ",",
		name, r->process, r->thread);
	put_time(p, "ts", survey_when(p->survey, r->time));
	put_args(p, r);
	fputc('}', p->out);
}

/* ---- arrows
 */

static void put_arrow(struct perfetto *p, const struct trace_record *r, char phase, uint64_t id)
{
	begin(p);
	fprintf(p->out,
		"\"ph\":\"%c\",\"cat\":\"handled\",\"name\":\"handled\",\"id\":%" PRIu64 "," TRACKS
		",",
		phase, id, r->process, r->thread);
	put_time(p, "ts", starts(p, r));
	fputs(phase == 'f' ? ",\"bp\":\"e\"}" : "}", p->out);
}

static struct flow *flow_of(struct perfetto *p, const struct trace_record *r)
{
	return table_find(&p->open, r->process, r->addr / p->survey->page);
}

static void flow_message(struct perfetto *p, const struct trace_record *r)
{
	struct flow *f;

	/* Pages that were left open by processes that ended. */
	if (p->open.n >= OPEN)
		table_free(&p->open);
	f = table_at(&p->open, r->process, r->addr / p->survey->page);
	if (!f)
		return;
	*f = (struct flow){++p->flows, r->time + r->value};
	put_arrow(p, r, 't', f->id);
}

static void flow_step(struct perfetto *p, const struct trace_record *r, char phase)
{
	struct flow *f = flow_of(p, r);

	if (f && f->id && r->time >= f->read)
		put_arrow(p, r, phase, f->id);
}

static void flow_fault(struct perfetto *p, const struct trace_record *r)
{
	struct flow *f = flow_of(p, r);

	if (!f || !f->id || f->read < r->time || f->read > r->time + r->value)
		return;
	put_arrow(p, r, 's', f->id);
	f->id = 0;
}

/* ---- counters
 */

static void put_counter(struct perfetto *p, uint32_t process, const char *name, uint64_t at,
			double value)
{
	begin(p);
	fprintf(p->out, "\"ph\":\"C\",\"name\":\"%s\"," TRACKS ",", name, process, 0u);
	put_time(p, "ts", at);
	fprintf(p->out, ",\"args\":{\"value\":%.0f}}", value);
}

static void put_counters(struct perfetto *p, uint64_t until)
{
	for (uint32_t i = 0; i < p->rates.n; i++) {
		struct rate *rate = table_item(&p->rates, i);
		uint32_t process = (uint32_t)p->rates.key[i].a;
		const struct page_counts *c = table_find(&p->pages.counts, process, 0);

		if (!rate->changed)
			continue;
		put_counter(p, process, "faults/s", p->next_step - p->step_ns,
			    (double)rate->faults * 1e9 / (double)p->step_ns);
		if (c)
			put_counter(p, process, "resident pages", p->next_step,
				    (double)page_count(&p->pages, c, PAGE_IS_PRESENT));
		/* One more value is needed after the last fault: 0. */
		rate->changed = rate->faults != 0;
		rate->faults = 0;
	}
	p->next_step += (until - p->next_step) / p->step_ns * p->step_ns + p->step_ns;
}

static void count(struct perfetto *p, const struct trace_record *r)
{
	uint64_t at = survey_when(p->survey, r->time);
	struct rate *rate = table_at(&p->rates, r->process, 0);

	if (at >= p->next_step)
		put_counters(p, at);
	if (rate && record_kind(r) <= TRACE_EVICT) {
		rate->faults += record_kind(r) == TRACE_FAULT;
		rate->changed = true;
	}
}

/* ---- records
 */

static void put_fault(struct perfetto *p, const struct trace_record *r)
{
	unsigned why = r->flags & TRACE_WHY;
	char name[64];

	if (why >= WHYS)
		return;
	snprintf(name, sizeof(name), "%s fault", why_names[why]);
	if (p->async) {
		put_async(p, r, "fault", name);
		return;
	}
	put_slice(p, r, "fault", name, r->value);
	flow_fault(p, r);
}

static void put_fill(struct perfetto *p, const struct trace_record *r)
{
	unsigned how = r->flags & 0xf;

	if (how > TRACE_POISON)
		return;
	put_slice(p, r, "fill", fill_names[how], r->value);
	if (!p->async)
		flow_step(p, r, 't');
}

static void put_record(struct perfetto *p, const struct trace_record *r)
{
	switch (record_kind(r)) {
	case TRACE_FAULT:
		put_fault(p, r);
		break;
	case TRACE_MESSAGE:
		put_slice(p, r, "message", "message read", 0);
		if (!p->async)
			flow_message(p, r);
		break;
	case TRACE_FILL:
		put_fill(p, r);
		break;
	case TRACE_WAKE:
		put_slice(p, r, "wake", "wake", 0);
		if (!p->async)
			flow_step(p, r, 'f');
		break;
	case TRACE_PROTECT:
		put_slice(p, r, "protect", r->flags & TRACE_LIFTED ? "unprotect" : "protect",
			  r->value);
		if (!p->async)
			flow_step(p, r, 't');
		break;
	case TRACE_REMOVE:
		put_instant(p, r, "remove");
		break;
	case TRACE_EVICT:
		put_instant(p, r, "evict");
		break;
	case TRACE_FETCH:
		put_async(p, r, "fetch", r->flags & TRACE_AHEAD ? "fetch ahead" : "fetch");
		break;
	}
}

static void put_head(struct perfetto *p)
{
	const struct reader *r = p->survey->reader;

	fputs("{\"displayTimeUnit\":\"ns\",\"otherData\":{\"program\":", p->out);
	put_text(p->out, r->program);
	fprintf(p->out,
		",\"recorded_by\":\"userfault %s\",\"recorded\":%" PRIu64
		",\"begin_monotonic_ns\":%" PRIu64 ",\"records_lost\":%" PRIu64
		"},\"traceEvents\":[",
		p->async ? "serve" : "run", r->header.real_ns / 1000000000, p->survey->begin,
		r->lost);
}

int perfetto_write(struct survey *s, FILE *out)
{
	uint64_t span = s->end - s->begin;
	struct perfetto p = {
		.survey = s,
		.out = out,
		.async = s->reader->header.origin == TRACE_OF_PAGER,
		.step_ns = span / COUNTER_STEPS > COUNTER_NS ? span / COUNTER_STEPS : COUNTER_NS,
	};
	const struct trace_record *r;

	p.next_step = p.step_ns;
	table_init(&p.open, sizeof(struct flow), OPEN);
	table_init(&p.rates, sizeof(struct rate), UINT16_MAX);
	pages_init(&p.pages, s->page);
	put_head(&p);
	put_names(&p);
	reader_rewind(s->reader);
	while (!ferror(out) && (r = reader_next(s->reader))) {
		unsigned kind = record_kind(r);

		if (kind < TRACE_RANGE || kind >= TRACE_KINDS)
			continue;
		if (kind > TRACE_UNRANGE)
			count(&p, r);
		pages_apply(&p.pages, r);
		put_record(&p, r);
	}
	put_counters(&p, p.next_step);
	put_counters(&p, p.next_step);
	fputs("\n]}\n", out);
	pages_free(&p.pages);
	table_free(&p.rates);
	table_free(&p.open);
	return ferror(out) ? -EIO : 0;
}
