/*
 * pack_copy.c - from a source to a writer, and two sources compared.
 */
#include "pack.h"

#include <errno.h>
#include <string.h>

static uint64_t piece_of(const struct source *s)
{
	return s->chunk < SOURCE_PAGE ? SOURCE_PAGE : s->chunk;
}

static int read_failed(const struct source *s, uint64_t offset, int error, char *why,
		       size_t why_size)
{
	if (error == -EINTR)
		return error;
	return source_why(why, why_size, error, "%s cannot be read at offset %ju: %s", s->spec,
			  (uintmax_t)offset,
			  error == -EBADMSG   ? "it is damaged"
			  : error == -ENODATA ? "it is cut off"
					      : strerror(-error));
}

static void count(struct pack_counts *counts, const void *buf, uint64_t len)
{
	counts->done += len;
	counts->pages += len / SOURCE_PAGE;
	for (uint64_t at = 0; at < len; at += SOURCE_PAGE)
		counts->zero += !buf || is_zero((const char *)buf + at, SOURCE_PAGE);
}

static int copy(struct pack_reader *r, const struct source *s, struct source_writer *w,
		struct pack_counts *counts, bool quiet, char *why, size_t why_size)
{
	uint64_t offset, len;
	const void *buf;
	int more, error;

	while ((more = pack_reader_next(r, &offset, &len, &buf)) > 0) {
		count(counts, buf, len);
		/* Beyond the end of an image there is nothing to write. */
		if (offset + len > s->size)
			len = s->size - offset;
		error = buf ? w->ops->write(w, offset, buf, len) : 0;
		if (error)
			return source_why(why, why_size, error, "the image cannot be written: %s",
					  strerror(-error));
		pack_progress("packed", counts->done, counts->size, quiet);
		if (pack_signal)
			return -EINTR;
	}
	return more < 0 ? read_failed(s, offset, more, why, why_size) : 0;
}

int pack_copy(struct source *s, struct source_writer *w, const struct order *order,
	      struct pack_counts *counts, bool quiet, char *why, size_t why_size)
{
	struct pack_plan plan;
	struct pack_reader *r = NULL;
	int error = pack_plan_new(&plan, s->size, order);

	*counts = (struct pack_counts){.size = page_round(s->size)};
	if (!error)
		error = pack_reader_new(s, &plan, piece_of(s), &r);
	if (error)
		source_why(why, why_size, error, "there is no memory left");
	else
		error = copy(r, s, w, counts, quiet, why, why_size);
	counts->ordered = plan.ordered;
	if (r)
		pack_reader_free(r);
	pack_plan_free(&plan);
	return error;
}

static bool same(const void *a, const void *b, uint64_t len)
{
	if (!a && !b)
		return true;
	if (!a || !b)
		return is_zero(a ? a : b, len);
	return memcmp(a, b, len) == 0;
}

static int compare(struct pack_reader *ra, struct pack_reader *rb, const struct source *a,
		   const struct source *b, bool quiet, char *why, size_t why_size)
{
	uint64_t at, len, at_b, len_b;
	const void *buf_a, *buf_b;
	int more;

	while ((more = pack_reader_next(ra, &at, &len, &buf_a)) > 0) {
		more = pack_reader_next(rb, &at_b, &len_b, &buf_b);
		if (more < 0)
			return read_failed(b, at_b, more, why, why_size);
		if (!more || at != at_b || len != len_b || !same(buf_a, buf_b, len))
			return source_why(why, why_size, -EBADMSG,
					  "%s does not say what %s says at offset %ju", b->spec,
					  a->spec, (uintmax_t)at);
		pack_progress("verified", at + len, page_round(a->size), quiet);
	}
	return more < 0 ? read_failed(a, at, more, why, why_size) : 0;
}

int pack_compare(struct source *a, struct source *b, bool quiet, char *why, size_t why_size)
{
	uint64_t piece = piece_of(a) < piece_of(b) ? piece_of(a) : piece_of(b);
	struct pack_reader *ra = NULL, *rb = NULL;
	struct pack_plan plan_a, plan_b;
	int error;

	/* A device, or an export, has what room it has. */
	if (b->size < a->size)
		return source_why(why, why_size, -EBADMSG, "%s has %ju bytes, and %s %ju", b->spec,
				  (uintmax_t)b->size, a->spec, (uintmax_t)a->size);
	(void)pack_plan_new(&plan_a, a->size, NULL);
	(void)pack_plan_new(&plan_b, a->size, NULL);
	error = pack_reader_new(a, &plan_a, piece, &ra);
	if (!error)
		error = pack_reader_new(b, &plan_b, piece, &rb);
	if (error)
		source_why(why, why_size, error, "there is no memory left");
	else
		error = compare(ra, rb, a, b, quiet, why, why_size);
	if (ra)
		pack_reader_free(ra);
	if (rb)
		pack_reader_free(rb);
	return error;
}
