/*
 * pack.c - userfault pack: makes an image to serve from, out of any source.
 */
#include "pack.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cmd.h"

static const char help_text[] =
	"Usage: userfault pack [OPTION]... SOURCE TARGET\n"
	"       userfault pack --info IMAGE [--json]\n"
	"       userfault pack --check IMAGE [--json]\n"
	"\n"
	"Packs the memory of SOURCE into TARGET, for 'userfault serve --memory TARGET'. A packed\n"
	"image is compressed, and has zero pages and repeated ones left out. SOURCE and TARGET "
	"are\n"
	"files, or nbd://HOST/EXPORT, nbd+unix:///EXPORT?socket=PATH, rados:POOL/IMAGE. TARGET\n"
	"appears when it is complete, or not at all.\n"
	"\n"
	"  --order=FILE     lay pages out in the order that 'userfault serve --record' wrote\n"
	"  --to=KIND        packed, raw, nbd or rados; else what TARGET's name says, or packed\n"
	"  --level=N        how hard to compress: 1 to 22, or -1 to -50 for less (3)\n"
	"  --chunk=SIZE     compress so much at a time: 4K to 1M (64K)\n"
	"  --threads=N      threads that compress, or check (as many as there are CPUs)\n"
	"  --verify         read TARGET when it is complete, and compare\n"
	"  --source-option=NAME=VALUE  an option of the sources, as of 'userfault serve'\n"
	"  --info           say what is in a packed image\n"
	"  --check          read all of a packed image, and compare its checksums\n"
	"  --json           print JSON\n"
	"  --quiet          print nothing but errors\n"
	"  --help           this text\n"
	"\n"
	"To unpack, pack to raw: userfault pack --to=raw IMAGE FILE.\n";

volatile sig_atomic_t pack_signal;

static void note_signal(int number)
{
	pack_signal = number;
}

/* A second one ends it the hard way. */
static void catch_signals(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND}, old;

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		/* nohup stays in force. */
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
	signal(SIGPIPE, SIG_IGN);
}

/* Ends as the signal would have ended it. */
static int interrupted(void)
{
	pack_progress_end();
	complain("interrupted; nothing was written");
	signal(pack_signal, SIG_DFL);
	raise(pack_signal);
	return 128 + pack_signal;
}

static int fail(const char *why)
{
	pack_progress_end();
	complain("%s", why);
	return STATUS_NO;
}

/* Bytes that the target takes, if that can be told. */
static uint64_t stored(const char *target, const struct packed_header *h, const char *kind)
{
	const char *path = strncmp(target, "raw:", 4) == 0 ? target + 4 : target;
	struct stat st;

	if (h)
		return h->file_size;
	if (strcmp(kind, "raw") != 0 || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return 0;
	return (uint64_t)st.st_blocks * 512;
}

static const char *kind_of(const struct pack_options *o)
{
	static const char *const kinds[] = {"raw", "nbd", "rados"};

	for (size_t i = 0; !o->kind && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strncmp(o->target, kinds[i], strlen(kinds[i])) == 0)
			return kinds[i];
	}
	return o->kind ? o->kind : "other";
}

static int verify(const struct pack_options *o, struct source *s, const struct source_env *env)
{
	struct source *t;
	char why[700];
	int error = source_open(o->target, env, &t, why, sizeof(why));

	if (!error) {
		error = pack_compare(s, t, o->quiet, why, sizeof(why));
		source_close(t);
	}
	if (error == -EINTR) {
		pack_progress_end();
		complain("interrupted; %s is complete, but was not compared", o->target);
		return 128 + pack_signal;
	}
	return error ? fail(why) : 0;
}

/* kind: what was written. */
static int write_target(const struct pack_options *o, struct source *s, const struct order *order,
			const struct source_env *env, struct pack_counts *counts, const char **kind,
			struct packed_header *h)
{
	struct source_writer *w;
	char why[700];
	int error = source_create(o->target, o->kind, s->size, env, &w, why, sizeof(why));

	if (error)
		return fail(why);
	*kind = w->ops == &packed_writer_ops ? "packed" : kind_of(o);
	error = pack_copy(s, w, order, counts, o->quiet, why, sizeof(why));
	if (error || pack_signal) {
		w->ops->abandon(w);
		return error == -EINTR || pack_signal ? interrupted() : fail(why);
	}
	if (w->ops == &packed_writer_ops)
		packed_written(w, h);
	error = w->ops->commit(w);
	if (error) {
		snprintf(why, sizeof(why), "%s cannot be written: %s", o->target, strerror(-error));
		return fail(why);
	}
	return 0;
}

static int pack(const struct pack_options *o, struct source *s, const struct order *order,
		const struct source_env *env)
{
	struct packed_header h = {0};
	struct pack_counts counts;
	const char *kind;
	double began = pack_now();
	struct stat st;
	int status = write_target(o, s, order, env, &counts, &kind, &h);

	if (status)
		return status;
	counts.seconds = pack_now() - began;
	if (o->verify)
		status = verify(o, s, env);
	if (status)
		return status;
	if (strcmp(kind, "packed") == 0) {
		const char *path =
			strncmp(o->target, "packed:", 7) == 0 ? o->target + 7 : o->target;

		if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
			h.file_size = (uint64_t)st.st_size;
	}
	pack_summary(o, kind, &counts, strcmp(kind, "packed") == 0 ? &h : NULL,
		     stored(o->target, strcmp(kind, "packed") == 0 ? &h : NULL, kind));
	return 0;
}

static int read_order(const struct pack_options *o, const struct source *s, struct order *order)
{
	char why[600];
	int error = order_read(o->order, order, why, sizeof(why));

	if (!error && page_round(order->source_size) != page_round(s->size)) {
		snprintf(why, sizeof(why),
			 "%s is the order of %ju bytes of memory, and %s has %ju; record it with "
			 "this source",
			 o->order, (uintmax_t)order->source_size, o->source, (uintmax_t)s->size);
		order_free(order);
		error = -EINVAL;
	}
	return error ? fail(why) : 0;
}

static int open_and_pack(const struct pack_options *o)
{
	struct source_env env = {.options = o->option, .threads = o->threads};
	struct order order = {0};
	struct source *s;
	char why[700];
	int status = 0;

	if (source_open(o->source, &env, &s, why, sizeof(why)) != 0)
		return fail(why);
	if (o->order)
		status = read_order(o, s, &order);
	if (!status)
		status = pack(o, s, o->order ? &order : NULL, &env);
	order_free(&order);
	source_close(s);
	return status;
}

/* ---- the command line
 */

static int add_option(struct pack_options *o, const char *text)
{
	size_t n = 0;

	while (o->option[n])
		n++;
	if (!strchr(text, '=')) {
		complain("--source-option: '%s' is not NAME=VALUE", text);
		return STATUS_USAGE;
	}
	if (n == PACK_OPTIONS) {
		complain("--source-option: there are more than %d", PACK_OPTIONS);
		return STATUS_USAGE;
	}
	o->option[n] = text;
	return 0;
}

static int set_chunk(struct pack_options *o, const char *text)
{
	uint64_t size;

	if (!parse_size(text, &size))
		return bad_size("--chunk", text);
	if (size < PACKED_CHUNK_LEAST || size > PACKED_CHUNK_MOST || (size & (size - 1))) {
		complain("--chunk: %s is no power of two from 4K to 1M", text);
		return STATUS_USAGE;
	}
	snprintf(o->chunk, sizeof(o->chunk), "chunk=%ju", (uintmax_t)size);
	return add_option(o, o->chunk);
}

static int set_number(const char *option, const char *text, long least, long most, long *out)
{
	char *end;

	errno = 0;
	*out = strtol(text, &end, 10);
	if (errno || end == text || *end || *out < least || *out > most) {
		complain("%s: '%s' is no number from %ld to %ld", option, text, least, most);
		return STATUS_USAGE;
	}
	return 0;
}

static int set_level(struct pack_options *o, const char *text)
{
	long level;
	int status = set_number("--level", text, -50, 22, &level);

	if (status)
		return status;
	if (!level) {
		complain("--level: 0 is none; write 1 to 22, or -1 to -50 for less and faster");
		return STATUS_USAGE;
	}
	snprintf(o->level, sizeof(o->level), "level=%ld", level);
	return add_option(o, o->level);
}

static int set_kind(struct pack_options *o, const char *text)
{
	static const char *const kinds[] = {"packed", "raw", "nbd", "rados", NULL};
	const char *meant = nearest_word(text, kinds);

	o->kind = text;
	for (const char *const *k = kinds; *k; k++) {
		if (strcmp(text, *k) == 0)
			return 0;
	}
	if (meant)
		complain("--to: '%s' is nothing to pack to, did you mean '%s'?", text, meant);
	else
		complain("--to: '%s' is nothing to pack to; there are packed, raw, nbd and rados",
			 text);
	return STATUS_USAGE;
}

enum {
	OPTION_ORDER = 256,
	OPTION_TO,
	OPTION_LEVEL,
	OPTION_CHUNK,
	OPTION_THREADS,
	OPTION_SOURCE,
};

static const struct option options[] = {
	{"order", required_argument, NULL, OPTION_ORDER},
	{"to", required_argument, NULL, OPTION_TO},
	{"level", required_argument, NULL, OPTION_LEVEL},
	{"chunk", required_argument, NULL, OPTION_CHUNK},
	{"threads", required_argument, NULL, OPTION_THREADS},
	{"source-option", required_argument, NULL, OPTION_SOURCE},
	{"verify", no_argument, NULL, 'v'},
	{"info", no_argument, NULL, 'i'},
	{"check", no_argument, NULL, 'c'},
	{"json", no_argument, NULL, 'j'},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const char *const long_names[] = {"order",  "to",   "level", "chunk", "threads",
					 "verify", "info", "check", "json",  "source-option",
					 "quiet",  "help", NULL};

static int set_option(struct pack_options *o, int option, char **argv)
{
	long threads;
	int status = 0;

	switch (option) {
	case OPTION_ORDER:
		o->order = optarg;
		break;
	case OPTION_TO:
		return set_kind(o, optarg);
	case OPTION_LEVEL:
		return set_level(o, optarg);
	case OPTION_CHUNK:
		return set_chunk(o, optarg);
	case OPTION_THREADS:
		status = set_number("--threads", optarg, 1, 256, &threads);
		o->threads = (unsigned)threads;
		break;
	case OPTION_SOURCE:
		return add_option(o, optarg);
	case 'v':
		o->verify = true;
		break;
	case 'i':
		o->info = true;
		break;
	case 'c':
		o->check = true;
		break;
	case 'j':
		o->json = true;
		break;
	case 'q':
		o->quiet = true;
		break;
	default:
		return bad_option(option, argv, long_names, "'userfault pack --help'");
	}
	return status;
}

static int check_arguments(struct pack_options *o, int argc, char **argv)
{
	bool one = o->info || o->check;
	int n = argc - optind;

	if (o->info && o->check)
		complain("--info and --check are two things; ask for one");
	else if (n < (one ? 1 : 2))
		complain(one || !n ? "%s is missing; see 'userfault pack --help'"
				   : "%s is missing: where to; see 'userfault pack --help'",
			 one ? "the IMAGE"
			 : n ? "the TARGET"
			     : "the SOURCE");
	else if (n > (one ? 1 : 2))
		complain("'%s' is one name too many; see 'userfault pack --help'",
			 argv[optind + (one ? 1 : 2)]);
	else if (one && (o->order || o->kind || o->verify))
		complain("%s only reads an image; leave out --order, --to and --verify",
			 o->info ? "--info" : "--check");
	else {
		o->source = argv[optind];
		o->target = one ? NULL : argv[optind + 1];
		return 0;
	}
	return STATUS_USAGE;
}

int main(int argc, char **argv)
{
	struct pack_options o = {0};
	int option, status;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (option == 'h') {
			fputs(help_text, stdout);
			return 0;
		}
		status = set_option(&o, option, argv);
		if (status)
			return status;
	}
	status = check_arguments(&o, argc, argv);
	if (status)
		return status;
	catch_signals();
	if (o.info)
		return pack_info_main(&o);
	return o.check ? pack_check_main(&o) : open_and_pack(&o);
}
