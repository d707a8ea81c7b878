/*
 * options.c - the command line of userfault serve.
 */
#include "serve.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/trace.h"

static const char help_text[] =
	"Usage: userfault serve [OPTION]... --socket PATH --memory SOURCE\n"
	"\n"
	"Fills the memory of guests from SOURCE when they touch it, and ahead of them. A guest is\n"
	"a VMM that connects to PATH and sends its userfaultfd, as Firecracker does.\n"
	"\n"
	"  --socket PATH            where guests connect (@NAME: not a file)\n"
	"  --memory SOURCE          a memory file, an image of 'userfault pack', "
	"nbd://HOST/EXPORT,\n"
	"                           nbd+unix:///EXPORT?socket=PATH, rados:POOL/IMAGE\n"
	"  --source-option NAME=VALUE   what that kind of source needs to know; may be repeated\n"
	"  --direct                 read files past the page cache\n"
	"\n"
	"When a page cannot be had:\n"
	"  --deadline TIME          for how long it is tried (10s)\n"
	"  --on-failure WHAT        poison the page (the default), kill the guest, or wait\n"
	"\n"
	"Before it is asked for:\n"
	"  --record ORDER           write the order in which the first guest touches its pages;\n"
	"                           with %n in the name, the guest's number, that of each guest\n"
	"  --prefetch ORDER         fetch pages in a recorded order (otherwise: by address)\n"
	"  --no-prefetch            only what is touched\n"
	"\n"
	"Limits:\n"
	"  --bandwidth SIZE         bytes a second for prefetch (no limit)\n"
	"  --cache SIZE             for what was dear to fetch and other guests may want (none)\n"
	"  --in-flight SIZE         being fetched at a time (32M)\n"
	"  --max-guests N           at a time (no limit)\n"
	"\n"
	"Who may do what:\n"
	"  --mode MODE              of the socket (0600)\n"
	"  --owner USER[:GROUP]     of the socket\n"
	"  --user USER              serve as USER, when started as root\n"
	"\n"
	"What can be seen:\n"
	"  --metrics WHERE          /metrics, /status and /healthz over HTTP; WHERE is PORT of "
	"this\n"
	"                           machine, or unix:PATH\n"
	"  --metrics-guests N       guests with metrics of their own at most (256)\n"
	"  --trace FILE             write what happens, for 'userfault trace'\n"
	"  --trace-size SIZE        of FILE at most (256M)\n"
	"  --verbose, --quiet       more lines on stderr, or only warnings and errors\n"
	"  --log-format FORMAT      text or json\n"
	"\n"
	"  --keeper yes|no          keep guests' descriptors in a process of their own, so that\n"
	"                           they survive the server (yes)\n"
	"  --once                   serve one guest, and end with it\n"
	"  --help\n"
	"\n"
	"SIGTERM: take no more guests, end when those there are can do without. Again: end now.\n"
	"SIGHUP: go on as the version that is installed now. Guests do not notice either.\n"
	"\n"
	"Exit status: 0; 1 if the guest of --once could not be served; 2 for a wrong command "
	"line;\n"
	"125 if serving cannot begin.\n";

enum {
	OPT_SOCKET = 256,
	OPT_MEMORY,
	OPT_SOURCE_OPTION,
	OPT_DIRECT,
	OPT_DEADLINE,
	OPT_ON_FAILURE,
	OPT_RECORD,
	OPT_PREFETCH,
	OPT_NO_PREFETCH,
	OPT_BANDWIDTH,
	OPT_CACHE,
	OPT_IN_FLIGHT,
	OPT_MAX_GUESTS,
	OPT_MODE,
	OPT_OWNER,
	OPT_USER,
	OPT_METRICS,
	OPT_METRICS_GUESTS,
	OPT_TRACE,
	OPT_TRACE_SIZE,
	OPT_VERBOSE,
	OPT_QUIET,
	OPT_LOG_FORMAT,
	OPT_KEEPER,
	OPT_ONCE,
	OPT_HANDOVER,
};

static const struct option options[] = {
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"source-option", required_argument, NULL, OPT_SOURCE_OPTION},
	{"direct", no_argument, NULL, OPT_DIRECT},
	{"deadline", required_argument, NULL, OPT_DEADLINE},
	{"on-failure", required_argument, NULL, OPT_ON_FAILURE},
	{"record", required_argument, NULL, OPT_RECORD},
	{"prefetch", required_argument, NULL, OPT_PREFETCH},
	{"no-prefetch", no_argument, NULL, OPT_NO_PREFETCH},
	{"bandwidth", required_argument, NULL, OPT_BANDWIDTH},
	{"cache", required_argument, NULL, OPT_CACHE},
	{"in-flight", required_argument, NULL, OPT_IN_FLIGHT},
	{"max-guests", required_argument, NULL, OPT_MAX_GUESTS},
	{"mode", required_argument, NULL, OPT_MODE},
	{"owner", required_argument, NULL, OPT_OWNER},
	{"user", required_argument, NULL, OPT_USER},
	{"metrics", required_argument, NULL, OPT_METRICS},
	{"metrics-guests", required_argument, NULL, OPT_METRICS_GUESTS},
	{"trace", required_argument, NULL, OPT_TRACE},
	{"trace-size", required_argument, NULL, OPT_TRACE_SIZE},
	{"verbose", no_argument, NULL, OPT_VERBOSE},
	{"quiet", no_argument, NULL, OPT_QUIET},
	{"log-format", required_argument, NULL, OPT_LOG_FORMAT},
	{"keeper", required_argument, NULL, OPT_KEEPER},
	{"once", no_argument, NULL, OPT_ONCE},
	{"help", no_argument, NULL, 'h'},
	/* For a keeper that asks whether it can become this program. */
	{"handover", no_argument, NULL, OPT_HANDOVER},
	{NULL, 0, NULL, 0},
};

/* ---- values
 */

/* The number of a word among those separated by '|', or -1 after a complaint. */
static int word_of(const char *option, const char *value, const char *words)
{
	size_t len = strlen(value);
	int n = 0;

	for (const char *w = words;; n++) {
		size_t l = strcspn(w, "|");

		if (l == len && strncmp(w, value, l) == 0)
			return n;
		w += l;
		if (!*w++)
			break;
	}
	complain("%s: '%s' is none of %s", option, value, words);
	return -1;
}

static bool parse_number(const char *text, unsigned *out)
{
	unsigned long n;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || n > INT_MAX)
		return false;
	*out = (unsigned)n;
	return true;
}

static int set_number(const char *option, const char *text, unsigned *out)
{
	if (parse_number(text, out))
		return 0;
	complain("%s: '%s' is no number", option, text);
	return STATUS_USAGE;
}

/* 500ms, 10s, 2m, or a number of seconds. */
static int set_deadline(const char *text, unsigned *ms)
{
	double n = 0, unit = 1000;
	char *end;

	if (isdigit((unsigned char)*text)) {
		n = strtod(text, &end);
		if (strcmp(end, "ms") == 0)
			unit = 1;
		else if (strcmp(end, "m") == 0)
			unit = 60000;
		else if (*end && strcmp(end, "s") != 0)
			n = 0;
	}
	if (n * unit < 1 || n * unit > 86400e3) {
		complain("--deadline: '%s' is no time; write 500ms, 10s or 2m, a day at most",
			 text);
		return STATUS_USAGE;
	}
	*ms = (unsigned)(n * unit);
	return 0;
}

static int set_size(const char *option, const char *text, uint64_t *out)
{
	return parse_size(text, out) ? 0 : bad_size(option, text);
}

static int set_mode(const char *text, mode_t *mode)
{
	char *end;
	unsigned long n = strtoul(text, &end, 8);

	if (!isdigit((unsigned char)*text) || *end || n > 0777) {
		complain("--mode: '%s' is no mode; write it as for chmod, in octal: 0660", text);
		return STATUS_USAGE;
	}
	*mode = (mode_t)n;
	return 0;
}

static int add_source_option(struct serve_options *o, const char *text)
{
	const char *equals = strchr(text, '=');
	size_t n = 0;

	while (o->source_option[n])
		n++;
	if (!equals || equals == text) {
		complain("--source-option: '%s' is not NAME=VALUE", text);
		return STATUS_USAGE;
	}
	if (n == SERVE_SOURCE_OPTIONS) {
		complain("--source-option: more than %d are too many", SERVE_SOURCE_OPTIONS);
		return STATUS_USAGE;
	}
	o->source_option[n] = text;
	return 0;
}

static int set_trace_size(const char *text, uint64_t *out)
{
	const uint64_t least = sizeof(struct trace_header) + 1000 * sizeof(struct trace_record);
	int status = set_size("--trace-size", text, out);

	if (!status && *out < least) {
		complain("--trace-size: at least %juK are needed", (uintmax_t)(least >> 10) + 1);
		return STATUS_USAGE;
	}
	return status;
}

/* 0 or the exit status after a complaint. */
static int set_choice(struct serve_options *o, int option)
{
	int n;

	switch (option) {
	case OPT_ON_FAILURE:
		n = word_of("--on-failure", optarg, "poison|kill|wait");
		o->on_failure = n == 1 ? FAILURE_KILL : n == 2 ? FAILURE_WAIT : FAILURE_POISON;
		break;
	case OPT_LOG_FORMAT:
		n = word_of("--log-format", optarg, "text|json");
		o->format = n == 1 ? LOG_JSON : LOG_TEXT;
		break;
	default:
		n = word_of("--keeper", optarg, "yes|no");
		o->keeper = n != 1;
	}
	return n < 0 ? STATUS_USAGE : 0;
}

static int set_limit(struct serve_options *o, int option)
{
	switch (option) {
	case OPT_BANDWIDTH:
		return set_size("--bandwidth", optarg, &o->bandwidth);
	case OPT_CACHE:
		return set_size("--cache", optarg, &o->cache);
	case OPT_IN_FLIGHT:
		return set_size("--in-flight", optarg, &o->in_flight);
	case OPT_MAX_GUESTS:
		return set_number("--max-guests", optarg, &o->max_guests);
	case OPT_METRICS_GUESTS:
		return set_number("--metrics-guests", optarg, &o->metrics_guests);
	case OPT_TRACE_SIZE:
		return set_trace_size(optarg, &o->trace_size);
	case OPT_DEADLINE:
		return set_deadline(optarg, &o->deadline_ms);
	default:
		return set_mode(optarg, &o->mode);
	}
}

static int set(struct serve_options *o, int option)
{
	switch (option) {
	case OPT_SOCKET:
		o->socket = optarg;
		return 0;
	case OPT_MEMORY:
		o->memory = optarg;
		return 0;
	case OPT_SOURCE_OPTION:
		return add_source_option(o, optarg);
	case OPT_DIRECT:
		o->direct = true;
		return 0;
	case OPT_RECORD:
		o->record = optarg;
		return 0;
	case OPT_PREFETCH:
		o->prefetch = optarg;
		return 0;
	case OPT_NO_PREFETCH:
		o->no_prefetch = true;
		return 0;
	case OPT_OWNER:
		o->owner = optarg;
		return 0;
	case OPT_USER:
		o->user = optarg;
		return 0;
	case OPT_METRICS:
		o->metrics = optarg;
		return 0;
	case OPT_TRACE:
		o->trace = optarg;
		return 0;
	case OPT_VERBOSE:
		o->level = ENGINE_DEBUG;
		return 0;
	case OPT_QUIET:
		o->level = ENGINE_WARNING;
		return 0;
	case OPT_ONCE:
		o->once = true;
		return 0;
	case OPT_ON_FAILURE:
	case OPT_LOG_FORMAT:
	case OPT_KEEPER:
		return set_choice(o, option);
	default:
		return set_limit(o, option);
	}
}

/* ---- what goes together
 */

static int check(const struct serve_options *o, int argc)
{
	if (optind < argc) {
		complain("serve takes no argument, but was given '%s'; the source is named with "
			 "--memory",
			 o->argv[optind]);
		return STATUS_USAGE;
	}
	if (!o->memory) {
		complain("--memory is missing; type 'userfault serve --socket PATH --memory "
			 "SOURCE'");
		return STATUS_USAGE;
	}
	if (strlen(o->memory) >= sizeof(((struct source *)0)->spec)) {
		complain("--memory: the name is longer than %zu bytes",
			 sizeof(((struct source *)0)->spec) - 1);
		return STATUS_USAGE;
	}
	if (o->no_prefetch && o->prefetch) {
		complain("--prefetch and --no-prefetch contradict each other");
		return STATUS_USAGE;
	}
	return 0;
}

int options_parse(int argc, char **argv, struct serve_options *o, int *status)
{
	const char *names[sizeof(options) / sizeof(options[0])] = {NULL};
	int option;

	*o = (struct serve_options){.argv = argv,
				    .mode = 0600,
				    .keeper = true,
				    .level = ENGINE_INFO,
				    .trace_size = 256ull << 20,
				    .metrics_guests = 256};
	for (size_t i = 0, n = 0; options[i].name; i++)
		if (options[i].val != OPT_HANDOVER)
			names[n++] = options[i].name;
	*status = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			fputs(help_text, stdout);
			return 1;
		case OPT_HANDOVER:
			printf("handover %u.%u\n", HANDOVER_VERSION, SHARED_VERSION);
			return 1;
		case '?':
		case ':':
			*status = bad_option(option, argv, names, "'userfault serve --help'");
			return 1;
		default:
			*status = set(o, option);
			if (*status)
				return 1;
		}
	}
	*status = check(o, argc);
	return *status != 0;
}
