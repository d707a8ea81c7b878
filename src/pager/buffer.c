/*
 * buffer.c - memory that chunks are fetched to. Some of it is kept: what was mapped anew would
 * have to be zeroed by the kernel, page by page, before the source writes over it.
 */
#include <sys/mman.h>

#include "pager/internal.h"

#define KEPT (8ull << 20)

struct free_buffer {
	struct free_buffer *next;
};

static unsigned size_class(size_t size)
{
	unsigned c = 0;

	while ((PAGE_4K << c) < size)
		c++;
	return c;
}

void *buffer_get(struct engine *e, size_t size)
{
	unsigned c = size_class(size);
	struct free_buffer *b = e->buffers[c];
	void *p;

	if (b) {
		e->buffers[c] = b->next;
		e->buffers_bytes -= PAGE_4K << c;
		return b;
	}
	p = mmap(NULL, PAGE_4K << c, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

void buffer_put(struct engine *e, void *buf, size_t size)
{
	unsigned c = size_class(size);
	struct free_buffer *b = buf;

	if (!buf)
		return;
	if (e->buffers_bytes + (PAGE_4K << c) > KEPT) {
		munmap(buf, PAGE_4K << c);
		return;
	}
	b->next = e->buffers[c];
	e->buffers[c] = b;
	e->buffers_bytes += PAGE_4K << c;
}

void buffers_free(struct engine *e)
{
	for (unsigned c = 0; c < BUFFER_SIZES; c++) {
		while (e->buffers[c]) {
			struct free_buffer *b = e->buffers[c];

			e->buffers[c] = b->next;
			munmap(b, PAGE_4K << c);
		}
	}
}
