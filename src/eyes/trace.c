/*
 * trace.c - userfault trace: what a recorded trace says.
 */
#include "cmd/cmd.h"
#include "eyes/eyes.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help_text[] =
	"Usage: userfault trace [OPTION]... FILE\n"
	"\n"
	"Tells what is in a trace that 'userfault run --trace=FILE' or 'userfault serve --trace\n"
	"FILE' has recorded: faults, who waited for them, where and how long, and what was done.\n"
	"Without an option it prints a summary.\n"
	"\n"
	"  --json              the summary as one JSON object\n"
	"  --html=OUT.html     a report: one page that needs nothing else\n"
	"  --perfetto=OUT.json all of it as trace events, for https://ui.perfetto.dev\n"
	"  --help              this text\n"
	"\n"
	"OUT may be - for the standard output.\n"
	"\n"
	"Exit status: 0, 1 if FILE cannot be read or is no trace, or OUT cannot be written,\n"
	"2 for a wrong command line.\n";

struct wishes {
	const char *file, *html, *perfetto;
	bool json;
};

static int failed_to_write(const char *name, int error)
{
	complain("'%s' cannot be written: %s", name, strerror(error));
	return STATUS_NO;
}

/* Under its name only when it is complete; what is no regular file is written as it is. */
struct output {
	const char *name;
	char temporary[PATH_MAX];
	FILE *file;
};

static int output_open(struct output *o, const char *name)
{
	struct stat st;
	int fd;

	*o = (struct output){.name = name};
	if (strcmp(name, "-") == 0) {
		o->file = stdout;
		return 0;
	}
	if (stat(name, &st) == 0 && !S_ISREG(st.st_mode)) {
		o->file = fopen(name, "we");
		return o->file ? 0 : failed_to_write(name, errno);
	}
	if (snprintf(o->temporary, sizeof(o->temporary), "%s.XXXXXX", name) >=
	    (int)sizeof(o->temporary))
		return failed_to_write(name, ENAMETOOLONG);
	fd = mkostemp(o->temporary, O_CLOEXEC);
	if (fd >= 0) {
		mode_t mask = umask(0);

		umask(mask);
		fchmod(fd, 0666 & ~mask);
		o->file = fdopen(fd, "w");
	}
	return o->file ? 0 : failed_to_write(name, errno);
}

static int output_close(struct output *o, int error)
{
	if (fflush(o->file) != 0 && !error)
		error = -errno;
	if (o->file != stdout && fclose(o->file) != 0 && !error)
		error = -errno;
	if (o->temporary[0] && !error && rename(o->temporary, o->name) != 0)
		error = -errno;
	if (o->temporary[0] && error)
		unlink(o->temporary);
	return error ? failed_to_write(o->name, -error) : 0;
}

static int write_json(const struct figures *f, FILE *out)
{
	struct json_object *o = figures_json(f);

	if (!o)
		return -ENOMEM;
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
							  JSON_C_TO_STRING_SPACED |
							  JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return ferror(out) ? -EIO : 0;
}

static int write_summary(const struct figures *f, FILE *out)
{
	summary_print(f, out);
	return ferror(out) ? -EIO : 0;
}

static int tell(const struct figures *f, const char *name,
		int (*write)(const struct figures *f, FILE *out))
{
	struct output out;
	int status = output_open(&out, name);

	return status ? status : output_close(&out, write(f, out.file));
}

static int tell_perfetto(struct survey *s, const char *name)
{
	struct output out;
	int status = output_open(&out, name);

	return status ? status : output_close(&out, perfetto_write(s, out.file));
}

static int tell_figures(struct survey *s, const struct wishes *w)
{
	struct figures *f = calloc(1, sizeof(*f));
	int status = 0;

	if (!f || !figures_make(f, s)) {
		complain("there is not enough memory for the trace");
		status = STATUS_UNABLE;
	}
	if (!status && w->html)
		status = tell(f, w->html, html_write);
	if (!status && w->json)
		status = tell(f, "-", write_json);
	if (!status && !w->html && !w->json)
		status = tell(f, "-", write_summary);
	if (f)
		figures_free(f);
	free(f);
	return status;
}

static int look(const struct wishes *w)
{
	struct reader reader;
	struct survey survey;
	char why[512];
	int status = 0;

	if (!reader_open(&reader, w->file, why, sizeof(why))) {
		complain("'%s' cannot be read: %s", w->file, why);
		return STATUS_NO;
	}
	survey_make(&survey, &reader);
	if (w->perfetto)
		status = tell_perfetto(&survey, w->perfetto);
	if (!status && (w->html || w->json || !w->perfetto))
		status = tell_figures(&survey, w);
	survey_free(&survey);
	reader_close(&reader);
	return status;
}

int main(int argc, char **argv)
{
	static const char *const long_names[] = {"json", "html", "perfetto", "help", NULL};
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"html", required_argument, NULL, 'H'},
		{"perfetto", required_argument, NULL, 'P'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct wishes w = {0};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			w.json = true;
			break;
		case 'H':
			w.html = optarg;
			break;
		case 'P':
			w.perfetto = optarg;
			break;
		case 'h':
			fputs(help_text, stdout);
			return 0;
		default:
			return bad_option(option, argv, long_names, "'userfault trace --help'");
		}
	}
	if (optind == argc) {
		complain("trace needs the file of a trace; 'userfault run --trace=FILE -- PROGRAM' "
			 "records one");
		return STATUS_USAGE;
	}
	if (optind + 1 < argc) {
		complain("trace takes one file, but was given '%s' as well", argv[optind + 1]);
		return STATUS_USAGE;
	}
	w.file = argv[optind];
	if ((w.html && strcmp(w.html, "-") == 0) + (w.perfetto && strcmp(w.perfetto, "-") == 0) +
		    w.json >
	    1) {
		complain("only one of --json, --html and --perfetto can go to the standard output");
		return STATUS_USAGE;
	}
	return look(&w);
}
