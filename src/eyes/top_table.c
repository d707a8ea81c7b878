/*
 * top_table.c - columns: what stands in a cell, how rows are sorted, and the table of --once.
 */
#include "eyes/top.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

const struct column columns[COLUMNS] = {
	[COLUMN_NAME] = {"NAME", "name", 14, 100, true},
	[COLUMN_PID] = {"PID", "pid", 8, 5, false},
	[COLUMN_FAULTS] = {"FAULTS/S", "faults", 8, 95, false},
	[COLUMN_P50] = {"P50", "p50", 6, 80, false},
	[COLUMN_P99] = {"P99", "p99", 6, 90, false},
	[COLUMN_DEMAND] = {"DEMAND/S", "demand", 8, 60, false},
	[COLUMN_NEAR] = {"NEAR/S", "near", 6, 20, false},
	[COLUMN_AHEAD] = {"AHEAD/S", "ahead", 7, 55, false},
	[COLUMN_WAITING] = {"WAIT", "waiting", 4, 85, false},
	[COLUMN_OLDEST] = {"OLDEST", "oldest", 6, 75, false},
	[COLUMN_RESIDENT] = {"RESIDENT", "resident", 8, 50, false},
	[COLUMN_SOURCE] = {"OF", "group", 20, 2, true},
};

/* ---- numbers in few characters
 */

const char *short_ns(uint64_t ns, char *buffer, size_t size)
{
	static const char *const units[] = {"ns", "us", "ms", "s"};
	double value = (double)ns;
	unsigned unit = 0;

	if (ns == NO_TIME) {
		snprintf(buffer, size, "-");
		return buffer;
	}
	for (; value >= 999.5 && unit < 3; unit++)
		value /= 1000;
	if (unit == 3 && value >= 5999.5)
		snprintf(buffer, size, "%.0fh", value / 3600);
	else if (unit == 3 && value >= 99.5)
		snprintf(buffer, size, "%.0fmin", value / 60);
	else
		snprintf(buffer, size, value < 9.95 && unit ? "%.1f%s" : "%.0f%s", value,
			 units[unit]);
	return buffer;
}

const char *short_rate(double n, char *buffer, size_t size)
{
	static const char units[] = " kMGT";
	unsigned unit = 0;

	for (; n >= 9999.5 && unit < 4; unit++)
		n /= 1000;
	if (unit)
		snprintf(buffer, size, n < 99.95 ? "%.1f%c" : "%.0f%c", n, units[unit]);
	else
		snprintf(buffer, size, n > 0 && n < 9.95 ? "%.1f" : "%.0f", n);
	return buffer;
}

const char *short_bytes(uint64_t n, char *buffer, size_t size)
{
	static const char units[] = "BKMGTPE";
	double value = (double)n;
	unsigned unit = 0;

	for (; value >= 1023.5 && unit < 6; unit++)
		value /= 1024;
	snprintf(buffer, size, value < 9.95 && unit ? "%.1f%c" : "%.0f%c", value, units[unit]);
	return buffer;
}

/* ---- cells
 */

static void rate_cell(const struct top_row *r, enum top_count what, char *to, size_t size)
{
	if (r->compared)
		short_rate(r->rate[what], to, size);
	else
		snprintf(to, size, "-");
}

static void pid_cell(const struct top_row *r, char *to, size_t size)
{
	if (r->pid)
		snprintf(to, size, "%d%s", r->pid, r->elsewhere ? "*" : "");
	else
		snprintf(to, size, "-");
}

static void resident_cell(const struct top_row *r, char *to, size_t size)
{
	if (r->resident == NO_TIME)
		snprintf(to, size, "-");
	else
		short_bytes(r->resident, to, size);
}

void cell_text(const struct look *l, const struct top_row *r, enum top_column c, char *to,
	       size_t size)
{
	switch (c) {
	case COLUMN_NAME:
		snprintf(to, size, "%s", r->name[0] ? r->name : "-");
		break;
	case COLUMN_PID:
		pid_cell(r, to, size);
		break;
	case COLUMN_FAULTS:
		rate_cell(r, TOP_FAULTS, to, size);
		break;
	case COLUMN_P50:
		short_ns(r->p50, to, size);
		break;
	case COLUMN_P99:
		short_ns(r->p99, to, size);
		break;
	case COLUMN_DEMAND:
		rate_cell(r, TOP_DEMAND, to, size);
		break;
	case COLUMN_NEAR:
		rate_cell(r, TOP_NEAR, to, size);
		break;
	case COLUMN_AHEAD:
		rate_cell(r, TOP_AHEAD, to, size);
		break;
	case COLUMN_WAITING:
		snprintf(to, size, "%" PRIu32, r->waiting);
		break;
	case COLUMN_OLDEST:
		short_ns(r->oldest, to, size);
		break;
	case COLUMN_RESIDENT:
		resident_cell(r, to, size);
		break;
	case COLUMN_SOURCE:
		snprintf(to, size, "%s", l->group[r->group].name);
		break;
	default:
		to[0] = 0;
	}
}

int choose_columns(int width, bool shown[COLUMNS])
{
	int used = 0;

	for (unsigned i = 0; i < COLUMNS; i++) {
		shown[i] = true;
		used += columns[i].width + (i > 0);
	}
	while (used > width) {
		unsigned lowest = COLUMNS;

		for (unsigned i = 1; i < COLUMNS; i++)
			if (shown[i] &&
			    (lowest == COLUMNS || columns[i].rank < columns[lowest].rank))
				lowest = i;
		if (lowest == COLUMNS)
			return width > 0 ? width : 1;
		shown[lowest] = false;
		used -= columns[lowest].width + 1;
	}
	return columns[COLUMN_NAME].width + width - used;
}

/* ---- order
 */

static struct {
	const struct look *look;
	enum top_column by;
	bool reverse;
} sorting; /* qsort passes nothing along */

static int compare_numbers(double a, double b)
{
	return a > b ? -1 : a < b;
}

static double time_value(uint64_t ns)
{
	return ns == NO_TIME ? -1 : (double)ns;
}

static int compare_rows(const struct top_row *a, const struct top_row *b, enum top_column by)
{
	switch (by) {
	case COLUMN_NAME:
		return strverscmp(a->name, b->name);
	case COLUMN_PID:
		return -compare_numbers(a->pid, b->pid);
	case COLUMN_FAULTS:
		return compare_numbers(a->rate[TOP_FAULTS], b->rate[TOP_FAULTS]);
	case COLUMN_P50:
		return compare_numbers(time_value(a->p50), time_value(b->p50));
	case COLUMN_P99:
		return compare_numbers(time_value(a->p99), time_value(b->p99));
	case COLUMN_DEMAND:
		return compare_numbers(a->rate[TOP_DEMAND], b->rate[TOP_DEMAND]);
	case COLUMN_NEAR:
		return compare_numbers(a->rate[TOP_NEAR], b->rate[TOP_NEAR]);
	case COLUMN_AHEAD:
		return compare_numbers(a->rate[TOP_AHEAD], b->rate[TOP_AHEAD]);
	case COLUMN_WAITING:
		return compare_numbers(a->waiting, b->waiting);
	case COLUMN_OLDEST:
		return compare_numbers(time_value(a->oldest), time_value(b->oldest));
	case COLUMN_RESIDENT:
		return compare_numbers(time_value(a->resident), time_value(b->resident));
	default:
		return strcmp(sorting.look->group[a->group].name,
			      sorting.look->group[b->group].name);
	}
}

static int in_order(const void *x, const void *y)
{
	uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;
	const struct top_row *a = &sorting.look->row[i], *b = &sorting.look->row[j];
	int order = compare_rows(a, b, sorting.by);

	if (order)
		return sorting.reverse ? -order : order;
	order = memcmp(a->key, b->key, sizeof(a->key));
	return order ? order : (int)a->kind - (int)b->kind;
}

static bool matches(const struct look *l, const struct top_row *r, const char *filter)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", r->pid);
	return strcasestr(r->name, filter) || strcasestr(l->group[r->group].name, filter) ||
	       strcmp(pid, filter) == 0;
}

size_t order_rows(const struct look *l, enum top_column by, bool reverse, const char *filter,
		  uint32_t *order)
{
	size_t n = 0;

	for (size_t i = 0; i < l->nrows; i++)
		if (!filter[0] || matches(l, &l->row[i], filter))
			order[n++] = (uint32_t)i;
	sorting.look = l;
	sorting.by = by;
	sorting.reverse = reverse;
	qsort(order, n, sizeof(*order), in_order);
	return n;
}

/* ---- lines about groups
 */

void source_text(const struct top_source *s, char *to, size_t size)
{
	char fetches[16], bytes[16], p99[16], flight[16];
	int n = snprintf(to, size, "%s: %s", s->spec[0] ? s->spec : s->kind,
			 s->healthy ? "healthy" : "FAILING");

	if (n < 0 || (size_t)n >= size)
		return;
	n += snprintf(to + n, size - n, ", %s fetches/s, %s/s, p99 %s, %s in flight",
		      short_rate(s->fetch_rate, fetches, sizeof(fetches)),
		      short_bytes((uint64_t)s->byte_rate, bytes, sizeof(bytes)),
		      short_ns(s->p99, p99, sizeof(p99)),
		      short_bytes(s->in_flight_bytes, flight, sizeof(flight)));
	if ((size_t)n < size && (s->errors || s->retries))
		snprintf(to + n, size - n, ", %" PRIu64 " error%s, %" PRIu64 " retr%s", s->errors,
			 s->errors == 1 ? "" : "s", s->retries, s->retries == 1 ? "y" : "ies");
}

static void age_text(uint64_t began, char *to, size_t size)
{
	uint64_t now = (uint64_t)time(NULL), age = began && began <= now ? now - began : 0;

	if (age >= 86400)
		snprintf(to, size, "%" PRIu64 " d %" PRIu64 " h", age / 86400, age / 3600 % 24);
	else if (age >= 3600)
		snprintf(to, size, "%" PRIu64 " h %" PRIu64 " min", age / 3600, age / 60 % 60);
	else if (age >= 60)
		snprintf(to, size, "%" PRIu64 " min", age / 60);
	else
		snprintf(to, size, "%" PRIu64 " s", age);
}

void group_text(const struct look *l, const struct top_group *g, char *to, size_t size)
{
	char age[32], flight[16], limit[16];
	int n;

	(void)l;
	age_text(g->began, age, sizeof(age));
	if (g->kind == GROUP_SESSION) {
		snprintf(to, size, "session %s: %s, begun %s ago, %" PRIu32 " process%s", g->id,
			 g->name[0] ? g->name : "-", age, g->rows, g->rows == 1 ? "" : "es");
		return;
	}
	n = snprintf(to, size, "pager %s, pid %d, up %s, %" PRIu32 " guest%s, %s of %s in flight",
		     g->name[0] ? g->name : "-", g->pid, age, g->rows, g->rows == 1 ? "" : "s",
		     short_bytes(g->in_flight, flight, sizeof(flight)),
		     short_bytes(g->in_flight_limit, limit, sizeof(limit)));
	if ((size_t)n < size && g->takeovers)
		n += snprintf(to + n, size - n, ", %" PRIu32 " takeover%s", g->takeovers,
			      g->takeovers == 1 ? "" : "s");
	if ((size_t)n < size && g->cut_off)
		snprintf(to + n, size - n, ", %" PRIu64 " cut off", g->cut_off);
}

void totals_text(const struct look *l, char *to, size_t size)
{
	double faults = 0, demand = 0, near = 0, ahead = 0;
	uint64_t recent[SHARED_BUCKETS] = {0}, oldest = NO_TIME;
	uint64_t waiting = 0;
	char f[16], p50[16], p99[16], d[16], n[16], a[16], o[16];
	int at;

	for (size_t i = 0; i < l->nrows; i++) {
		const struct top_row *r = &l->row[i];

		faults += r->rate[TOP_FAULTS];
		demand += r->rate[TOP_DEMAND];
		near += r->rate[TOP_NEAR];
		ahead += r->rate[TOP_AHEAD];
		waiting += r->waiting;
		if (r->oldest != NO_TIME && (oldest == NO_TIME || r->oldest > oldest))
			oldest = r->oldest;
		for (unsigned b = 0; b < SHARED_BUCKETS; b++)
			recent[b] += r->recent[b];
	}
	at = snprintf(to, size, "%s faults/s, p50 %s, p99 %s; ", short_rate(faults, f, sizeof(f)),
		      short_ns(quarters_quantile(recent, 0.5), p50, sizeof(p50)),
		      short_ns(quarters_quantile(recent, 0.99), p99, sizeof(p99)));
	if (waiting)
		at += snprintf(to + at, size - at, "%" PRIu64 " wait%s, %s at most; ", waiting,
			       waiting == 1 ? "s" : "", short_ns(oldest, o, sizeof(o)));
	snprintf(to + at, size - at, "pages/s: %s demand, %s near, %s ahead",
		 short_rate(demand, d, sizeof(d)), short_rate(near, n, sizeof(n)),
		 short_rate(ahead, a, sizeof(a)));
}

/* ---- --once
 */

static void print_row(const struct look *l, const struct top_row *r, int name_width, FILE *out)
{
	char cell[160];

	for (unsigned c = 0; c < COLUMNS; c++) {
		cell_text(l, r, c, cell, sizeof(cell));
		if (c == COLUMN_NAME)
			fprintf(out, "%-*s", name_width, cell);
		else if (columns[c].left)
			fprintf(out, " %s", cell);
		else
			fprintf(out, " %*s", columns[c].width, cell);
	}
	fputc('\n', out);
	for (uint32_t i = 0; i < r->nwaiters; i++) {
		const struct top_waiter *w = &r->waiter[i];
		char age[16], thread[48] = "a thread";

		if (w->thread)
			snprintf(thread, sizeof(thread), "thread %" PRIu32 "%s%s", w->thread,
				 w->name[0] ? " " : "", w->name);
		fprintf(out, "  %s waits for %s ", thread, short_ns(w->age, age, sizeof(age)));
		if (w->event)
			fputs("for an event to be read\n", out);
		else
			fprintf(out, "at 0x%" PRIx64 "\n", w->addr);
	}
	if (r->waiting > r->nwaiters)
		fprintf(out, "  and %" PRIu32 " more\n", r->waiting - r->nwaiters);
}

void print_table(const struct look *l, FILE *out)
{
	uint32_t *order = malloc((l->nrows + 1) * sizeof(*order));
	int name_width = 14;
	char text[1024];
	size_t n;

	if (!order)
		return;
	for (size_t i = 0; i < l->ngroups; i++) {
		const struct top_group *g = &l->group[i];

		group_text(l, g, text, sizeof(text));
		fprintf(out, "%s\n", text);
		for (uint32_t s = 0; s < g->nsources; s++) {
			source_text(&g->source[s], text, sizeof(text));
			fprintf(out, "  source %s\n", text);
		}
	}
	if (!l->ngroups)
		fputs("no pagers and no sessions\n", out);
	if (l->hidden)
		fprintf(out, "%zu of another version of Userfault, or damaged\n", l->hidden);
	if (l->nrows) {
		totals_text(l, text, sizeof(text));
		fprintf(out, "%s\n\n", text);
		for (size_t i = 0; i < l->nrows; i++)
			if ((int)strlen(l->row[i].name) > name_width)
				name_width = (int)strlen(l->row[i].name);
		for (unsigned c = 0; c < COLUMNS; c++)
			fprintf(out, columns[c].left ? "%s%-*s" : "%s%*s", c ? " " : "",
				c == COLUMN_NAME     ? name_width
				: c == COLUMN_SOURCE ? 2
						     : columns[c].width,
				columns[c].title);
		fputc('\n', out);
	}
	n = order_rows(l, COLUMN_FAULTS, false, "", order);
	for (size_t i = 0; i < n; i++)
		print_row(l, &l->row[order[i]], name_width, out);
	free(order);
}
