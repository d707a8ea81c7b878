/*
 * reader.c - the file of a trace.
 */
#include "eyes/eyes.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 16384u /* records */

/* Length of the UTF-8 character at text, of at most len bytes; 0: it is none that can be printed.
 */
static size_t character(const unsigned char *text, size_t len)
{
	size_t n = text[0] < 0x80 ? 1 : text[0] >> 5 == 6 ? 2 : text[0] >> 4 == 14 ? 3 : 0;
	uint32_t code = n == 1 ? text[0] : n == 2 ? text[0] & 0x1f : text[0] & 0x0f;

	if (n == 0 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if (text[i] >> 6 != 2)
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	if (code < 0x20 || (code >= 0x7f && code < 0xa0) || (n == 2 && code < 0x80) ||
	    (n == 3 && code < 0x800) || (code >= 0xd800 && code < 0xe000) ||
	    (code >= 0x2028 && code < 0x202f) || (code >= 0x2066 && code < 0x206a))
		return 0;
	return n;
}

void clean_text(char *to, size_t size, const char *from, size_t len)
{
	size_t at = 0;

	for (size_t i = 0; i < len && from[i];) {
		size_t n = character((const unsigned char *)from + i, len - i);

		if (at + (n ? n : 1) >= size)
			break;
		if (n)
			memcpy(to + at, from + i, n);
		else
			to[at] = '?';
		at += n ? n : 1;
		i += n ? n : 1;
	}
	to[at] = 0;
}

static bool take_header(struct reader *r, char *why, size_t size)
{
	struct stat st;
	ssize_t n;

	if (fstat(r->fd, &st) == 0 && !S_ISREG(st.st_mode)) {
		snprintf(why, size, "it is not a regular file");
		return false;
	}
	n = pread(r->fd, &r->header, sizeof(r->header), 0);
	if (n < 0) {
		snprintf(why, size, "%s", strerror(errno));
		return false;
	}
	if (n < (ssize_t)sizeof(r->header.magic) || r->header.magic != TRACE_MAGIC) {
		if (n >= 8 && __builtin_bswap64(r->header.magic) == TRACE_MAGIC)
			snprintf(why, size, "it was recorded on a machine of the other byte order");
		else
			snprintf(why, size,
				 "it is no trace of Userfault; 'userfault run --trace=FILE' and "
				 "'userfault serve --trace FILE' make them");
		return false;
	}
	if (n < (ssize_t)sizeof(r->header)) {
		snprintf(why, size, "it ends within its header, after %zd bytes", n);
		return false;
	}
	if (r->header.version != TRACE_VERSION ||
	    r->header.record_size != sizeof(struct trace_record)) {
		snprintf(why, size,
			 "it has format %" PRIu32
			 ", and this Userfault reads format %u; use the one that recorded it",
			 r->header.version, TRACE_VERSION);
		return false;
	}
	if ((r->header.origin != TRACE_OF_RUN && r->header.origin != TRACE_OF_PAGER) ||
	    r->header.page_size < 4096 || (r->header.page_size & (r->header.page_size - 1))) {
		snprintf(why, size, "its header is damaged");
		return false;
	}
	r->count = atomic_load(&r->header.count);
	if (r->count > r->header.capacity) {
		r->lost = r->count - r->header.capacity;
		r->count = r->header.capacity;
	}
	n = (ssize_t)(((uint64_t)st.st_size - sizeof(r->header)) / sizeof(struct trace_record));
	if (r->count > (uint64_t)n) {
		r->cut = true;
		r->count = (uint64_t)n;
	}
	clean_text(r->program, sizeof(r->program), r->header.program, sizeof(r->header.program));
	return true;
}

bool reader_open(struct reader *r, const char *name, char *why, size_t why_size)
{
	*r = (struct reader){.name = name};
	r->fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (r->fd < 0) {
		snprintf(why, why_size, "%s", strerror(errno));
		return false;
	}
	r->block = malloc(BLOCK * sizeof(*r->block));
	if (!r->block)
		snprintf(why, why_size, "there is not enough memory");
	else if (take_header(r, why, why_size))
		return true;
	reader_close(r);
	return false;
}

void reader_close(struct reader *r)
{
	free(r->block);
	close(r->fd);
	*r = (struct reader){.fd = -1};
}

void reader_rewind(struct reader *r)
{
	r->next = 0;
}

/* Where the file ends early, so does the trace. */
static bool load(struct reader *r)
{
	uint64_t left = r->count - r->next;
	size_t size = (left < BLOCK ? left : BLOCK) * sizeof(*r->block), have = 0;

	while (have < size) {
		ssize_t n = pread(r->fd, (char *)r->block + have, size - have,
				  (off_t)(sizeof(r->header) + r->next * sizeof(*r->block) + have));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	r->block_at = r->next;
	r->block_n = have / sizeof(*r->block);
	if (have < size) {
		r->cut = true;
		r->count = r->next + r->block_n;
	}
	return r->block_n > 0;
}

const struct trace_record *reader_next(struct reader *r)
{
	if (r->next >= r->count)
		return NULL;
	if ((r->next < r->block_at || r->next >= r->block_at + r->block_n) && !load(r))
		return NULL;
	return &r->block[r->next++ - r->block_at];
}
