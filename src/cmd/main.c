/*
 * main.c - the userfault command: which of its commands is meant.
 */
#include "cmd.h"
#include "sessions.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help_text[] =
	"Userfault is userfaultfd without the kernel: it runs unmodified programs that use\n"
	"userfaultfd where the kernel's is missing or refused.\n"
	"\n"
	"  userfault run [OPTION]... [--] PROGRAM [ARGUMENT]...   run PROGRAM on Userfault\n"
	"  userfault join [OPTION]... [SESSION|PID] -- PROGRAM [ARGUMENT]...\n"
	"                                                         run PROGRAM in a session\n"
	"  userfault ps [--mine] [--json]                         list sessions and who waits\n"
	"  userfault serve [OPTION]... --socket PATH --memory SOURCE\n"
	"                                                         fill the memory of restored "
	"guests\n"
	"  userfault pack [OPTION]... FILE TARGET                 make an image to serve from\n"
	"  userfault top [OPTION]...                              watch sessions and servers\n"
	"  userfault trace [OPTION]... FILE                       make a report of a recorded "
	"trace\n"
	"  userfault replay [OPTION]... TRACE                     compare replacement policies\n"
	"  userfault doctor [--json]                              say what this machine offers\n"
	"  userfault --help | --version\n"
	"\n"
	"'userfault run --help' and so on tell more.\n";

static const struct command {
	const char *name;
	int (*main)(int argc, char **argv); /* NULL: a program of its own */
} table[] = {
	{"run", run_main},	 {"join", join_main},	  {"ps", ps_main},
	{"replay", replay_main}, {"doctor", doctor_main}, {"serve", NULL},
	{"pack", NULL},		 {"top", NULL},		  {"trace", NULL},
};
#define COMMANDS (sizeof(table) / sizeof(table[0]))

static int wrong_command(const char *given)
{
	const char *names[COMMANDS + 1] = {NULL}, *meant;

	for (size_t i = 0; i < COMMANDS; i++)
		names[i] = table[i].name;
	meant = nearest_word(given, names);
	if (meant)
		complain("unknown command '%s', did you mean '%s'?", given, meant);
	else if (strchr(given, '/'))
		complain("unknown command '%s'; to run a program, type 'userfault run -- %s'",
			 given, given);
	else
		complain("unknown command '%s'; 'userfault --help' lists those there are", given);
	return STATUS_USAGE;
}

int main(int argc, char **argv)
{
	static const char *const long_names[] = {"help", "version", NULL};
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:hV", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			fputs(help_text, stdout);
			return 0;
		case 'V':
			puts("userfault " UF_VERSION);
			return 0;
		default:
			return bad_option(option, argv, long_names, "'userfault --help'");
		}
	}
	if (optind == argc) {
		fputs(help_text, stderr);
		return STATUS_USAGE;
	}

	argc -= optind;
	argv += optind;
	optind = 0; /* the C library's way to start over with another vector */
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(argv[0], table[i].name) == 0)
			return table[i].main ? table[i].main(argc, argv) : tool_main(argv[0], argv);
	}
	return wrong_command(argv[0]);
}
