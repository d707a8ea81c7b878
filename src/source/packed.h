/*
 * packed.h - a packed image: its format (docs/image.md), and what is shared by its files.
 *
 *   packed.c        opening; the operations
 *   packed_index.c  the header and the index, which are believed in nothing
 *   packed_cache.c  chunks: read and decompressed by threads, kept for a while
 *   packed_write.c  making one
 */
#ifndef UF_SOURCE_PACKED_H
#define UF_SOURCE_PACKED_H

#include "util.h"

#define PACKED_MAGIC   0x314547414d494655ull /* "UFIMAGE1" */
#define PACKED_VERSION 1u
#define PACKED_DATA_AT 4096u

#define PACKED_CHUNK_LEAST 4096u
#define PACKED_CHUNK_MOST  (1u << 20)
#define PACKED_CHUNK	   (64u << 10)
#define PACKED_LEVEL	   3
/* Of pages and of slots; a slot's number plus one, and differences of them, are 32 bits. */
#define PACKED_PAGES_MOST (UINT64_C(1) << 30)

/* At offset 0, little-endian. */
struct packed_header {
	uint64_t magic;
	uint32_t version;
	uint32_t header_size; /* sizeof(struct packed_header) */
	uint8_t uuid[16];
	uint64_t size;	    /* of the memory, in bytes */
	uint64_t file_size; /* of the image */
	uint64_t created;   /* seconds since 1970 */
	uint32_t page_size; /* 4096 */
	uint32_t chunk_size;
	uint64_t slots; /* pages that are stored */
	uint64_t chunks;
	uint64_t zero_pages, same_pages; /* left out, because zero or stored already */
	uint64_t index_at, index_len;	 /* as it is stored */
	uint64_t index_sum;
	uint64_t header_sum; /* XXH3 of all before it */
};
_Static_assert(sizeof(struct packed_header) == 128, "the format of the file");

/* How the index stands in the file, before it is compressed:
 *   u32 length[chunks], u64 sum[chunks], u32 page[pages]
 * A page is 0: zero; or else 1 + zigzag(its slot - the slot after that of the last page that is not
 * zero). */
static inline uint32_t zigzag(int64_t delta)
{
	return (uint32_t)((uint64_t)delta << 1 ^ (uint64_t)(delta >> 63));
}

static inline int64_t unzigzag(uint32_t coded)
{
	return (int64_t)(coded >> 1) ^ -(int64_t)(coded & 1);
}

struct packed_entry;
struct packed_want;

struct packed {
	struct source s;
	int fd;
	bool direct;
	struct packed_header h; /* in the machine's byte order */

	/* packed_index.c */
	uint64_t npages;
	uint32_t *page; /* its slot plus one; 0: zero */
	uint64_t *at;	/* where in the file each chunk is, and where the last one ends */
	uint64_t *sum;

	/* packed_cache.c */
	struct pool *pool;
	uint32_t *where; /* for each chunk, its entry plus one; 0: none */
	struct packed_entry *entry;
	unsigned nentries, loading;
	struct packed_entry *newest, *oldest;
	struct packed_want *free_wants;
	unsigned char *assembled; /* what peek puts together */

	unsigned under_way;
	struct source_request *ready, **last_ready;	/* to be done in process() */
	struct source_request *stalled, **last_stalled; /* that wait for an entry */
};

static inline struct packed *packed_of(struct source *s)
{
	return (struct packed *)s;
}

static inline uint32_t packed_slots_of(const struct packed_header *h)
{
	return h->chunk_size / SOURCE_PAGE;
}

/* Decompressed. */
static inline uint32_t packed_chunk_len(const struct packed_header *h, uint64_t chunk)
{
	uint64_t left = (h->slots - chunk * packed_slots_of(h)) * SOURCE_PAGE;

	return left < h->chunk_size ? (uint32_t)left : h->chunk_size;
}

/* Reads and checks the header alone. */
int packed_read_header(int fd, const char *path, struct packed_header *h, char *why,
		       size_t why_size);
int packed_read_index(struct packed *p, const char *path, char *why, size_t why_size);

int packed_cache_new(struct packed *p, const struct source_env *env, char *why, size_t why_size);
void packed_cache_free(struct packed *p);
const void *packed_peek(struct source *s, uint64_t offset, uint64_t len);
int packed_fetch(struct source *s, struct source_request *request);
void packed_cancel(struct source *s, struct source_request *request);
int packed_fd(struct source *s);
void packed_process(struct source *s);

/* As packed_check. */
int packed_load_all(struct packed *p, uint64_t *bad,
		    int (*tell)(void *arg, uint64_t done, uint64_t all), void *arg);

extern const struct source_writer_ops packed_writer_ops;

/* ---- for userfault pack
 */

struct packed_info {
	struct packed_header h;
	uint64_t pages, stored; /* bytes of all chunks in the file */
	uint64_t as_is;		/* chunks that are stored uncompressed */
	uint64_t extents;	/* runs of pages whose slots follow one another */
};
int packed_info(const char *path, struct packed_info *out, char *why, size_t why_size);
/* Is it one? Errors: it cannot be opened. */
int packed_is(const char *path);
/*
 * Reads all of it. -EBADMSG, and how many chunks are damaged. tell, or NULL, is called with the
 * bytes of the file that were checked; nonzero: give up (-EINTR).
 */
int packed_check(const char *path, unsigned threads, uint64_t *bad,
		 int (*tell)(void *arg, uint64_t done, uint64_t all), void *arg, char *why,
		 size_t why_size);
/* What a writer has done; w is one of packed images. */
void packed_written(const struct source_writer *w, struct packed_header *out);

#endif
