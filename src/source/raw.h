/*
 * raw.h - a raw source, for its files.
 */
#ifndef UF_SOURCE_RAW_H
#define UF_SOURCE_RAW_H

#include <liburing.h>

#include "util.h"

/* 2 MiB of the file: what is known about where it has holes. */
#define WINDOW	     (UINT64_C(2) << 20)
#define WINDOW_PAGES (WINDOW / SOURCE_PAGE)
struct window {
	uint64_t data[WINDOW_PAGES / 64]; /* a bit for each page that is no hole */
};

/* What the page cache has is looked up by blocks. */
#define BLOCK_PAGES 16u
#define BLOCK	    ((uint64_t)BLOCK_PAGES * SOURCE_PAGE)
struct block {
	uint32_t until; /* ms: so long that counts */
	uint16_t there; /* a bit for each page that is resident */
};

struct raw {
	struct source s;
	int fd;
	bool direct;

	/* raw_have.c */
	struct window **window; /* NULL: not looked at; or all_data, all_hole */
	uint64_t nwindows;
	bool no_holes; /* it does not tell */
	struct raw_version {
		uint64_t size, blocks;
		int64_t mtime_s, mtime_ns, ctime_s, ctime_ns;
	} version; /* of the file, when windows were filled in */
	uint32_t version_until;
	unsigned char *map; /* the file, or NULL */
	uint64_t map_size;
	struct block *block;
	uint64_t next;	/* block where a reader in order would go on */
	unsigned ahead; /* and blocks to look at then */
	bool warm;	/* all that was looked at last was resident */
	bool truthful;	/* mincore tells us what is resident */
	uint32_t truthful_until;
	bool no_nowait;	     /* reads cannot be kept from waiting */
	unsigned char *copy; /* for reads that do not wait */

	/* raw_io.c */
	struct io_uring ring;
	bool has_ring;
	struct pool *pool; /* in its place */
	unsigned under_way;
};

static inline struct raw *raw_of(struct source *s)
{
	return (struct raw *)s;
}

int raw_have_new(struct raw *r);
void raw_have_free(struct raw *r);
enum source_contents raw_extent(struct source *s, uint64_t offset, uint64_t *len);
const void *raw_peek(struct source *s, uint64_t offset, uint64_t len);

int raw_io_new(struct raw *r, const struct source_env *env, char *why, size_t why_size);
void raw_io_free(struct raw *r);
int raw_fetch(struct source *s, struct source_request *request);
void raw_cancel(struct source *s, struct source_request *request);
int raw_fd(struct source *s);
void raw_process(struct source *s);

#endif
