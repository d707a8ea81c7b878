/*
 * rados.h - an image in a Ceph cluster. docs/sources.md describes how it is laid out.
 *
 *   rados.c        the source
 *   rados_image.c  what both share: names, connecting, the header
 *   rados_write.c  the writer
 */
#ifndef UF_SOURCE_RADOS_H
#define UF_SOURCE_RADOS_H

#include <rados/librados.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pager/source.h"

#define RADOS_MAGIC   0x31534f4441524655ull /* "UFRADOS1" */
#define RADOS_VERSION 1u
#define RADOS_OBJECT  (4u << 20)
#define RADOS_CHUNK   (256u << 10)
/* The header names every chunk and is written in one operation, which clusters limit to 90 MiB. */
#define RADOS_SIZE_MAX (4ull << 40)

/* The object NAME.header: this, then a word for each chunk; all little-endian. */
struct rados_header {
	uint64_t magic;
	uint32_t version;
	uint32_t object_size;
	uint32_t chunk;
	uint32_t reserved;
	uint64_t size;
	uint64_t generation; /* in the names of its data objects */
	uint64_t chunks;
	uint64_t sum; /* XXH3 of the words, then of the header with this 0 */
};

struct rados_image {
	char *pool, *name;
	rados_t cluster;
	rados_ioctx_t io;
	struct rados_header header;
	uint32_t *word; /* a chunk's checksum; 0: it is zero, and not stored */
};

/* Parses spec, connects and opens the pool. */
int rados_image_open(struct rados_image *m, const char *spec, const struct source_env *env,
		     char *why, size_t why_size);
void rados_image_close(struct rados_image *m);
/* -ENOENT: there is no such image. */
int rados_image_load(struct rados_image *m, char *why, size_t why_size);
int rados_image_save(struct rados_image *m);
/* The objects that [0, chunks) of an image with these words are in. */
void rados_image_remove_objects(struct rados_image *m, uint64_t generation, const uint32_t *word,
				uint64_t chunks);

#define RADOS_NAME_MAX 320
void rados_object_name(char name[RADOS_NAME_MAX], const struct rados_image *m, uint64_t generation,
		       uint64_t object);
/* Never 0. */
uint32_t rados_chunk_sum(const void *buf, size_t len);

extern const struct source_writer_ops rados_writer_ops;

#endif
