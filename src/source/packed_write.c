/*
 * packed_write.c - makes packed images. Pages get their slots in the order in which they are
 * written, chunks are compressed by threads and written in their order.
 */
#include "packed.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "list.h"

#define THREADS_MOST 16u
#define BLOCK	     (64u << 10)
#define INDEX_LEVEL  3

/* A page that is stored, by its hash; slot 0: none. */
struct known {
	uint64_t low, high;
	uint32_t slot; /* plus one */
};

/* A chunk being made. */
struct making {
	struct pool_job job; /* first */
	struct packed_writer *w;
	unsigned char *in, *out;
	uint32_t in_len, out_len; /* out_len 0: in is stored as it is */
	uint64_t sum;
	bool done;
};

struct packed_writer {
	struct source_writer w;
	struct new_file file;
	struct packed_header h;
	int level;
	uint64_t npages, written; /* written: that are not zero */
	uint32_t *page;

	uint64_t seed;
	struct known *known;
	uint64_t nknown, room; /* a power of two */

	struct pool *pool;
	struct making *making; /* chunk c is in making[c % nmaking] */
	unsigned nmaking;
	uint64_t next;	  /* chunk that is being filled */
	uint64_t done;	  /* chunks that are in the file */
	uint64_t at;	  /* where the next one goes */
	uint32_t *length; /* of each chunk that is done; little-endian, as sum */
	uint64_t *sum;
	uint64_t chunks_room;
};

static struct packed_writer *writer_of(struct source_writer *w)
{
	return (struct packed_writer *)w;
}

/* ---- chunks
 */

static int compress(struct pool_job *job, void *local)
{
	struct making *m = (struct making *)job;
	ZSTD_CCtx **zstd = local;
	/* Less than a sixteenth is not worth decompressing it. */
	size_t most = m->in_len - m->in_len / 16, len;

	if (!*zstd)
		*zstd = ZSTD_createCCtx();
	if (!*zstd)
		return -ENOMEM;
	m->sum = XXH3_64bits(m->in, m->in_len);
	len = ZSTD_compressCCtx(*zstd, m->out, most, m->in, m->in_len, m->w->level);
	m->out_len = ZSTD_isError(len) ? 0 : (uint32_t)len;
	return 0;
}

static void end_compress(void *local)
{
	ZSTD_freeCCtx(*(ZSTD_CCtx **)local);
}

static int room_for_chunks(struct packed_writer *w)
{
	uint64_t room = w->chunks_room ? 2 * w->chunks_room : 1024;
	void *length, *sum;

	if (w->done < w->chunks_room)
		return 0;
	length = realloc(w->length, room * sizeof(*w->length));
	if (length)
		w->length = length;
	sum = realloc(w->sum, room * sizeof(*w->sum));
	if (sum)
		w->sum = sum;
	if (!length || !sum)
		return -ENOMEM;
	w->chunks_room = room;
	return 0;
}

static int write_chunk(struct packed_writer *w, struct making *m)
{
	uint32_t len = m->out_len ? m->out_len : m->in_len;
	int error = m->job.error ? m->job.error : room_for_chunks(w);

	if (!error)
		error = write_all(w->file.fd, m->out_len ? m->out : m->in, len, w->at);
	if (error)
		return error;
	w->length[w->done] = htole32(len);
	w->sum[w->done] = htole64(m->sum);
	w->at += len;
	w->done++;
	m->done = false;
	m->in_len = 0;
	return 0;
}

/* Until chunk `until` is in the file. */
static int wait_for(struct packed_writer *w, uint64_t until)
{
	struct pollfd fd = {.fd = pool_fd(w->pool), .events = POLLIN};
	int error = 0;

	for (;;) {
		struct making *m = &w->making[w->done % w->nmaking];

		if (w->done < w->next && m->done) {
			error = write_chunk(w, m);
			if (error)
				return error;
			continue;
		}
		if (w->done >= until)
			return 0;
		if (poll(&fd, 1, -1) < 0 && errno != EINTR)
			return -errno;
		for (struct pool_job *job = pool_take(w->pool); job; job = job->next)
			((struct making *)job)->done = true;
	}
}

static int begin_chunk(struct packed_writer *w)
{
	struct making *m = &w->making[w->next % w->nmaking];

	if (!m->in_len)
		return 0;
	w->next++;
	pool_add(w->pool, &m->job, false);
	/* The next one's place has to be free. */
	return w->next < w->nmaking ? wait_for(w, 0) : wait_for(w, w->next - w->nmaking + 1);
}

/* ---- pages
 */

static int grow(struct packed_writer *w)
{
	uint64_t room = w->room ? 2 * w->room : 4096;
	struct known *known = calloc(room, sizeof(*known));

	if (!known)
		return -ENOMEM;
	for (uint64_t i = 0; i < w->room; i++) {
		uint64_t at = w->known[i].low & (room - 1);

		if (!w->known[i].slot)
			continue;
		while (known[at].slot)
			at = (at + 1) & (room - 1);
		known[at] = w->known[i];
	}
	free(w->known);
	w->known = known;
	w->room = room;
	return 0;
}

/* The slot, plus one, of a page like this one, if there is one; else it is `slot` from now on. */
static int find_known(struct packed_writer *w, const void *page, uint32_t *slot, bool *is_new)
{
	XXH128_hash_t hash = XXH3_128bits_withSeed(page, SOURCE_PAGE, w->seed);
	int error = w->nknown >= w->room / 2 ? grow(w) : 0;
	uint64_t at;

	if (error)
		return error;
	for (at = hash.low64 & (w->room - 1); w->known[at].slot; at = (at + 1) & (w->room - 1)) {
		if (w->known[at].low == hash.low64 && w->known[at].high == hash.high64) {
			*slot = w->known[at].slot;
			*is_new = false;
			return 0;
		}
	}
	w->known[at] = (struct known){hash.low64, hash.high64, *slot};
	w->nknown++;
	*is_new = true;
	return 0;
}

static int write_page(struct packed_writer *w, uint64_t index, const void *contents)
{
	struct making *m;
	uint32_t slot = (uint32_t)w->h.slots + 1;
	bool is_new;
	int error;

	if (is_zero(contents, SOURCE_PAGE))
		return 0;
	if (w->page[index])
		return -EINVAL;
	error = find_known(w, contents, &slot, &is_new);
	if (error)
		return error;
	w->page[index] = slot;
	w->written++;
	if (!is_new)
		return 0;
	w->h.slots++;
	m = &w->making[w->next % w->nmaking];
	memcpy(m->in + m->in_len, contents, SOURCE_PAGE);
	m->in_len += SOURCE_PAGE;
	return m->in_len == w->h.chunk_size ? begin_chunk(w) : 0;
}

static int packed_write(struct source_writer *writer, uint64_t offset, const void *buf,
			uint64_t len)
{
	struct packed_writer *w = writer_of(writer);
	const unsigned char *p = buf;
	int error = 0;

	if (offset % SOURCE_PAGE || offset > w->h.size || len > page_round(w->h.size) - offset ||
	    (len % SOURCE_PAGE && offset + len != w->h.size))
		return -EINVAL;
	for (uint64_t at = 0; at < len && !error; at += SOURCE_PAGE) {
		uint64_t left = w->h.size - offset - at;
		unsigned char page[SOURCE_PAGE] = {0};

		if (left >= SOURCE_PAGE) {
			error = write_page(w, (offset + at) / SOURCE_PAGE, p + at);
		} else {
			memcpy(page, p + at, left);
			error = write_page(w, (offset + at) / SOURCE_PAGE, page);
		}
	}
	return error;
}

/* ---- the index
 */

struct index {
	struct packed_writer *w;
	ZSTD_CStream *stream;
	XXH3_state_t *sum;
	unsigned char out[BLOCK];
};

static int compress_index(struct index *x, const void *buf, size_t len, ZSTD_EndDirective how)
{
	ZSTD_inBuffer in = {buf, len, 0};
	size_t left;
	int error = 0;

	if (len)
		XXH3_64bits_update(x->sum, buf, len);
	do {
		ZSTD_outBuffer out = {x->out, sizeof(x->out), 0};

		left = ZSTD_compressStream2(x->stream, &out, &in, how);
		if (ZSTD_isError(left))
			return -ENOMEM;
		error = write_all(x->w->file.fd, x->out, out.pos, x->w->at);
		x->w->at += out.pos;
	} while (!error && (how == ZSTD_e_end ? left != 0 : in.pos < in.size));
	return error;
}

static int compress_pages(struct index *x)
{
	uint32_t block[BLOCK / sizeof(uint32_t)], next = 0, n = 0;
	int error = 0;

	for (uint64_t i = 0; i < x->w->npages && !error; i++) {
		uint32_t slot = x->w->page[i];

		block[n++] = slot ? htole32(1 + zigzag((int64_t)slot - 1 - next)) : 0;
		if (slot)
			next = slot;
		if (n == BLOCK / sizeof(uint32_t) || i + 1 == x->w->npages) {
			error = compress_index(x, block, n * sizeof(uint32_t), ZSTD_e_continue);
			n = 0;
		}
	}
	return error;
}

static int write_index(struct packed_writer *w)
{
	struct index *x = malloc(sizeof(*x));
	int error = -ENOMEM;

	if (!x)
		return -ENOMEM;
	x->w = w;
	x->stream = ZSTD_createCStream();
	x->sum = XXH3_createState();
	if (x->stream && x->sum) {
		XXH3_64bits_reset(x->sum);
		ZSTD_CCtx_setParameter(x->stream, ZSTD_c_compressionLevel, INDEX_LEVEL);
		w->h.index_at = w->at;
		error = compress_index(x, w->length, w->done * sizeof(*w->length), ZSTD_e_continue);
		if (!error)
			error = compress_index(x, w->sum, w->done * sizeof(*w->sum),
					       ZSTD_e_continue);
		if (!error)
			error = compress_pages(x);
		if (!error)
			error = compress_index(x, NULL, 0, ZSTD_e_end);
		w->h.index_len = w->at - w->h.index_at;
		w->h.index_sum = XXH3_64bits_digest(x->sum);
	}
	ZSTD_freeCStream(x->stream);
	XXH3_freeState(x->sum);
	free(x);
	return error;
}

static int write_header(struct packed_writer *w)
{
	struct packed_header h = w->h;

	h.magic = htole64(PACKED_MAGIC);
	h.version = htole32(PACKED_VERSION);
	h.header_size = htole32(sizeof(h));
	h.size = htole64(h.size);
	h.file_size = htole64(h.file_size);
	h.created = htole64(h.created);
	h.page_size = htole32(SOURCE_PAGE);
	h.chunk_size = htole32(h.chunk_size);
	h.slots = htole64(h.slots);
	h.chunks = htole64(h.chunks);
	h.zero_pages = htole64(h.zero_pages);
	h.same_pages = htole64(h.same_pages);
	h.index_at = htole64(h.index_at);
	h.index_len = htole64(h.index_len);
	h.index_sum = htole64(h.index_sum);
	h.header_sum = htole64(XXH3_64bits(&h, offsetof(struct packed_header, header_sum)));
	return write_all(w->file.fd, &h, sizeof(h), 0);
}

/* ---- its beginning and its end
 */

static void release(struct packed_writer *w)
{
	if (w->pool)
		pool_free(w->pool);
	for (unsigned i = 0; w->making && i < w->nmaking; i++) {
		free(w->making[i].in);
		free(w->making[i].out);
	}
	free(w->making);
	free(w->known);
	free(w->page);
	free(w->length);
	free(w->sum);
	free(w);
}

static void packed_abandon(struct source_writer *writer)
{
	struct packed_writer *w = writer_of(writer);

	new_file_abandon(&w->file);
	release(w);
}

static int finish(struct packed_writer *w)
{
	unsigned char none[PACKED_DATA_AT - sizeof(struct packed_header)] = {0};
	int error = begin_chunk(w);

	if (!error)
		error = wait_for(w, w->next);
	if (error)
		return error;
	w->h.chunks = w->done;
	w->h.zero_pages = w->npages - w->written;
	w->h.same_pages = w->written - w->h.slots;
	error = write_index(w);
	w->h.file_size = w->at;
	if (!error)
		error = write_all(w->file.fd, none, sizeof(none), sizeof(struct packed_header));
	/* Before the header that says that it is an image. */
	if (!error && fdatasync(w->file.fd) != 0)
		error = -errno;
	return error ? error : write_header(w);
}

static int packed_commit(struct source_writer *writer)
{
	struct packed_writer *w = writer_of(writer);
	int error = finish(w);

	if (error)
		new_file_abandon(&w->file);
	else
		error = new_file_commit(&w->file);
	release(w);
	return error;
}

static int read_options(struct packed_writer *w, const struct source_env *env, char *why,
			size_t why_size)
{
	const char *level = source_option(env, "level");
	uint64_t chunk = PACKED_CHUNK;
	char *end;
	int error = source_size_option(env, "chunk", &chunk, why, why_size);

	if (error)
		return error;
	if (chunk < PACKED_CHUNK_LEAST || chunk > PACKED_CHUNK_MOST || (chunk & (chunk - 1)))
		return source_why(why, why_size, -EINVAL,
				  "the size of chunks has to be a power of two from 4K to 1M");
	w->h.chunk_size = (uint32_t)chunk;
	w->level = PACKED_LEVEL;
	if (level) {
		long n = strtol(level, &end, 10);

		if (!*level || *end || n < -50 || n > ZSTD_maxCLevel() || n == 0)
			return source_why(why, why_size, -EINVAL,
					  "'%s' is no level of compression: it has to be from 1 to "
					  "%d, or from -1 to -50 for less and faster",
					  level, ZSTD_maxCLevel());
		w->level = (int)n;
	}
	return 0;
}

static int make_makings(struct packed_writer *w, const struct source_env *env)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct pool_options options = {
		.threads = env->threads		       ? env->threads
			   : cpus < 1		       ? 1
			   : cpus > (long)THREADS_MOST ? THREADS_MOST
						       : (unsigned)cpus,
		.local_size = sizeof(ZSTD_CCtx *),
		.work = compress,
		.end = end_compress,
	};

	w->nmaking = 3 * options.threads + 1;
	w->making = calloc(w->nmaking, sizeof(*w->making));
	if (!w->making)
		return -ENOMEM;
	for (unsigned i = 0; i < w->nmaking; i++) {
		struct making *m = &w->making[i];

		m->w = w;
		m->in = malloc(w->h.chunk_size);
		m->out = malloc(w->h.chunk_size);
		if (!m->in || !m->out)
			return -ENOMEM;
	}
	return pool_new(&options, &w->pool);
}

static int packed_create(const char *spec, uint64_t size, const struct source_env *env,
			 struct source_writer **out, char *why, size_t why_size)
{
	struct packed_writer *w = calloc(1, sizeof(*w));
	struct timespec now;
	int error;

	if (!w)
		return source_why(why, why_size, -ENOMEM, "there is no memory left");
	w->w.ops = &packed_writer_ops;
	w->file = (struct new_file){.fd = -1, .dir = -1};
	w->h.size = size;
	w->npages = size / SOURCE_PAGE + (size % SOURCE_PAGE != 0);
	w->at = PACKED_DATA_AT;
	clock_gettime(CLOCK_REALTIME, &now);
	w->h.created = (uint64_t)now.tv_sec;
	/* A guest cannot know the seed, nor make two pages that only look the same. */
	if (getrandom(&w->seed, sizeof(w->seed), 0) != sizeof(w->seed) ||
	    getrandom(w->h.uuid, sizeof(w->h.uuid), 0) != sizeof(w->h.uuid))
		error = source_why(why, why_size, -EIO, "there are no random numbers");
	else
		error = read_options(w, env, why, why_size);
	w->h.uuid[6] = (uint8_t)((w->h.uuid[6] & 0x0f) | 0x40);
	w->h.uuid[8] = (uint8_t)((w->h.uuid[8] & 0x3f) | 0x80);
	if (!error && w->npages > PACKED_PAGES_MOST)
		error = source_why(why, why_size, -EFBIG,
				   "a packed image has room for 4 TiB; this are %ju bytes",
				   (uintmax_t)size);
	if (!error)
		error = new_file_begin(&w->file, strncmp(spec, "packed:", 7) == 0 ? spec + 7 : spec,
				       0, why, why_size);
	if (!error) {
		w->page = calloc(w->npages + 1, sizeof(*w->page));
		error = w->page ? make_makings(w, env) : -ENOMEM;
		if (error)
			source_why(why, why_size, error, "%s cannot be made: %s", spec,
				   strerror(-error));
	}
	if (error) {
		packed_abandon(&w->w);
		return error;
	}
	*out = &w->w;
	return 0;
}

void packed_written(const struct source_writer *writer, struct packed_header *out)
{
	const struct packed_writer *w = (const struct packed_writer *)writer;

	*out = w->h;
	out->zero_pages = w->npages - w->written;
	out->same_pages = w->written - w->h.slots;
}

const struct source_writer_ops packed_writer_ops = {
	.create = packed_create,
	.write = packed_write,
	.commit = packed_commit,
	.abandon = packed_abandon,
};
