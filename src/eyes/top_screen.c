/*
 * top_screen.c - the live view: ncurses, keys, and what is where on the screen.
 */
#include "cmd/cmd.h"
#include "eyes/top.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum view {
	VIEW_LIST,
	VIEW_DETAIL,
	VIEW_HELP,
};

enum prompt {
	PROMPT_NONE,
	PROMPT_FILTER,
	PROMPT_INTERVAL,
};

struct screen {
	const struct top_options *options;
	struct look now, before;
	uint32_t *order;
	size_t nrows;
	enum top_column by;
	bool reverse, paused, blocks, quit;
	enum view view;
	enum prompt prompt;
	char typed[64], filter[64];
	double interval;
	uint64_t chosen[3]; /* the row under the cursor, by its key */
	enum row_kind chosen_kind;
	size_t cursor, first;
	int detail_from, detail_lines, page;
};

static volatile sig_atomic_t ended_by;

static void on_end(int signal)
{
	ended_by = signal;
}

void screen_colour(enum top_colour c, bool on)
{
	int attribute = c == COLOUR_HEAD ? A_BOLD : c == COLOUR_BAD ? A_BOLD : A_NORMAL;

	if (has_colors() && c != COLOUR_PLAIN && c != COLOUR_HEAD)
		attribute |= COLOR_PAIR(c);
	if (on)
		attron(attribute);
	else
		attroff(attribute);
}

/* ---- looking
 */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool look_again(struct screen *s)
{
	struct look new;
	uint32_t *order;

	if (!look_around(&new, s->options))
		return false;
	look_compare(&new, s->now.at ? &s->now : NULL);
	look_free(&s->before);
	s->before = s->now;
	s->now = new;
	order = realloc(s->order, (new.nrows + 1) * sizeof(*order));
	if (!order)
		return false;
	s->order = order;
	return true;
}

/* The cursor stays on its row wherever that goes; the row at the cursor if it is gone. */
static void sort_rows(struct screen *s)
{
	s->nrows = order_rows(&s->now, s->by, s->reverse, s->filter, s->order);
	for (size_t i = 0; i < s->nrows; i++) {
		const struct top_row *r = &s->now.row[s->order[i]];

		if (r->kind == s->chosen_kind && memcmp(r->key, s->chosen, sizeof(r->key)) == 0) {
			s->cursor = i;
			return;
		}
	}
	if (s->cursor >= s->nrows)
		s->cursor = s->nrows ? s->nrows - 1 : 0;
}

static const struct top_row *chosen_row(const struct screen *s)
{
	return s->cursor < s->nrows ? &s->now.row[s->order[s->cursor]] : NULL;
}

static void choose(struct screen *s, size_t cursor)
{
	const struct top_row *r;

	s->cursor = cursor < s->nrows ? cursor : s->nrows ? s->nrows - 1 : 0;
	r = chosen_row(s);
	if (!r)
		return;
	memcpy(s->chosen, r->key, sizeof(s->chosen));
	s->chosen_kind = r->kind;
}

/* ---- drawing
 */

static int draw_title(const struct screen *s)
{
	char text[512], clock[16];
	time_t t = time(NULL);
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "userfault top  %s  every %g s%s%s%s%s", clock, s->interval,
		 s->paused ? "  PAUSED" : "", s->filter[0] ? "  only '" : "", s->filter,
		 s->filter[0] ? "'" : "");
	screen_colour(COLOUR_HEAD, true);
	mvaddnstr(0, 0, text, COLS);
	screen_colour(COLOUR_HEAD, false);
	totals_text(&s->now, text, sizeof(text));
	mvaddnstr(1, 0, text, COLS);
	return 2;
}

static int draw_group(const struct screen *s, const struct top_group *g, int y, int end)
{
	char text[1024];

	group_text(&s->now, g, text, sizeof(text));
	mvaddnstr(y++, 0, text, COLS);
	for (uint32_t i = 0; i < g->nsources && y < end; i++) {
		const struct top_source *source = &g->source[i];
		enum top_colour c = source->healthy ? COLOUR_GOOD : COLOUR_BAD;

		source_text(source, text, sizeof(text));
		screen_colour(c, true);
		mvaddnstr(y++, 2, text, COLS - 2);
		screen_colour(c, false);
	}
	return y;
}

/* At most a third of the screen. */
static int draw_groups(const struct screen *s, int y)
{
	int end = y + (LINES / 3 > 2 ? LINES / 3 : 2);
	size_t i;

	for (i = 0; i < s->now.ngroups && y < end; i++)
		y = draw_group(s, &s->now.group[i], y, end);
	if (i < s->now.ngroups)
		mvprintw(y++, 0, "and %zu more", s->now.ngroups - i);
	if (!s->now.ngroups)
		mvaddnstr(y++, 0, "no pagers and no sessions yet", COLS);
	return y;
}

static void draw_headings(const struct screen *s, int y, const bool *shown, int name_width)
{
	int x = 0;

	attron(A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	for (unsigned c = 0; c < COLUMNS; c++) {
		int width = c == COLUMN_NAME ? name_width : columns[c].width;
		char title[24];

		if (!shown[c])
			continue;
		snprintf(title, sizeof(title), "%s", columns[c].title);
		if (s->by == c)
			attron(A_BOLD | A_UNDERLINE);
		if (columns[c].left)
			mvaddnstr(y, x, title, width);
		else
			mvprintw(y, x + width - (int)strlen(title), "%s", title);
		attroff(A_BOLD | A_UNDERLINE);
		x += width + 1;
	}
	attroff(A_REVERSE);
}

static void draw_row(const struct screen *s, const struct top_row *r, int y, const bool *shown,
		     int name_width, bool cursor)
{
	bool late = r->oldest != NO_TIME && r->oldest > 1000000000;
	int x = 0;
	char cell[160];

	if (cursor) {
		attron(A_REVERSE);
		mvhline(y, 0, ' ', COLS);
	}
	for (unsigned c = 0; c < COLUMNS; c++) {
		int width = c == COLUMN_NAME ? name_width : columns[c].width, len;
		bool bad = late && (c == COLUMN_WAITING || c == COLUMN_OLDEST);

		if (!shown[c])
			continue;
		cell_text(&s->now, r, c, cell, sizeof(cell));
		len = (int)strlen(cell) < width ? (int)strlen(cell) : width;
		if (bad)
			screen_colour(COLOUR_BAD, true);
		mvaddnstr(y, columns[c].left ? x : x + width - len, cell, width);
		if (bad)
			screen_colour(COLOUR_BAD, false);
		x += width + 1;
	}
	if (cursor)
		attroff(A_REVERSE);
}

static void draw_list(struct screen *s)
{
	int y = draw_groups(s, draw_title(s)), name_width;
	bool shown[COLUMNS];

	name_width = choose_columns(COLS, shown);
	draw_headings(s, y++, shown, name_width);
	s->page = LINES - 1 - y > 1 ? LINES - 1 - y : 1;
	if (s->cursor < s->first)
		s->first = s->cursor;
	if (s->cursor >= s->first + (size_t)s->page)
		s->first = s->cursor - (size_t)s->page + 1;
	if (s->first && s->first + (size_t)s->page > s->nrows)
		s->first = s->nrows > (size_t)s->page ? s->nrows - (size_t)s->page : 0;
	for (size_t i = s->first; i < s->nrows && y < LINES - 1; i++)
		draw_row(s, &s->now.row[s->order[i]], y++, shown, name_width, i == s->cursor);
	if (!s->nrows && s->filter[0])
		mvaddnstr(y, 0, "nothing has that in its name; / and Enter show all again", COLS);
}

static const char *const help_lines[] = {
	"Arrows, j, k, PgUp, PgDn   move",
	"Enter                      all about one guest or process; Esc leads back",
	"< >                        sort by the column before, after",
	"f m M d a                  sort by faults, median, p99, demand, ahead,",
	"w o r n p                  waiting, oldest, resident, name, pid",
	"R                          the other way round",
	"/                          show only what has a text in its name",
	"i                          how often to look, in seconds",
	"Space                      pause, and go on",
	"h ?                        this help",
	"q                          quit",
	"",
	"FAULTS/S   faults that a handler or pager was asked for",
	"P50 P99    how long those of the last interval took",
	"DEMAND/S   pages filled because of a fault of their own (a process: all)",
	"NEAR/S     pages filled along with a neighbour",
	"AHEAD/S    pages filled by prefetch",
	"WAIT       threads that wait now; OLDEST: the longest of them",
	"RESIDENT   memory that was filled and has not left",
};

static void draw_help(void)
{
	int n = sizeof(help_lines) / sizeof(help_lines[0]);

	for (int i = 0; i < n && i < LINES - 3; i++)
		mvaddnstr(i + 2, 2, help_lines[i], COLS - 2);
}

static void draw_detail(struct screen *s)
{
	const struct top_row *r = chosen_row(s);
	int height = LINES - 3;

	if (!r) {
		mvaddnstr(2, 0, "it has ended", COLS);
		return;
	}
	s->detail_lines = detail_draw(&s->now, r, s->detail_from, 2, height, COLS, s->blocks);
	s->page = height > 1 ? height : 1;
	if (s->detail_from > s->detail_lines - height)
		s->detail_from = s->detail_lines > height ? s->detail_lines - height : 0;
}

static void draw_foot(const struct screen *s)
{
	static const char *const hints[] = {
		[VIEW_LIST] = "q quit  Enter details  < > sort  / filter  Space pause  h help",
		[VIEW_DETAIL] = "Esc back  arrows scroll  Space pause  q quit",
		[VIEW_HELP] = "any other key leads back  q quit",
	};
	char text[128];

	if (s->prompt == PROMPT_NONE)
		snprintf(text, sizeof(text), "%s", hints[s->view]);
	else
		snprintf(text, sizeof(text), "%s: %s_",
			 s->prompt == PROMPT_FILTER ? "only what has in its name"
						    : "seconds between two looks",
			 s->typed);
	attron(s->prompt == PROMPT_NONE ? A_DIM : A_BOLD);
	mvaddnstr(LINES - 1, 0, text, COLS - 1);
	attroff(A_DIM | A_BOLD);
}

static void draw(struct screen *s)
{
	erase();
	if (s->view == VIEW_LIST) {
		draw_list(s);
	} else {
		draw_title(s);
		if (s->view == VIEW_HELP)
			draw_help();
		else
			draw_detail(s);
	}
	draw_foot(s);
	refresh();
}

/* ---- keys
 */

static void finish_prompt(struct screen *s)
{
	char *end;
	double value;

	if (s->prompt == PROMPT_FILTER) {
		snprintf(s->filter, sizeof(s->filter), "%s", s->typed);
	} else {
		value = strtod(s->typed, &end);
		if (end != s->typed && !*end && value >= 0.1 && value <= 3600)
			s->interval = value;
	}
	s->prompt = PROMPT_NONE;
}

static void prompt_key(struct screen *s, int key)
{
	size_t n = strlen(s->typed);

	if (key == '\n' || key == '\r' || key == KEY_ENTER)
		finish_prompt(s);
	else if (key == 27)
		s->prompt = PROMPT_NONE;
	else if ((key == KEY_BACKSPACE || key == 127 || key == 8) && n)
		s->typed[n - 1] = 0;
	else if (key >= ' ' && key < 127 && n + 1 < sizeof(s->typed)) {
		s->typed[n] = (char)key;
		s->typed[n + 1] = 0;
	}
}

static void ask(struct screen *s, enum prompt what)
{
	s->prompt = what;
	s->typed[0] = 0;
}

static void scroll_by(struct screen *s, int lines)
{
	if (s->view == VIEW_DETAIL) {
		s->detail_from += lines;
		if (s->detail_from < 0)
			s->detail_from = 0;
	} else {
		long to = (long)s->cursor + lines;

		choose(s, to < 0 ? 0 : (size_t)to);
	}
}

static bool move_key(struct screen *s, int key)
{
	switch (key) {
	case KEY_UP:
	case 'k':
		scroll_by(s, -1);
		return true;
	case KEY_DOWN:
	case 'j':
		scroll_by(s, 1);
		return true;
	case KEY_PPAGE:
		scroll_by(s, -s->page);
		return true;
	case KEY_NPAGE:
		scroll_by(s, s->page);
		return true;
	case KEY_HOME:
	case 'g':
		scroll_by(s, -1000000);
		return true;
	case KEY_END:
	case 'G':
		scroll_by(s, 1000000);
		return true;
	default:
		return false;
	}
}

static bool sort_key(struct screen *s, int key)
{
	static const struct {
		int key;
		enum top_column by;
	} keys[] = {
		{'f', COLUMN_FAULTS}, {'m', COLUMN_P50},      {'M', COLUMN_P99},
		{'d', COLUMN_DEMAND}, {'a', COLUMN_AHEAD},    {'w', COLUMN_WAITING},
		{'o', COLUMN_OLDEST}, {'r', COLUMN_RESIDENT}, {'n', COLUMN_NAME},
		{'p', COLUMN_PID},
	};

	if (key == '<' || key == ',')
		s->by = (s->by + COLUMNS - 1) % COLUMNS;
	else if (key == '>' || key == '.')
		s->by = (s->by + 1) % COLUMNS;
	else if (key == 'R')
		s->reverse = !s->reverse;
	else {
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			if (keys[i].key == key) {
				s->by = keys[i].by;
				return true;
			}
		return false;
	}
	return true;
}

static void list_key(struct screen *s, int key)
{
	if (move_key(s, key) || sort_key(s, key))
		return;
	if (key == '\n' || key == '\r' || key == KEY_ENTER || key == KEY_RIGHT) {
		if (s->nrows) {
			choose(s, s->cursor);
			s->view = VIEW_DETAIL;
			s->detail_from = 0;
		}
	} else if (key == '/')
		ask(s, PROMPT_FILTER);
	else if (key == 'i' || key == 's')
		ask(s, PROMPT_INTERVAL);
}

static void press(struct screen *s, int key)
{
	if (key == KEY_RESIZE)
		return;
	if (s->prompt != PROMPT_NONE)
		prompt_key(s, key);
	else if (key == 'q')
		s->quit = true;
	else if (s->view == VIEW_HELP)
		s->view = VIEW_LIST;
	else if (key == ' ')
		s->paused = !s->paused;
	else if (key == 'h' || key == '?')
		s->view = VIEW_HELP;
	else if (s->view == VIEW_LIST)
		list_key(s, key);
	else if (key == 27 || key == KEY_BACKSPACE || key == 127 || key == KEY_LEFT)
		s->view = VIEW_LIST;
	else
		move_key(s, key);
	sort_rows(s);
}

/* ---- the loop
 */

/* Until a key, a signal, or the time has come. False: the terminal is gone. */
static bool wait_until(uint64_t when, const sigset_t *open)
{
	struct pollfd fd = {STDIN_FILENO, POLLIN, 0};
	uint64_t now = now_ns(), left = when > now ? when - now : 0;
	struct timespec t = {(time_t)(left / 1000000000), (long)(left % 1000000000)};

	return ppoll(&fd, 1, &t, open) <= 0 || !(fd.revents & (POLLHUP | POLLERR | POLLNVAL));
}

static int loop(struct screen *s, const sigset_t *open)
{
	uint64_t next = 0;

	while (!s->quit && !ended_by) {
		int key;

		if (!s->paused && now_ns() >= next) {
			if (!look_again(s))
				return STATUS_UNABLE;
			sort_rows(s);
			/* The second look soon follows: the first has no rates yet. */
			next = now_ns() + (uint64_t)((s->before.at ? s->interval : 0.2) * 1e9);
		}
		draw(s);
		if (!wait_until(s->paused ? now_ns() + 1000000000 : next, open))
			break;
		while (!s->quit && (key = getch()) != ERR)
			press(s, key);
	}
	return 0;
}

static void begin_colours(void)
{
	const char *no = getenv("NO_COLOR");

	if ((no && no[0]) || !has_colors() || start_color() == ERR)
		return;
	use_default_colors();
	init_pair(COLOUR_GOOD, COLOR_GREEN, -1);
	init_pair(COLOUR_BAD, COLOR_RED, -1);
	init_pair(COLOUR_BAR, COLOR_CYAN, -1);
}

static bool end_signals(sigset_t *open)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction action = {.sa_handler = on_end};
	sigset_t closed;

	sigemptyset(&closed);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		sigaddset(&closed, signals[i]);
		if (sigaction(signals[i], &action, NULL) < 0)
			return false;
	}
	return sigprocmask(SIG_BLOCK, &closed, open) == 0;
}

int screen_run(const struct top_options *o)
{
	struct screen s = {.options = o, .by = COLUMN_FAULTS, .interval = o->interval};
	sigset_t open;
	SCREEN *terminal;
	int status;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		complain("top needs a terminal; 'userfault top --once' prints a table without one");
		return STATUS_USAGE;
	}
	setlocale(LC_ALL, "");
	s.blocks = strcasecmp(nl_langinfo(CODESET), "UTF-8") == 0;
	terminal = newterm(NULL, stdout, stdin);
	if (!terminal || !end_signals(&open)) {
		complain("the terminal '%s' is not known; set TERM, or use 'userfault top --once'",
			 getenv("TERM") ? getenv("TERM") : "");
		return STATUS_USAGE;
	}
	set_escdelay(50);
	cbreak();
	noecho();
	nonl();
	nodelay(stdscr, TRUE);
	keypad(stdscr, TRUE);
	curs_set(0);
	begin_colours();
	status = loop(&s, &open);
	endwin();
	delscreen(terminal);
	look_free(&s.now);
	look_free(&s.before);
	free(s.order);
	if (status)
		complain("the processes of this machine cannot be listed; is /proc mounted?");
	return status;
}
