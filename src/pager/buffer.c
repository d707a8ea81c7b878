/*
 * buffer.c - memory that chunks are fetched to. Some of it is kept: what was mapped anew would
 * have to be zeroed by the kernel, page by page, before the source writes over it.
 */
#include <sys/mman.h>

#include "pager/internal.h"

/* While nothing is under way. */
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
	if (e->buffers_bytes + (PAGE_4K << c) > e->in_flight_limit) {
		munmap(buf, PAGE_4K << c);
		return;
	}
	b->next = e->buffers[c];
	e->buffers[c] = b;
	e->buffers_bytes += PAGE_4K << c;
}

static void free_to(struct engine *e, uint64_t kept)
{
	for (unsigned c = BUFFER_SIZES; c-- > 0;) {
		while (e->buffers[c] && e->buffers_bytes > kept) {
			struct free_buffer *b = e->buffers[c];

			e->buffers[c] = b->next;
			e->buffers_bytes -= PAGE_4K << c;
			munmap(b, PAGE_4K << c);
		}
	}
}

void buffers_trim(struct engine *e)
{
	if (e->buffers_bytes > KEPT && !e->in_flight)
		free_to(e, KEPT);
}

void buffers_free(struct engine *e)
{
	free_to(e, 0);
}
