/*
 * notes.c - what stands out in a trace, in sentences: what somebody who knows the figures would say
 * first.
 */
#include "eyes/eyes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

const char *tell_ns(uint64_t ns, char *buffer, size_t size)
{
	if (ns < 1000)
		snprintf(buffer, size, "%" PRIu64 " ns", ns);
	else if (ns < 10000)
		snprintf(buffer, size, "%.1f us", (double)ns / 1e3);
	else if (ns < 1000000)
		snprintf(buffer, size, "%.0f us", (double)ns / 1e3);
	else if (ns < 10000000)
		snprintf(buffer, size, "%.1f ms", (double)ns / 1e6);
	else if (ns < 1000000000)
		snprintf(buffer, size, "%.0f ms", (double)ns / 1e6);
	else if (ns < 100000000000)
		snprintf(buffer, size, "%.2f s", (double)ns / 1e9);
	else
		snprintf(buffer, size, "%.0f s", (double)ns / 1e9);
	return buffer;
}

/* With commas between the thousands. */
const char *tell_count(uint64_t n, char *buffer, size_t size)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);
	size_t at = 0;

	for (int i = 0; i < len && at + 2 < size; i++) {
		if (i && (len - i) % 3 == 0)
			buffer[at++] = ',';
		buffer[at++] = digits[i];
	}
	buffer[at] = 0;
	return buffer;
}

const char *tell_bytes(uint64_t n, char *buffer, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)n;
	unsigned unit = 0;

	for (; value >= 1023.95 && unit < 6; unit++)
		value /= 1024;
	snprintf(buffer, size, unit == 0 || value == (uint64_t)value ? "%.0f %s" : "%.1f %s", value,
		 units[unit]);
	return buffer;
}

__attribute__((format(printf, 2, 3))) static void note(struct figures *f, const char *format, ...)
{
	va_list args;

	if (f->nnotes == sizeof(f->note) / sizeof(f->note[0]))
		return;
	va_start(args, format);
	vsnprintf(f->note[f->nnotes++], sizeof(f->note[0]), format, args);
	va_end(args);
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void note_unread(struct figures *f)
{
	if (f->all.sum && percent(f->message.sum, f->all.sum) >= 25)
		note(f,
		     "%.0f %% of the time that threads waited had passed before their messages "
		     "were read: the handler is short of threads, or of CPU.",
		     percent(f->message.sum, f->all.sum));
}

static void note_places(struct figures *f)
{
	const struct place *p = f->place;
	char name[512];

	if (f->nplaces > 1 && percent(p->faults, f->faults) >= 40)
		note(f, "%.0f %% of the faults come from one place, %s.",
		     percent(p->faults, f->faults), place_name(p, name, sizeof(name)));
}

static void note_tail(struct figures *f)
{
	uint64_t p50 = latency_quantile(&f->all, 0.5), p99 = latency_quantile(&f->all, 0.99);
	char a[32], b[32];

	if (f->all.count >= 1000 && p99 > 20 * p50)
		note(f, "One fault in a hundred takes more than %s, %.0f times the median of %s.",
		     tell_ns(p99, a, sizeof(a)), (double)p99 / (double)(p50 ? p50 : 1),
		     tell_ns(p50, b, sizeof(b)));
}

static void note_again(struct figures *f)
{
	uint64_t missing = f->by_why[TRACE_MISSING];

	if (f->evicted_pages && missing > 2 * f->distinct_pages)
		note(f,
		     "Each page that was touched was missing %.1f times on average: more of it "
		     "leaves memory than is good.",
		     (double)missing / (double)f->distinct_pages);
}

static void note_ahead(struct figures *f)
{
	uint64_t all = f->ahead_pages + f->demand_pages;

	if (f->survey->reader->header.origin == TRACE_OF_PAGER && all)
		note(f, "%.0f %% of the pages that were filled were there before anybody asked.",
		     percent(f->ahead_pages, all));
}

static void note_failures(struct figures *f)
{
	char n[32], all[32];

	if (f->signalled)
		note(f, "%s fault%s ended in a signal.", tell_count(f->signalled, n, sizeof(n)),
		     f->signalled == 1 ? "" : "s");
	if (f->fetch_failed)
		note(f, "%s of %s fetches failed.", tell_count(f->fetch_failed, n, sizeof(n)),
		     tell_count(f->fetches, all, sizeof(all)));
	if (f->failed_fills)
		note(f, "%s fill%s failed.", tell_count(f->failed_fills, n, sizeof(n)),
		     f->failed_fills == 1 ? "" : "s");
}

static void note_limits(struct figures *f)
{
	const struct reader *r = f->survey->reader;
	char n[32];

	if (r->lost)
		note(f, "%s record%s at the end found no room in the file.",
		     tell_count(r->lost, n, sizeof(n)), r->lost == 1 ? "" : "s");
	if (r->cut)
		note(f,
		     "The file ends early: what it should have contained after that is not here.");
	if (f->pages.gave_up)
		note(f, "There are more pages than are followed; their states are not complete.");
}

void notes_make(struct figures *f)
{
	note_limits(f);
	note_failures(f);
	note_unread(f);
	note_tail(f);
	note_places(f);
	note_again(f);
	note_ahead(f);
}
