/*
 * survey.c - the first pass over a trace: when it was, what things are called, where they are.
 */
#include "eyes/eyes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PROCESSES 4096u
#define THREADS	  16384u
#define MODULES	  65536u
#define TOUCHED	  262144u
#define BLOCK	  (2ull << 20)

const char *const why_names[WHYS] = {
	"missing", "write-protect", "minor", "read-write-protect",
	"opened",  "ordinary",	    "async", "back from swap",
};
const char *const why_keys[WHYS] = {
	"missing", "write_protect", "minor", "read_write_protect",
	"opened",  "ordinary",	    "async", "back_from_swap",
};
const char *const fill_names[5] = {"copy", "zeropage", "continue", "move", "poison"};

/* ---- ranges of addresses
 */

/* The first span that ends after addr. */
static uint32_t spans_after(const struct spans *s, uint64_t addr)
{
	uint32_t low = 0, high = s->n;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (s->span[middle].to <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct span *spans_find(const struct spans *s, uint64_t addr)
{
	uint32_t i = spans_after(s, addr);

	return i < s->n && s->span[i].from <= addr ? &s->span[i] : NULL;
}

static bool spans_insert(struct spans *s, uint32_t at, struct span new)
{
	if (s->n == s->room) {
		uint32_t room = s->room ? s->room * 2 : 8;
		struct span *more = room <= SPANS ? realloc(s->span, room * sizeof(*more)) : NULL;

		if (!more) {
			s->full = true;
			return false;
		}
		s->span = more;
		s->room = room;
	}
	memmove(&s->span[at + 1], &s->span[at], (s->n - at) * sizeof(*s->span));
	s->span[at] = new;
	s->n++;
	return true;
}

uint64_t spans_remove(struct spans *s, uint64_t from, uint64_t to)
{
	uint64_t gone = 0;
	uint32_t i = spans_after(s, from), end;

	if (i < s->n && s->span[i].from < from && s->span[i].to > to) {
		struct span rest = {to, s->span[i].to, s->span[i].modes};

		if (!spans_insert(s, i + 1, rest))
			return 0;
		s->span[i].to = from;
		return to - from;
	}
	if (i < s->n && s->span[i].from < from) {
		gone += s->span[i].to - from;
		s->span[i++].to = from;
	}
	for (end = i; end < s->n && s->span[end].to <= to; end++)
		gone += s->span[end].to - s->span[end].from;
	memmove(&s->span[i], &s->span[end], (s->n - end) * sizeof(*s->span));
	s->n -= end - i;
	if (i < s->n && s->span[i].from < to) {
		gone += to - s->span[i].from;
		s->span[i].from = to;
	}
	return gone;
}

uint64_t spans_add(struct spans *s, uint64_t from, uint64_t to, uint32_t modes)
{
	uint64_t gone, size = to - from;
	uint32_t i;

	if (from >= to)
		return 0;
	gone = spans_remove(s, from, to);
	i = spans_after(s, from);
	if (i > 0 && s->span[i - 1].to == from && s->span[i - 1].modes == modes) {
		s->span[i - 1].to = to;
		if (i < s->n && s->span[i].from == to && s->span[i].modes == modes) {
			s->span[i - 1].to = s->span[i].to;
			memmove(&s->span[i], &s->span[i + 1], (s->n - i - 1) * sizeof(*s->span));
			s->n--;
		}
	} else if (i < s->n && s->span[i].from == to && s->span[i].modes == modes) {
		s->span[i].from = from;
	} else if (!spans_insert(s, i, (struct span){from, to, modes})) {
		return 0;
	}
	return size - gone;
}

void spans_free(struct spans *s)
{
	free(s->span);
	*s = (struct spans){0};
}

/* ---- names
 */

static struct process *process_at(struct survey *s, uint32_t number)
{
	struct process *p = table_at(&s->processes, number, 0);

	if (p)
		p->number = number;
	return p;
}

static struct thread *thread_at(struct survey *s, uint32_t process, uint32_t tid)
{
	struct thread *t = table_at(&s->threads, process, tid);

	if (t) {
		t->process = process;
		t->tid = tid;
	}
	return t;
}

static void take_module(struct survey *s, const struct trace_record *r)
{
	struct module *m = table_at(&s->modules, r->process, r->value);

	if (!m)
		return;
	m->process = r->process;
	m->number = r->value;
	m->addr = r->addr;
	m->size = r->arg <= UINT64_MAX - r->addr ? r->arg : 0;
	m->offset = r->time;
}

static void take_path(struct survey *s, const struct trace_record *r)
{
	struct module *m = table_at(&s->modules, r->process, r->thread);

	if (m && r->value < sizeof(m->path) - sizeof(r->text))
		memcpy(m->path + r->value, r->text, sizeof(r->text));
}

static void take_range(struct survey *s, const struct trace_record *r)
{
	struct process *p = process_at(s, r->process);

	if (p && r->arg <= UINT64_MAX - r->addr)
		spans_add(&p->ranges, r->addr, r->addr + r->arg, r->value);
}

static void touch(struct survey *s, uint32_t process, uint64_t addr)
{
	uint32_t *n = table_at(&s->touched, process, addr / BLOCK);

	if (n && *n < UINT32_MAX)
		++*n;
}

static void take_time(struct survey *s, const struct trace_record *r)
{
	uint64_t end = r->time + r->value;

	/* No machine has been up for so long: the record is damaged. */
	if (r->time >> 62) {
		s->misdated++;
		return;
	}
	if (r->time < s->begin)
		s->begin = r->time;
	if (end > s->end)
		s->end = end;
}

static void take_event(struct survey *s, const struct trace_record *r, unsigned kind)
{
	struct process *p;

	take_time(s, r);
	if (r->thread && kind != TRACE_FETCH)
		thread_at(s, r->process, r->thread);

	p = process_at(s, r->process);
	if (kind != TRACE_FAULT && kind != TRACE_FILL)
		return;
	if (p)
		p->weight++;
	touch(s, r->process, r->addr);
	if (kind == TRACE_FILL && r->arg > BLOCK && r->arg <= UINT64_MAX - r->addr)
		touch(s, r->process, r->addr + r->arg - 1);
}

static void take(struct survey *s, const struct trace_record *r)
{
	unsigned kind = record_kind(r);
	struct process *p;
	struct thread *t;

	if (kind == TRACE_NONE) {
		s->unfinished++;
		return;
	}
	if (kind >= TRACE_KINDS) {
		s->unknown++;
		return;
	}
	s->kinds[kind]++;
	switch (kind) {
	case TRACE_PROCESS:
		p = process_at(s, r->process);
		if (p)
			clean_text(p->name, sizeof(p->name), r->text, sizeof(r->text));
		break;
	case TRACE_THREAD:
		t = thread_at(s, r->process, r->thread);
		if (t)
			clean_text(t->name, sizeof(t->name), r->text, sizeof(r->text));
		break;
	case TRACE_MODULE:
		take_module(s, r);
		break;
	case TRACE_TEXT:
		take_path(s, r);
		break;
	case TRACE_RANGE:
		take_range(s, r);
		break;
	case TRACE_UNRANGE:
		break;
	default:
		take_event(s, r, kind);
	}
}

bool survey_make(struct survey *s, struct reader *r)
{
	const struct trace_record *record;

	*s = (struct survey){.reader = r, .begin = UINT64_MAX, .page = r->header.page_size};
	table_init(&s->processes, sizeof(struct process), PROCESSES);
	table_init(&s->threads, sizeof(struct thread), THREADS);
	table_init(&s->modules, sizeof(struct module), MODULES);
	table_init(&s->touched, sizeof(uint32_t), TOUCHED);
	reader_rewind(r);
	while ((record = reader_next(r)))
		take(s, record);
	if (s->begin > s->end) {
		s->begin = r->header.mono_ns;
		s->end = s->begin;
	}
	/* The time before the first fault is part of the story, unless the clock was another. */
	if (r->header.mono_ns < s->begin && s->begin - r->header.mono_ns < s->end - s->begin)
		s->begin = r->header.mono_ns;
	return true;
}

void survey_free(struct survey *s)
{
	for (uint32_t i = 0; i < s->processes.n; i++)
		spans_free(&((struct process *)table_item(&s->processes, i))->ranges);
	table_free(&s->processes);
	table_free(&s->threads);
	table_free(&s->modules);
	table_free(&s->touched);
}

uint64_t survey_when(const struct survey *s, uint64_t time)
{
	return time < s->begin ? 0 : time > s->end ? s->end - s->begin : time - s->begin;
}

uint32_t known_threads(const struct survey *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->threads.n; i++)
		n += ((struct thread *)table_item(&s->threads, i))->tid != 0;
	return n;
}

const char *process_name(const struct survey *s, uint32_t number, char *buffer, size_t size)
{
	const struct process *p = table_find(&s->processes, number, 0);
	bool guest = s->reader->header.origin == TRACE_OF_PAGER;

	if (p && p->name[0])
		snprintf(buffer, size, "%s", p->name);
	else
		snprintf(buffer, size, guest ? "guest %" PRIu32 : "process %" PRIu32, number);
	return buffer;
}

const char *thread_name(const struct survey *s, uint32_t process, uint32_t tid, char *buffer,
			size_t size)
{
	const struct thread *t = table_find(&s->threads, process, tid);

	if (t && t->name[0])
		snprintf(buffer, size, "%s", t->name);
	else if (tid)
		snprintf(buffer, size, "thread %" PRIu32, tid);
	else
		snprintf(buffer, size, "not known");
	return buffer;
}
