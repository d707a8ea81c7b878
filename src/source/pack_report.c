/*
 * pack_report.c - what userfault pack says.
 */
#include "pack.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"

double pack_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* "1.5 GiB" */
static const char *amount(uint64_t bytes, char text[32])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double n = (double)bytes;
	unsigned unit = 0;

	for (; n >= 1024 && unit < 4; unit++)
		n /= 1024;
	snprintf(text, 32, unit && n < 100 ? "%.1f %s" : "%.0f %s", n, units[unit]);
	return text;
}

static bool shown;

void pack_progress(const char *what, uint64_t done, uint64_t all, bool quiet)
{
	static double began, last;
	double now;
	char a[32], b[32], c[32];

	if (quiet || !isatty(STDERR_FILENO))
		return;
	now = pack_now();
	if (!shown || done < all / 1000) {
		began = shown ? began : now;
		shown = true;
	}
	if (now - last < 0.1)
		return;
	last = now;
	fprintf(stderr, "\r%3.0f %%  %s %s of %s, %s/s\033[K",
		all ? 100.0 * (double)done / (double)all : 100.0, what, amount(done, a),
		amount(all, b),
		amount((uint64_t)((double)done / (now - began > 0.001 ? now - began : 0.001)), c));
	fflush(stderr);
}

void pack_progress_end(void)
{
	if (shown)
		fputs("\r\033[K", stderr);
	shown = false;
}

static double percent(uint64_t part, uint64_t all)
{
	return all ? 100.0 * (double)part / (double)all : 0;
}

static void add_number(struct json_object *o, const char *name, uint64_t n)
{
	json_object_object_add(o, name, json_object_new_uint64(n));
}

static void add_text(struct json_object *o, const char *name, const char *text)
{
	json_object_object_add(o, name, json_object_new_string(text));
}

static void print_json(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static const char *uuid_text(const uint8_t uuid[16], char text[37])
{
	char *to = text;

	for (unsigned i = 0; i < 16; i++)
		to += sprintf(to, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x",
			      uuid[i]);
	return text;
}

static void summary_json(const struct pack_options *o, const char *kind,
			 const struct pack_counts *counts, const struct packed_header *h,
			 uint64_t stored)
{
	struct json_object *j = json_object_new_object();

	add_text(j, "source", o->source);
	add_text(j, "target", o->target);
	add_text(j, "kind", kind);
	add_number(j, "size", counts->size);
	add_number(j, "pages", counts->pages);
	add_number(j, "zero_pages", counts->zero);
	add_number(j, "ordered_pages", counts->ordered);
	if (h) {
		add_number(j, "same_pages", h->same_pages);
		add_number(j, "stored_pages", h->slots);
	}
	if (stored)
		add_number(j, "stored", stored);
	json_object_object_add(j, "seconds", json_object_new_double(counts->seconds));
	json_object_object_add(j, "verified", json_object_new_boolean(o->verify));
	print_json(j);
}

void pack_summary(const struct pack_options *o, const char *kind, const struct pack_counts *counts,
		  const struct packed_header *h, uint64_t stored)
{
	char a[32], b[32], c[32];

	pack_progress_end();
	if (o->json) {
		summary_json(o, kind, counts, h, stored);
		return;
	}
	if (o->quiet)
		return;
	printf("%s: %s of memory", o->target, amount(counts->size, a));
	if (stored)
		printf(" in %s", amount(stored, b));
	if (stored && h)
		printf(" (%.1f to 1)", (double)counts->size / (double)stored);
	printf(", %.0f %% zero", percent(counts->zero, counts->pages));
	if (h)
		printf(", %.0f %% repeated", percent(h->same_pages, counts->pages));
	if (counts->ordered)
		printf(", %s in the order given", amount(counts->ordered * SOURCE_PAGE, c));
	printf("; %.1f s%s\n", counts->seconds, o->verify ? ", verified" : "");
}

/* ---- --info
 */

static void info_json(const char *path, const struct packed_info *i)
{
	struct json_object *j = json_object_new_object();
	char uuid[37];

	add_text(j, "image", path);
	add_number(j, "version", i->h.version);
	add_text(j, "uuid", uuid_text(i->h.uuid, uuid));
	add_number(j, "created", i->h.created);
	add_number(j, "size", i->h.size);
	add_number(j, "stored", i->h.file_size);
	add_number(j, "pages", i->pages);
	add_number(j, "zero_pages", i->h.zero_pages);
	add_number(j, "same_pages", i->h.same_pages);
	add_number(j, "stored_pages", i->h.slots);
	add_number(j, "chunk_size", i->h.chunk_size);
	add_number(j, "chunks", i->h.chunks);
	add_number(j, "chunks_as_is", i->as_is);
	add_number(j, "chunks_stored", i->stored);
	add_number(j, "index_stored", i->h.index_len);
	add_number(j, "extents", i->extents);
	print_json(j);
}

static void info_text(const char *path, const struct packed_info *i)
{
	char a[32], b[32], uuid[37], date[64];
	time_t created = (time_t)i->h.created;
	struct tm tm;

	if (!gmtime_r(&created, &tm) || !strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm))
		snprintf(date, sizeof(date), "%ju s after 1970", (uintmax_t)i->h.created);
	printf("%s: a packed image, version %u\n", path, i->h.version);
	printf("  uuid       %s\n", uuid_text(i->h.uuid, uuid));
	printf("  made       %s\n", date);
	printf("  memory     %s (%ju bytes, %ju pages)\n", amount(i->h.size, a),
	       (uintmax_t)i->h.size, (uintmax_t)i->pages);
	printf("  file       %s (%.1f to 1)\n", amount(i->h.file_size, a),
	       i->h.file_size ? (double)i->h.size / (double)i->h.file_size : 0);
	printf("  zero       %ju pages (%.1f %%)\n", (uintmax_t)i->h.zero_pages,
	       percent(i->h.zero_pages, i->pages));
	printf("  repeated   %ju pages (%.1f %%)\n", (uintmax_t)i->h.same_pages,
	       percent(i->h.same_pages, i->pages));
	printf("  stored     %ju pages in %ju chunks of %s, %ju of them as they are; index %s\n",
	       (uintmax_t)i->h.slots, (uintmax_t)i->h.chunks, amount(i->h.chunk_size, a),
	       (uintmax_t)i->as_is, amount(i->h.index_len, b));
	printf("  order      %ju runs of pages that follow one another\n", (uintmax_t)i->extents);
}

int pack_info_main(const struct pack_options *o)
{
	struct packed_info info;
	char why[600];
	int error = packed_info(o->source, &info, why, sizeof(why));

	if (error) {
		complain("%s", why);
		return STATUS_NO;
	}
	if (o->json)
		info_json(o->source, &info);
	else
		info_text(o->source, &info);
	return 0;
}

/* ---- --check
 */

static int tell(void *arg, uint64_t done, uint64_t all)
{
	const struct pack_options *o = arg;

	pack_progress("checked", done, all, o->quiet);
	return pack_signal ? -EINTR : 0;
}

int pack_check_main(const struct pack_options *o)
{
	uint64_t bad;
	char why[600];
	int error = packed_check(o->source, o->threads, &bad, tell, (void *)o, why, sizeof(why));

	pack_progress_end();
	if (o->json) {
		struct json_object *j = json_object_new_object();

		add_text(j, "image", o->source);
		json_object_object_add(j, "intact", json_object_new_boolean(!error));
		add_number(j, "damaged_chunks", bad);
		if (error)
			add_text(j, "why", why);
		print_json(j);
	} else if (error) {
		complain("%s", why);
	} else if (!o->quiet) {
		printf("%s: intact\n", o->source);
	}
	return error ? STATUS_NO : 0;
}
