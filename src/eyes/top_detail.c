/*
 * top_detail.c - everything about one guest or process, drawn in the terminal.
 */
#include "eyes/top.h"

#include <inttypes.h>
#include <ncurses.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 512
#define BAR_WIDTH 24

struct line {
	char text[200];
	enum top_colour colour;
	int bar_at[2]; /* 0: none */
	double bar[2];
};

struct lines {
	struct line *line;
	int n;
};

__attribute__((format(printf, 3, 4))) static struct line *
say(struct lines *l, enum top_colour colour, const char *format, ...)
{
	static struct line beyond;
	struct line *line = l->n < LINES_MAX ? &l->line[l->n++] : &beyond;
	va_list args;

	*line = (struct line){.colour = colour};
	va_start(args, format);
	vsnprintf(line->text, sizeof(line->text), format, args);
	va_end(args);
	return line;
}

static void say_head(struct lines *l, const struct look *look, const struct top_row *r)
{
	const struct top_group *g = &look->group[r->group];
	char pid[32] = "", faults[16], p50[16], p99[16], resident[16], all[16];

	if (r->pid)
		snprintf(pid, sizeof(pid), ", pid %d", r->pid);
	say(l, COLOUR_HEAD, "%s%s, %s, of %s", r->name, pid, r->state, g->name);
	if (r->source[0])
		say(l, COLOUR_PLAIN, "filled from %s", r->source);
	say(l, COLOUR_PLAIN, "%s faults/s, p50 %s, p99 %s; %s of %s resident",
	    short_rate(r->rate[TOP_FAULTS], faults, sizeof(faults)),
	    short_ns(r->p50, p50, sizeof(p50)), short_ns(r->p99, p99, sizeof(p99)),
	    r->resident == NO_TIME ? "-" : short_bytes(r->resident, resident, sizeof(resident)),
	    short_bytes(r->registered, all, sizeof(all)));
	if (r->ahead_total)
		say(l, COLOUR_PLAIN, "prefetch: %s of %s",
		    short_bytes(r->ahead_done, resident, sizeof(resident)),
		    short_bytes(r->ahead_total, all, sizeof(all)));
}

/* Octaves, so that all of it fits. */
static void say_histogram(struct lines *l, const struct look *look, const struct top_row *r)
{
	uint64_t octave[2][SHARED_BUCKETS / 4] = {{0}}, most[2] = {1, 1};
	int first = -1, last = -1;

	for (unsigned b = 0; b < SHARED_BUCKETS; b++) {
		octave[0][b / 4] += r->bucket[b];
		octave[1][b / 4] += r->recent[b];
	}
	for (int i = 0; i < SHARED_BUCKETS / 4; i++) {
		if (octave[0][i] && first < 0)
			first = i;
		if (octave[0][i])
			last = i;
		for (int n = 0; n < 2; n++)
			most[n] = octave[n][i] > most[n] ? octave[n][i] : most[n];
	}
	say(l, COLOUR_PLAIN, "%s", "");
	if (first < 0) {
		say(l, COLOUR_HEAD, "LATENCY OF FAULTS: none were served");
		return;
	}
	say(l, COLOUR_HEAD, "%-15s%-36s LAST %.1f s", "LATENCY", "SINCE IT BEGAN", look->seconds);
	for (int i = first; i <= last; i++) {
		char low[16], high[16], range[40];
		struct line *line;

		snprintf(range, sizeof(range), "%s-%s",
			 short_ns((uint64_t)1 << i, low, sizeof(low)),
			 short_ns((uint64_t)2 << i, high, sizeof(high)));
		line = say(l, COLOUR_PLAIN, "%-14s %*s%10" PRIu64 "  %*s%10" PRIu64, range,
			   BAR_WIDTH, "", octave[0][i], BAR_WIDTH / 2, "", octave[1][i]);
		line->bar_at[0] = 15;
		line->bar[0] = (double)octave[0][i] / (double)most[0];
		line->bar_at[1] = 15 + BAR_WIDTH + 12;
		line->bar[1] = (double)octave[1][i] / (double)most[1];
	}
}

static void say_waiters(struct lines *l, const struct top_row *r)
{
	if (!r->waiting)
		return;
	say(l, COLOUR_PLAIN, "%s", "");
	say(l, COLOUR_HEAD, "%-9s %-16s %8s  %s", "WAITING", "THREAD", "FOR", "ADDRESS");
	for (uint32_t i = 0; i < r->nwaiters; i++) {
		const struct top_waiter *w = &r->waiter[i];
		char age[16], tid[16] = "-", addr[24] = "an event to be read";

		if (w->thread)
			snprintf(tid, sizeof(tid), "%" PRIu32, w->thread);
		if (!w->event)
			snprintf(addr, sizeof(addr), "0x%" PRIx64, w->addr);
		say(l, w->age > 1000000000 ? COLOUR_BAD : COLOUR_PLAIN, "%-9s %-16s %8s  %s", tid,
		    w->name[0] ? w->name : "-", short_ns(w->age, age, sizeof(age)), addr);
	}
	if (r->waiting > r->nwaiters)
		say(l, COLOUR_PLAIN, "and %" PRIu32 " more", r->waiting - r->nwaiters);
}

static void say_states(struct lines *l, const struct top_row *r)
{
	static const char *const names[PAGE_STATES] = {"missing", "fetching", "present",
						       "removed", "failed",   "evicted"};
	uint64_t states[PAGE_STATES], all = 0;

	if (r->kind != ROW_GUEST || !guest_states(r, states))
		return;
	for (unsigned i = 0; i < PAGE_STATES; i++)
		all += states[i];
	say(l, COLOUR_PLAIN, "%s", "");
	say(l, COLOUR_HEAD, "PAGES");
	for (unsigned i = 0; i < PAGE_STATES; i++) {
		double part = all ? (double)states[i] / (double)all : 0;
		struct line *line = say(l, COLOUR_PLAIN, "%-14s %*s%10" PRIu64 "  %5.1f %%",
					names[i], BAR_WIDTH, "", states[i], 100 * part);

		line->bar_at[0] = 15;
		line->bar[0] = part;
	}
}

static void say_regions(struct lines *l, const struct top_row *r)
{
	if (!r->nregions)
		return;
	say(l, COLOUR_PLAIN, "%s", "");
	say(l, COLOUR_HEAD, "%-18s %8s %8s %8s", "REGION", "SIZE", "OFFSET", "PAGE");
	for (uint32_t i = 0; i < r->nregions; i++) {
		const struct guest_region *g = &r->region[i];
		char size[16], offset[16], page[16];

		say(l, COLOUR_PLAIN, "0x%-16" PRIx64 " %8s %8s %8s%s", g->addr,
		    short_bytes(g->size, size, sizeof(size)),
		    short_bytes(g->offset, offset, sizeof(offset)),
		    short_bytes(g->page_size, page, sizeof(page)),
		    g->flags & REGION_MINOR ? "  minor" : "");
	}
}

static void say_counts(struct lines *l, const struct top_row *r)
{
	static const char *const names[GUEST_COUNT_MAX] = {
#define X(name, metric, help) metric,
		GUEST_COUNTS(X)
#undef X
	};
	static const char *const kinds[] = {"missing", "write-protect", "minor",
					    "read-write-protect"};

	say(l, COLOUR_PLAIN, "%s", "");
	say(l, COLOUR_HEAD, "COUNTED SINCE IT BEGAN");
	if (r->kind == ROW_GUEST) {
		for (unsigned i = 0; i < GUEST_COUNT_MAX; i++)
			say(l, COLOUR_PLAIN, "%-24s %12" PRIu64, names[i], r->guest_count[i]);
		return;
	}
	for (unsigned i = 0; i < 4; i++)
		say(l, COLOUR_PLAIN, "%-24s %12" PRIu64, kinds[i], r->faults_by_kind[i]);
	say(l, COLOUR_PLAIN, "%-24s %12" PRIu64, "pages filled", r->count[TOP_DEMAND]);
	say(l, COLOUR_PLAIN, "%-24s %12" PRIu64, "pages that left memory", r->count[TOP_EVICTED]);
}

/* In eighths of a cell where the terminal can. */
static void draw_bar(int y, int x, int width, double part, bool blocks)
{
	static const char *const eighth[] = {"",       "\u258f", "\u258e", "\u258d",
					     "\u258c", "\u258b", "\u258a", "\u2589"};
	int full = (int)(part * width * 8 + 0.5);

	if (part > 0 && full == 0)
		full = 1;
	screen_colour(COLOUR_BAR, true);
	move(y, x);
	for (int i = 0; i < full / 8; i++)
		addstr(blocks ? "\u2588" : "#");
	if (full % 8)
		addstr(blocks ? eighth[full % 8] : full >= 4 || full < 8 ? "#" : "");
	screen_colour(COLOUR_BAR, false);
}

static void draw_line(const struct line *line, int y, int width, bool blocks)
{
	screen_colour(line->colour, true);
	mvaddnstr(y, 0, line->text, width);
	screen_colour(line->colour, false);
	for (int i = 0; i < 2; i++) {
		int bar = i ? BAR_WIDTH / 2 : BAR_WIDTH;

		if (line->bar_at[i] && line->bar_at[i] + bar <= width)
			draw_bar(y, line->bar_at[i], bar, line->bar[i], blocks);
	}
}

int detail_draw(const struct look *look, const struct top_row *r, int from, int top, int height,
		int width, bool blocks)
{
	struct lines l = {.line = calloc(LINES_MAX, sizeof(struct line))};

	if (!l.line)
		return 0;
	say_head(&l, look, r);
	say_waiters(&l, r);
	say_histogram(&l, look, r);
	say_states(&l, r);
	say_regions(&l, r);
	say_counts(&l, r);
	if (from > l.n - height)
		from = l.n > height ? l.n - height : 0;
	for (int i = 0; i < height && from + i < l.n; i++)
		draw_line(&l.line[from + i], top + i, width, blocks);
	free(l.line);
	return l.n;
}
