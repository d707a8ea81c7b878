/*
 * packed.c - packed images: memory compressed by chunks, without its zero pages and with pages that
 * repeat stored once. docs/image.md describes the file.
 */
#include "packed.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "list.h"

/* Bytes that are asked for at a time: enough for some threads, and all of it in their caches. */
#define UNDER_WAY (1u << 20)
/* Pages that one look at the index goes over at most. */
#define LOOK_MOST (UINT64_C(64) << 10)

static const char *path_of(const char *spec)
{
	return strncmp(spec, "packed:", 7) == 0 ? spec + 7 : spec;
}

static bool packed_probe(const char *spec, int fd)
{
	uint64_t magic;

	(void)spec;
	return read_all(fd, &magic, sizeof(magic), 0) == 0 && le64toh(magic) == PACKED_MAGIC;
}

/*
 * How large requests had better be. In the order of addresses, neighbours are in one chunk; in an
 * image that begins in the order of first touches they are all over it, and one that is fetched for
 * its neighbour's sake costs a chunk of its own: then it is by pages, and what is decompressed
 * already is found by peek.
 */
static uint32_t best_chunk(const struct packed *p)
{
	uint32_t chunk = p->h.chunk_size;
	uint64_t breaks = 0, stored = 0;

	for (uint64_t i = 1, top = p->npages ? p->page[0] : 0; i < p->npages; i++) {
		uint32_t slot = p->page[i];

		/* One that repeats an earlier page says nothing. */
		stored += slot != 0;
		breaks += slot > top && slot != top + 1;
		top = slot > top ? slot : top;
		breaks += slot && p->page[i - 1] > slot + p->npages / 64;
	}
	if (breaks > stored / 64)
		return SOURCE_PAGE;
	return chunk < 4 * SOURCE_PAGE ? 4 * SOURCE_PAGE : chunk;
}

static void packed_close(struct source *s)
{
	struct packed *p = packed_of(s);

	packed_cache_free(p);
	free(p->page);
	free(p->at);
	free(p->sum);
	if (p->fd >= 0)
		close(p->fd);
	free(p);
}

static int open_image(struct packed *p, const char *path, const struct source_env *env, char *why,
		      size_t why_size)
{
	int error;

	p->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (p->direct ? O_DIRECT : 0));
	if (p->fd < 0 && errno == EINVAL && p->direct)
		return source_why(why, why_size, -EINVAL,
				  "%s is on a file system without O_DIRECT; leave out direct",
				  path);
	if (p->fd < 0)
		return source_why(why, why_size, -errno, "%s cannot be opened: %s", path,
				  strerror(errno));
	error = packed_read_header(p->fd, path, &p->h, why, why_size);
	if (!error)
		error = packed_read_index(p, path, why, why_size);
	return error ? error : packed_cache_new(p, env, why, why_size);
}

static int packed_open(const char *spec, const struct source_env *env, struct source **out,
		       char *why, size_t why_size)
{
	struct packed *p = calloc(1, sizeof(*p));
	int error;

	if (!p)
		return source_why(why, why_size, -ENOMEM, "there is no memory left");
	p->s.ops = &source_packed;
	p->fd = -1;
	p->direct = env && env->direct;
	snprintf(p->s.spec, sizeof(p->s.spec), "%s", spec);
	error = open_image(p, path_of(spec), env, why, why_size);
	if (error) {
		packed_close(&p->s);
		return error;
	}
	p->s.size = p->h.size;
	p->s.chunk = best_chunk(p);
	p->s.depth = UNDER_WAY / p->s.chunk < 4 ? 4 : UNDER_WAY / p->s.chunk;
	p->s.costly = true;
	*out = &p->s;
	return 0;
}

static enum source_contents packed_extent(struct source *s, uint64_t offset, uint64_t *len)
{
	struct packed *p = packed_of(s);
	uint64_t first = offset / SOURCE_PAGE, end = (offset + *len) / SOURCE_PAGE, i;
	bool zero = first >= p->npages || !p->page[first];

	if (end > p->npages)
		end = p->npages;
	if (end > first + LOOK_MOST)
		end = first + LOOK_MOST;
	for (i = first + 1; i < end && !p->page[i] == zero; i++)
		;
	if (i * SOURCE_PAGE - offset < *len)
		*len = i * SOURCE_PAGE - offset;
	return zero ? SOURCE_ZERO : SOURCE_DATA;
}

const struct source_ops source_packed = {
	.name = "packed",
	.schemes = (const char *const[]){"packed:", NULL},
	.probe = packed_probe,
	.open = packed_open,
	.close = packed_close,
	.extent = packed_extent,
	.peek = packed_peek,
	.fetch = packed_fetch,
	.cancel = packed_cancel,
	.fd = packed_fd,
	.process = packed_process,
	.writer = &packed_writer_ops,
};

/* ---- for userfault pack
 */

int packed_is(const char *path)
{
	int fd = open(path_of(path), O_RDONLY | O_CLOEXEC | O_NONBLOCK), is;

	if (fd < 0)
		return -errno;
	is = packed_probe(path, fd);
	close(fd);
	return is;
}

int packed_info(const char *path, struct packed_info *out, char *why, size_t why_size)
{
	struct source *s;
	struct packed *p;
	int error = packed_open(path, NULL, &s, why, why_size);

	if (error)
		return error;
	p = packed_of(s);
	*out = (struct packed_info){.h = p->h, .pages = p->npages};
	out->stored = p->at[p->h.chunks] - PACKED_DATA_AT;
	for (uint64_t i = 0; i < p->h.chunks; i++)
		out->as_is += p->at[i + 1] - p->at[i] == packed_chunk_len(&p->h, i);
	for (uint64_t i = 0, next = 0; i < p->npages; i++) {
		if (!p->page[i])
			continue;
		out->extents += p->page[i] != next;
		next = (uint64_t)p->page[i] + 1;
	}
	packed_close(s);
	return 0;
}

int packed_check(const char *path, unsigned threads, uint64_t *bad,
		 int (*tell)(void *arg, uint64_t done, uint64_t all), void *arg, char *why,
		 size_t why_size)
{
	struct source_env env = {.threads = threads};
	struct source *s;
	int error = packed_open(path, &env, &s, why, why_size);

	*bad = 0;
	if (error)
		return error;
	error = packed_load_all(packed_of(s), bad, tell, arg);
	if (*bad)
		source_why(why, why_size, error, "%s is damaged: %ju of its %ju chunks %s", path,
			   (uintmax_t)*bad, (uintmax_t)packed_of(s)->h.chunks,
			   *bad == 1 ? "is not what was written" : "are not what was written");
	else if (error)
		source_why(why, why_size, error, "%s cannot be read: %s", path, strerror(-error));
	packed_close(s);
	return error;
}
