/*
 * top.c - userfault top: the command line, and --once.
 */
#include "cmd/cmd.h"
#include "eyes/top.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char help_text[] =
	"Usage: userfault top [OPTION]...\n"
	"\n"
	"Watches the pagers and sessions of this machine: 'userfault serve' and programs with a\n"
	"pager, their guests and sources; what runs under 'userfault run'. Faults per second, how\n"
	"long they take, which threads wait. Press h for its keys.\n"
	"\n"
	"  --interval=SECONDS  time between two looks (1)\n"
	"  --session=ID        only the session or pager whose name begins so\n"
	"  --pid=PID           only that process, guest, or pager\n"
	"  --once              look twice, an interval apart, print a table, and end\n"
	"  --json              with --once: all values as one JSON object\n"
	"  --help              this text\n"
	"\n"
	"Exit status: 0, 1 if /proc cannot be read, 2 for a wrong command line.\n";

static int once(const struct top_options *o)
{
	struct timespec t = {(time_t)o->interval, (long)(fmod(o->interval, 1) * 1e9)};
	struct look before, now;
	int status = 0;

	if (!look_around(&before, o)) {
		complain("the processes of this machine cannot be listed; is /proc mounted?");
		return STATUS_NO;
	}
	while (nanosleep(&t, &t) != 0)
		;
	if (!look_around(&now, o)) {
		complain("the processes of this machine cannot be listed; is /proc mounted?");
		status = STATUS_NO;
	} else {
		look_compare(&now, &before);
		if (!o->json)
			print_table(&now, stdout);
		else if (!print_top_json(&now, stdout))
			status = STATUS_NO;
		look_free(&now);
	}
	look_free(&before);
	return status;
}

static bool take_interval(struct top_options *o, const char *text)
{
	char *end;

	o->interval = strtod(text, &end);
	if (end != text && !*end && o->interval >= 0.05 && o->interval <= 3600)
		return true;
	complain("--interval=%s: a number of seconds from 0.05 to 3600 is needed", text);
	return false;
}

static bool take_pid(struct top_options *o, const char *text)
{
	char *end;
	long pid = strtol(text, &end, 10);

	o->pid = (pid_t)pid;
	if (end != text && !*end && pid > 0 && pid <= INT32_MAX)
		return true;
	complain("--pid=%s: the number of a process is needed", text);
	return false;
}

static bool take_session(struct top_options *o, const char *text)
{
	o->session = text;
	if (*text && strspn(text, "0123456789abcdef") == strlen(text) && strlen(text) <= 16)
		return true;
	complain("--session=%s: the name of a session is needed, up to 16 hexadecimal digits; "
		 "'userfault ps' lists them",
		 text);
	return false;
}

int main(int argc, char **argv)
{
	static const char *const long_names[] = {"interval", "session", "pid", "once",
						 "json",     "help",	NULL};
	static const struct option options[] = {
		{"interval", required_argument, NULL, 'i'},
		{"session", required_argument, NULL, 's'},
		{"pid", required_argument, NULL, 'p'},
		{"once", no_argument, NULL, 'o'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct top_options o = {.interval = 1};
	int option;
	bool good = true;

	opterr = 0;
	while (good && (option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case 'i':
			good = take_interval(&o, optarg);
			break;
		case 's':
			good = take_session(&o, optarg);
			break;
		case 'p':
			good = take_pid(&o, optarg);
			break;
		case 'o':
			o.once = true;
			break;
		case 'j':
			o.json = true;
			break;
		case 'h':
			fputs(help_text, stdout);
			return 0;
		default:
			return bad_option(option, argv, long_names, "'userfault top --help'");
		}
	}
	if (!good)
		return STATUS_USAGE;
	if (optind < argc) {
		complain("top takes no argument, but was given '%s'", argv[optind]);
		return STATUS_USAGE;
	}
	if (o.json && !o.once) {
		complain("--json goes with --once");
		return STATUS_USAGE;
	}
	return o.once ? once(&o) : screen_run(&o);
}
