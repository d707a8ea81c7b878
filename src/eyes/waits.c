/*
 * waits.c - where the time of the longest waits went: one more pass, for what the handler did about
 * those pages meanwhile.
 */
#include "eyes/eyes.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 65536u /* of time */

static uint8_t *slots_of(const struct figures *f, uint64_t slot_ns)
{
	uint8_t *slot = calloc(SLOTS + 1, 1);

	for (uint32_t i = 0; slot && i < f->nwaits; i++) {
		const struct trace_record *r = &f->wait[i].fault;
		uint64_t first = survey_when(f->survey, r->time) / slot_ns;
		uint64_t last = survey_when(f->survey, r->time + r->value) / slot_ns;

		for (; first <= last && first < SLOTS; first++)
			slot[first] = 1;
	}
	return slot;
}

static void explain(struct wait *w, const struct trace_record *r, uint64_t page)
{
	const struct trace_record *fault = &w->fault;
	uint64_t at = r->time - fault->time, base = fault->addr & ~(page - 1);
	bool covers = r->addr <= base && r->arg > base - r->addr;

	if (r->process != fault->process || r->time < fault->time || at > fault->value)
		return;
	switch (record_kind(r)) {
	case TRACE_MESSAGE:
		if (!w->read && (r->addr & ~(page - 1)) == base)
			w->read = at + r->value < fault->value ? at + r->value : fault->value;
		break;
	case TRACE_FILL:
		if (!covers || (r->flags & TRACE_FAILED))
			return;
		w->fill = at;
		w->filled = at + r->value;
		break;
	case TRACE_PROTECT:
		if (!covers || !(r->flags & TRACE_LIFTED))
			return;
		w->fill = at;
		w->filled = at + r->value;
		break;
	}
	if (w->filled > fault->value)
		w->filled = fault->value;
}

void waits_explain(struct figures *f)
{
	uint64_t slot_ns = f->span / SLOTS + 1;
	uint8_t *slot = slots_of(f, slot_ns);
	const struct trace_record *r;

	if (!slot)
		return;
	reader_rewind(f->survey->reader);
	while ((r = reader_next(f->survey->reader))) {
		unsigned kind = record_kind(r);

		if ((kind != TRACE_MESSAGE && kind != TRACE_FILL && kind != TRACE_PROTECT) ||
		    !slot[survey_when(f->survey, r->time) / slot_ns])
			continue;
		for (uint32_t i = 0; i < f->nwaits; i++)
			explain(&f->wait[i], r, f->survey->page);
	}
	free(slot);
}
