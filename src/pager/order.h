/*
 * order.h - the order in which a guest first touched its pages: what `userfault serve --record`
 * writes, --prefetch goes by, and `userfault pack --order` lays an image out by.
 *
 * The file: a header of 64 bytes, then entries of 8 bytes, little-endian. An entry is the offset of
 * a run of pages in the source (a multiple of 4096) plus, in the low 12 bits, the number of its
 * pages less one.
 */
#ifndef UF_PAGER_ORDER_H
#define UF_PAGER_ORDER_H

#include <stddef.h>
#include <stdint.h>

#define ORDER_MAGIC   0x31524544524f4655ull /* "UFORDER1" */
#define ORDER_VERSION 1u

struct order_header {
	uint64_t magic;
	uint32_t version;
	uint32_t page_size; /* 4096 */
	uint64_t source_size;
	uint64_t count; /* entries */
	uint64_t reserved[4];
};

struct order_run {
	uint64_t offset, len; /* bytes of the source */
};

struct order {
	uint64_t source_size;
	size_t count;
	struct order_run *run;
};

/* Checks everything; -EINVAL and why for what is none. */
int order_read(const char *path, struct order *out, char *why, size_t why_size);
void order_free(struct order *o);

/* A writer keeps the file whole at all times: entries first, then the count. */
struct order_writer;
int order_create(const char *path, uint64_t source_size, struct order_writer **out);
int order_add(struct order_writer *w, uint64_t offset, uint64_t len);
/* Writes what is buffered. */
int order_flush(struct order_writer *w);
int order_finish(struct order_writer *w);

#endif
