/*
 * packed_index.c - the header and the index of a packed image. Whatever they say is checked before
 * it is used: afterwards every page has a slot that there is, and every chunk lies in the file.
 */
#include "packed.h"

#include <endian.h>
#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <xxhash.h>
#include <zstd.h>

#define BLOCK (64u << 10)

static int file_size(int fd, uint64_t *size)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -errno;
	*size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, size) != 0)
		return -errno;
	return 0;
}

static void from_little_endian(struct packed_header *h)
{
	h->magic = le64toh(h->magic);
	h->version = le32toh(h->version);
	h->header_size = le32toh(h->header_size);
	h->size = le64toh(h->size);
	h->file_size = le64toh(h->file_size);
	h->created = le64toh(h->created);
	h->page_size = le32toh(h->page_size);
	h->chunk_size = le32toh(h->chunk_size);
	h->slots = le64toh(h->slots);
	h->chunks = le64toh(h->chunks);
	h->zero_pages = le64toh(h->zero_pages);
	h->same_pages = le64toh(h->same_pages);
	h->index_at = le64toh(h->index_at);
	h->index_len = le64toh(h->index_len);
	h->index_sum = le64toh(h->index_sum);
	h->header_sum = le64toh(h->header_sum);
}

/* What a header with the right checksum may still say wrong. */
static bool makes_sense(const struct packed_header *h)
{
	uint64_t pages = h->size / SOURCE_PAGE + (h->size % SOURCE_PAGE != 0);
	uint64_t per_chunk;

	if (h->page_size != SOURCE_PAGE || h->chunk_size < PACKED_CHUNK_LEAST ||
	    h->chunk_size > PACKED_CHUNK_MOST || (h->chunk_size & (h->chunk_size - 1)))
		return false;
	if (pages > PACKED_PAGES_MOST || h->slots > pages || h->zero_pages > pages ||
	    h->same_pages > pages || h->slots + h->zero_pages + h->same_pages != pages)
		return false;
	per_chunk = h->chunk_size / SOURCE_PAGE;
	if (h->chunks != (h->slots + per_chunk - 1) / per_chunk)
		return false;
	return h->index_at >= PACKED_DATA_AT && h->index_at <= h->file_size &&
	       h->index_len <= h->file_size - h->index_at &&
	       h->chunks <= h->index_at - PACKED_DATA_AT;
}

int packed_read_header(int fd, const char *path, struct packed_header *h, char *why,
		       size_t why_size)
{
	unsigned char *block = aligned_alloc(SOURCE_PAGE, SOURCE_PAGE);
	uint64_t size = 0, sum;
	int error = block ? file_size(fd, &size) : -ENOMEM;

	/* A whole block: it may be O_DIRECT. */
	if (!error)
		error = read_all(fd, block, SOURCE_PAGE, 0);
	if (error == -ENODATA)
		error = -EBADMSG;
	if (error) {
		free(block);
		return source_why(why, why_size, error, "%s cannot be read: %s", path,
				  error == -EBADMSG ? "it is cut off" : strerror(-error));
	}
	memcpy(h, block, sizeof(*h));
	free(block);
	sum = XXH3_64bits(h, offsetof(struct packed_header, header_sum));
	from_little_endian(h);
	if (h->magic != PACKED_MAGIC)
		return source_why(why, why_size, -EINVAL, "%s is no packed image", path);
	if (h->version != PACKED_VERSION)
		return source_why(why, why_size, -EINVAL,
				  "%s is a packed image of version %u, and this Userfault reads "
				  "version %u; pack it anew",
				  path, h->version, PACKED_VERSION);
	if (h->header_size != sizeof(*h) || h->header_sum != sum || !makes_sense(h))
		return source_why(why, why_size, -EBADMSG, "%s is damaged: its header %s", path,
				  h->header_sum != sum ? "does not match its checksum"
						       : "makes no sense");
	if (size < h->file_size)
		return source_why(why, why_size, -EBADMSG,
				  "%s is cut off: it has %ju bytes, and had %ju", path,
				  (uintmax_t)size, (uintmax_t)h->file_size);
	return 0;
}

/* ---- the index, decompressed as it is read
 */

struct reader {
	struct packed *p;
	ZSTD_DStream *stream;
	XXH3_state_t *sum;
	unsigned char *raw; /* BLOCK bytes of the file */
	ZSTD_inBuffer in;
	uint64_t at, end; /* of what has not been read */
	bool ended;	  /* the frame has */
};

/* With O_DIRECT from a block on. */
static int refill(struct reader *r)
{
	uint64_t from = r->at & ~(uint64_t)(SOURCE_PAGE - 1), skip = r->at - from;
	uint64_t len = r->end - r->at < BLOCK - skip ? r->end - r->at : BLOCK - skip;
	int error;

	if (!len)
		return -EBADMSG;
	if (r->p->direct) {
		uint64_t all, read = page_round(skip + len);

		error = file_size(r->p->fd, &all);
		if (error)
			return error;
		/* The last block of the file may be no whole one. */
		error = read_all(r->p->fd, r->raw, read, from);
		if (error == -ENODATA && from + skip + len <= all)
			error = 0;
	} else {
		error = read_all(r->p->fd, r->raw + skip, len, r->at);
	}
	r->in = (ZSTD_inBuffer){r->raw, skip + len, skip};
	r->at += len;
	return error == -ENODATA ? -EBADMSG : error;
}

static int read_index(struct reader *r, void *buf, size_t len)
{
	ZSTD_outBuffer out = {buf, len, 0};

	while (out.pos < len) {
		size_t before = out.pos, left;
		int error = 0;

		if (r->ended)
			return -EBADMSG;
		if (r->in.pos == r->in.size && r->at < r->end)
			error = refill(r);
		if (error)
			return error;
		left = ZSTD_decompressStream(r->stream, &out, &r->in);
		if (ZSTD_isError(left))
			return -EBADMSG;
		r->ended = left == 0;
		if (out.pos == before && r->in.pos == r->in.size && r->at == r->end && !r->ended)
			return -EBADMSG;
	}
	XXH3_64bits_update(r->sum, buf, len);
	return 0;
}

static int read_chunks(struct packed *p, struct reader *r)
{
	uint64_t n = p->h.chunks, at = PACKED_DATA_AT;
	uint32_t block[BLOCK / sizeof(uint32_t)];
	int error;

	for (uint64_t i = 0; i < n;) {
		uint64_t some = n - i < BLOCK / sizeof(uint32_t) ? n - i : BLOCK / sizeof(uint32_t);

		error = read_index(r, block, some * sizeof(uint32_t));
		if (error)
			return error;
		for (uint64_t k = 0; k < some; k++, i++) {
			uint32_t len = le32toh(block[k]);

			if (!len || len > packed_chunk_len(&p->h, i) || len > p->h.index_at - at)
				return -EBADMSG;
			p->at[i] = at;
			at += len;
		}
	}
	p->at[n] = at;
	error = read_index(r, p->sum, n * sizeof(uint64_t));
	if (error)
		return error;
	for (uint64_t i = 0; i < n; i++)
		p->sum[i] = le64toh(p->sum[i]);
	return 0;
}

static int read_pages(struct packed *p, struct reader *r)
{
	uint32_t block[BLOCK / sizeof(uint32_t)];
	uint64_t zeros = 0;
	int64_t next = 0;
	int error;

	for (uint64_t i = 0; i < p->npages;) {
		uint64_t some = p->npages - i < BLOCK / sizeof(uint32_t) ? p->npages - i
									 : BLOCK / sizeof(uint32_t);

		error = read_index(r, block, some * sizeof(uint32_t));
		if (error)
			return error;
		for (uint64_t k = 0; k < some; k++, i++) {
			uint32_t coded = le32toh(block[k]);
			int64_t slot;

			if (!coded) {
				/* It is zero already, and stays untouched. */
				zeros++;
				continue;
			}
			slot = next + unzigzag(coded - 1);
			if (slot < 0 || (uint64_t)slot >= p->h.slots)
				return -EBADMSG;
			p->page[i] = (uint32_t)slot + 1;
			next = slot + 1;
		}
	}
	return zeros == p->h.zero_pages ? 0 : -EBADMSG;
}

static int read_all_of_index(struct packed *p, struct reader *r)
{
	int error = read_chunks(p, r);

	if (!error)
		error = read_pages(p, r);
	if (!error && XXH3_64bits_digest(r->sum) != p->h.index_sum)
		error = -EBADMSG;
	return error;
}

int packed_read_index(struct packed *p, const char *path, char *why, size_t why_size)
{
	struct reader r = {.p = p, .at = p->h.index_at, .end = p->h.index_at + p->h.index_len};
	int error = -ENOMEM;

	p->npages = page_round(p->h.size) / SOURCE_PAGE;
	/* Zero pages of the index cost nothing, so a lie about the size does not either. */
	p->page = calloc(p->npages + 1, sizeof(*p->page));
	p->at = calloc(p->h.chunks + 1, sizeof(*p->at));
	p->sum = calloc(p->h.chunks + 1, sizeof(*p->sum));
	r.stream = ZSTD_createDStream();
	r.sum = XXH3_createState();
	r.raw = aligned_alloc(SOURCE_PAGE, BLOCK);
	if (p->page && p->at && p->sum && r.stream && r.sum && r.raw) {
		XXH3_64bits_reset(r.sum);
		/* Larger windows than any writer's are a way to have memory allocated. */
		ZSTD_DCtx_setParameter(r.stream, ZSTD_d_windowLogMax, 24);
		error = read_all_of_index(p, &r);
	}
	ZSTD_freeDStream(r.stream);
	XXH3_freeState(r.sum);
	free(r.raw);
	if (error)
		source_why(why, why_size, error,
			   error == -EBADMSG ? "%s is damaged: its index%s" : "%s: %s", path,
			   error == -EBADMSG ? " is not what was written" : strerror(-error));
	return error;
}
