/*
 * order.c - the file of the order in which pages were first touched: pager/order.h.
 */
#include "pager/order.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"

#define RUN_PAGES (UINT64_C(1) << 12)
/* A GiB of entries is no order of first touches of any machine that there is. */
#define MOST   (UINT64_C(1) << 27)
#define BUFFER 512

_Static_assert(sizeof(struct order_header) == 64, "the format of the file");

static int check_header(const char *path, int fd, struct order_header *h, char *why,
			size_t why_size)
{
	struct stat st;
	int error = fstat(fd, &st) == 0 ? read_all(fd, h, sizeof(*h), 0) : -errno;

	if (error == -ENODATA || (!error && le64toh(h->magic) != ORDER_MAGIC))
		return source_why(why, why_size, -EINVAL,
				  "%s is no order of pages; --record makes one", path);
	if (error)
		return source_why(why, why_size, error, "%s cannot be read: %s", path,
				  strerror(-error));
	h->version = le32toh(h->version);
	h->page_size = le32toh(h->page_size);
	h->source_size = le64toh(h->source_size);
	h->count = le64toh(h->count);
	if (h->version != ORDER_VERSION)
		return source_why(why, why_size, -EINVAL,
				  "%s is of version %u, and this Userfault reads version %u; "
				  "record it anew",
				  path, h->version, ORDER_VERSION);
	if (h->page_size != SOURCE_PAGE || h->source_size > INT64_MAX - SOURCE_PAGE)
		return source_why(why, why_size, -EINVAL,
				  "%s is damaged: its header makes no sense", path);
	if (h->count > MOST || h->count > page_round(h->source_size) / SOURCE_PAGE ||
	    (uint64_t)st.st_size < sizeof(*h) + h->count * sizeof(uint64_t))
		return source_why(why, why_size, -EINVAL,
				  "%s is damaged: it says that it has %ju entries, more than there "
				  "is room for",
				  path, (uintmax_t)h->count);
	return 0;
}

/* From entries to runs, in place: an entry is half as large and stands in the upper half. */
static int expand(const char *path, const struct order_header *h, struct order_run *run, char *why,
		  size_t why_size)
{
	const uint64_t *entry = (const uint64_t *)run + h->count;
	uint64_t end = page_round(h->source_size);

	for (uint64_t i = 0; i < h->count; i++) {
		uint64_t e = le64toh(entry[i]);
		uint64_t offset = e & ~(RUN_PAGES - 1), pages = (e & (RUN_PAGES - 1)) + 1;

		if (offset >= end || pages > (end - offset) / SOURCE_PAGE)
			return source_why(why, why_size, -EINVAL,
					  "%s is damaged: entry %ju lies beyond the end of the "
					  "memory it was recorded of",
					  path, (uintmax_t)i);
		run[i] = (struct order_run){offset, pages * SOURCE_PAGE};
	}
	return 0;
}

int order_read(const char *path, struct order *out, char *why, size_t why_size)
{
	struct order_header h;
	struct order_run *run = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC), error;

	if (fd < 0)
		return source_why(why, why_size, -errno, "%s cannot be read: %s", path,
				  strerror(errno));
	error = check_header(path, fd, &h, why, why_size);
	if (!error) {
		run = malloc(h.count ? h.count * sizeof(*run) : 1);
		error = run ? read_all(fd, (uint64_t *)run + h.count, h.count * sizeof(uint64_t),
				       sizeof(h))
			    : -ENOMEM;
		if (error)
			source_why(why, why_size, error, "%s cannot be read: %s", path,
				   strerror(-error));
		else
			error = expand(path, &h, run, why, why_size);
	}
	close(fd);
	if (error) {
		free(run);
		return error;
	}
	*out = (struct order){h.source_size, h.count, run};
	return 0;
}

void order_free(struct order *o)
{
	free(o->run);
	*o = (struct order){0};
}

/* ---- writing one
 */

struct order_writer {
	int fd;
	uint64_t source_size;
	uint64_t count; /* entries that the header knows of */
	struct order_run last;
	size_t n;
	uint64_t buffer[BUFFER];
};

int order_create(const char *path, uint64_t source_size, struct order_writer **out)
{
	struct order_header h = {.magic = htole64(ORDER_MAGIC),
				 .version = htole32(ORDER_VERSION),
				 .page_size = htole32(SOURCE_PAGE),
				 .source_size = htole64(source_size)};
	struct order_writer *w = calloc(1, sizeof(*w));
	struct new_file f;
	int error;

	if (!w)
		return -ENOMEM;
	w->source_size = source_size;
	w->fd = -1;
	/* Under its name from the beginning, but in place of an older one only when it is whole. */
	error = new_file_begin(&f, path, sizeof(h), NULL, 0);
	if (!error) {
		error = f.device ? -EINVAL : write_all(f.fd, &h, sizeof(h), 0);
		w->fd = error ? -1 : fcntl(f.fd, F_DUPFD_CLOEXEC, 0);
		if (!error && w->fd < 0)
			error = -errno;
		if (error)
			new_file_abandon(&f);
		else
			error = new_file_commit(&f);
	}
	if (error) {
		if (w->fd >= 0)
			close(w->fd);
		free(w);
		return error;
	}
	*out = w;
	return 0;
}

static int write_buffer(struct order_writer *w)
{
	uint64_t count = htole64(w->count + w->n);
	int error;

	if (!w->n)
		return 0;
	error = write_all(w->fd, w->buffer, w->n * sizeof(w->buffer[0]),
			  sizeof(struct order_header) + w->count * sizeof(w->buffer[0]));
	if (!error)
		error = write_all(w->fd, &count, sizeof(count),
				  offsetof(struct order_header, count));
	if (error)
		return error;
	w->count += w->n;
	w->n = 0;
	return 0;
}

static int push(struct order_writer *w, uint64_t offset, uint64_t pages)
{
	int error = w->n == BUFFER ? write_buffer(w) : 0;

	if (!error)
		w->buffer[w->n++] = htole64(offset | (pages - 1));
	return error;
}

/* The run that may still have grown is an entry now. */
static int push_last(struct order_writer *w)
{
	int error = w->last.len ? push(w, w->last.offset, w->last.len / SOURCE_PAGE) : 0;

	if (!error)
		w->last.len = 0;
	return error;
}

int order_add(struct order_writer *w, uint64_t offset, uint64_t len)
{
	uint64_t end = page_round(w->source_size);
	int error = 0;

	if (offset % SOURCE_PAGE || len % SOURCE_PAGE || offset > end || len > end - offset)
		return -EINVAL;
	while (len && !error) {
		uint64_t room = RUN_PAGES * SOURCE_PAGE - w->last.len, n;

		if (!w->last.len || w->last.offset + w->last.len != offset || !room) {
			error = push_last(w);
			if (error)
				break;
			w->last.offset = offset;
			room = RUN_PAGES * SOURCE_PAGE;
		}
		n = len < room ? len : room;
		w->last.len += n;
		offset += n;
		len -= n;
	}
	return error;
}

int order_flush(struct order_writer *w)
{
	int error = push_last(w);

	return error ? error : write_buffer(w);
}

int order_finish(struct order_writer *w)
{
	int error = order_flush(w);

	if (close(w->fd) != 0 && !error)
		error = -errno;
	free(w);
	return error;
}
