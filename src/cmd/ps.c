/*
 * ps.c - userfault ps: the sessions, their processes, and the threads that wait.
 */
#include "cmd.h"
#include "sessions.h"

#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char help_text[] =
	"Usage: userfault ps [OPTION]...\n"
	"\n"
	"Lists the sessions of Userfault: the processes of each that have used a userfaultfd,\n"
	"what they have registered, and which of their threads wait, where and for how long.\n"
	"\n"
	"  --mine   only this user's sessions\n"
	"  --json   the same as one JSON object\n"
	"  --help   this text\n"
	"\n"
	"Exit status: 0, 1 if /proc cannot be read, 2 for a wrong command line.\n";

static const char *role(const struct session_process *p)
{
	switch (p->roles & (SLOT_OWNER | SLOT_HANDLER)) {
	case SLOT_OWNER:
		return "owner";
	case SLOT_HANDLER:
		return "handler";
	case SLOT_OWNER | SLOT_HANDLER:
		return "both";
	default:
		return "-";
	}
}

/* ---- the table ---------------------------------------------------------------------------------
 */

static void print_age(uint64_t seconds)
{
	if (seconds >= 86400)
		printf("%" PRIu64 " d %" PRIu64 " h", seconds / 86400, seconds / 3600 % 24);
	else if (seconds >= 3600)
		printf("%" PRIu64 " h %" PRIu64 " min", seconds / 3600, seconds / 60 % 60);
	else if (seconds >= 60)
		printf("%" PRIu64 " min %" PRIu64 " s", seconds / 60, seconds % 60);
	else
		printf("%" PRIu64 " s", seconds);
}

static void print_thread(const struct session_thread *t)
{
	printf("          thread %" PRIu32 " waits ", t->tid);
	if (t->age < 60000000000)
		printf("%.3f s", (double)t->age / 1e9);
	else
		print_age(t->age / 1000000000);
	if (t->event)
		puts(" for an event to be read");
	else
		printf(" at 0x%" PRIx64 "\n", t->addr);
}

static void print_process(const struct session_process *p)
{
	printf("%8d%c %-16s %-8s %-9s %5" PRIu64 " %7" PRIu64 " %10" PRIu64 " %7" PRIu32
	       " %8" PRIu64 "\n",
	       p->pid, p->elsewhere ? '*' : ' ', p->command, role(p), p->trap[0] ? p->trap : "-",
	       p->contexts, p->ranges, p->pages, p->waiting, p->requests);
	for (uint32_t i = 0; i < p->nthreads; i++)
		print_thread(&p->thread[i]);
	if (p->waiting > p->nthreads)
		printf("          and %" PRIu32 " more\n", p->waiting - p->nthreads);
}

static void print_session(const struct session *s)
{
	bool elsewhere = false;

	if (s->check != SESSION_GOOD) {
		printf("session of another version of Userfault, held by process %d\n",
		       s->holder[0].pid);
		return;
	}
	printf("session %016" PRIx64 ": %s", s->id, s->program[0] ? s->program : "-");
	if (s->made && s->made <= (uint64_t)time(NULL)) {
		fputs(", begun ", stdout);
		print_age((uint64_t)time(NULL) - s->made);
		fputs(" ago", stdout);
	}
	printf(", %zu process%s\n", s->nholders, s->nholders == 1 ? "" : "es");
	if (!s->nprocesses)
		return;
	puts("     PID  COMMAND          ROLE     TRAP      UFFDS  RANGES      PAGES WAITING   "
	     "SERVED");
	for (size_t i = 0; i < s->nprocesses; i++) {
		print_process(&s->process[i]);
		elsewhere |= s->process[i].elsewhere;
	}
	if (elsewhere)
		puts("* as its own pid namespace numbers it");
}

static void print_table(const struct sessions *all)
{
	size_t shown = 0;

	for (size_t i = 0; i < all->n; i++) {
		if (all->session[i].check == SESSION_FOREIGN)
			continue;
		if (shown++)
			putchar('\n');
		print_session(&all->session[i]);
	}
	if (!shown)
		puts("no sessions");
}

/* ---- JSON: members are documented in userfault-ps(1) and only ever added to ---------------------
 */

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

static struct json_object *threads_json(const struct session_process *p)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < p->nthreads; i++) {
		const struct session_thread *t = &p->thread[i];
		struct json_object *o = json_object_new_object();

		add_number(o, "tid", t->tid);
		add_text(o, "for", t->event ? "event" : "fault");
		if (t->event)
			add(o, "address", NULL);
		else
			add_number(o, "address", t->addr);
		add_number(o, "nanoseconds", t->age);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *process_json(const struct session_process *p)
{
	static const char *const kinds[] = {"missing", "write_protect", "minor",
					    "read_write_protect"};
	struct json_object *o = json_object_new_object(), *faults = json_object_new_object();

	add(o, "pid", json_object_new_int64(p->pid));
	add(o, "pid_of_other_namespace", json_object_new_boolean(p->elsewhere));
	add_text(o, "command", p->command);
	add(o, "owner", json_object_new_boolean(p->roles & SLOT_OWNER));
	add(o, "handler", json_object_new_boolean(p->roles & SLOT_HANDLER));
	add_text(o, "trap", p->trap);
	add_number(o, "userfaultfds", p->contexts);
	add_number(o, "ranges", p->ranges);
	add_number(o, "pages", p->pages);
	add_number(o, "served", p->requests);
	for (unsigned i = 0; i < 4; i++)
		add_number(faults, kinds[i], p->faults[i]);
	add(o, "faults", faults);
	add_number(o, "waiting", p->waiting);
	add(o, "threads", threads_json(p));
	return o;
}

static struct json_object *session_json(const struct session *s)
{
	struct json_object *o = json_object_new_object(), *holders = json_object_new_array();
	struct json_object *processes = json_object_new_array();
	bool good = s->check == SESSION_GOOD;
	char id[17] = "";

	if (good)
		snprintf(id, sizeof(id), "%016" PRIx64, s->id);
	add_text(o, "id", id);
	add(o, "other_version", json_object_new_boolean(!good));
	add_text(o, "program", s->program);
	add(o, "begun", s->made ? json_object_new_uint64(s->made) : NULL);
	add_number(o, "user", s->user);
	for (size_t i = 0; i < s->nholders; i++)
		json_object_array_add(holders, json_object_new_int(s->holder[i].pid));
	add(o, "members", holders);
	for (size_t i = 0; i < s->nprocesses; i++)
		json_object_array_add(processes, process_json(&s->process[i]));
	add(o, "processes", processes);
	return o;
}

static void print_json(const struct sessions *all)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	for (size_t i = 0; i < all->n; i++)
		if (all->session[i].check != SESSION_FOREIGN)
			json_object_array_add(list, session_json(&all->session[i]));
	add_text(o, "version", UF_VERSION);
	add(o, "sessions", list);
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

int ps_main(int argc, char **argv)
{
	static const char *const long_names[] = {"mine", "json", "help", NULL};
	static const struct option options[] = {
		{"mine", no_argument, NULL, 'm'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct sessions all;
	bool mine = false, json = false;
	int option;

	while ((option = getopt_long(argc, argv, "+:h", options, NULL)) != -1) {
		switch (option) {
		case 'm':
			mine = true;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(help_text, stdout);
			return 0;
		default:
			return bad_option(option, argv, long_names, "'userfault ps --help'");
		}
	}
	if (optind < argc) {
		complain("ps takes no argument, but was given '%s'", argv[optind]);
		return STATUS_USAGE;
	}
	if (!sessions_find(&all, mine)) {
		complain("the processes of this machine cannot be listed; is /proc mounted?");
		return STATUS_NO;
	}
	if (json)
		print_json(&all);
	else
		print_table(&all);
	sessions_free(&all);
	return 0;
}
