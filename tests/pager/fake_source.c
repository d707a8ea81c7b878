/*
 * fake_source.c - a source for tests: contents that can be computed, and whatever can go wrong.
 */
#include "fake_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define DUE(r)	((r)->private[0])
#define NEXT(r) ((r)->private[1])

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct source_request *next_of(struct source_request *r)
{
	return (struct source_request *)(uintptr_t)NEXT(r);
}

void fake_page(const struct fake *f, uint64_t offset, void *page)
{
	uint64_t *word = page;

	for (unsigned i = 0; i < SOURCE_PAGE / 8; i++) {
		uint64_t at = offset + i * 8;

		word[i] = at >= f->s.size || (at >= f->zero_from && at < f->zero_to)
				  ? 0
				  : (at + 1) * 0x9e3779b97f4a7c15ull;
	}
}

int fake_check(const struct fake *f, uint64_t offset, const void *page)
{
	uint64_t expected[SOURCE_PAGE / 8];

	fake_page(f, offset, expected);
	if (!memcmp(page, expected, sizeof(expected)))
		return 0;
	fprintf(stderr, "offset %#llx has %#llx, not %#llx\n", (unsigned long long)offset,
		*(const unsigned long long *)page, (unsigned long long)expected[0]);
	return -1;
}

static void poke(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		abort();
}

void fake_kick(struct fake *f)
{
	poke(f->event);
}

static int fake_fetch(struct source *s, struct source_request *r)
{
	struct fake *f = (struct fake *)s;

	atomic_fetch_add(&f->fetches, 1);
	atomic_fetch_add(&f->of_chunk[r->offset / s->chunk], 1);
	DUE(r) = now() + 1000ull * atomic_load(&f->delay_us);
	NEXT(r) = 0;
	*f->last = r;
	f->last = (struct source_request **)&NEXT(r);
	poke(f->event);
	return 0;
}

static void answer(struct fake *f, struct source_request *r)
{
	int fail = atomic_load(&f->fail);

	atomic_fetch_add(&f->answered, 1);
	if (fail) {
		if (fail > 0)
			atomic_fetch_sub(&f->fail, 1);
		r->done(r, atomic_load(&f->error));
		return;
	}
	for (uint32_t at = 0; at < r->len; at += SOURCE_PAGE)
		fake_page(f, r->offset + at, (char *)r->buf + at);
	r->done(r, 0);
}

/* A source that delays answers spins on its descriptor: it is for tests. */
static void fake_process(struct source *s)
{
	struct fake *f = (struct fake *)s;
	struct source_request *r = f->first, *next;
	uint64_t n, time = now();
	bool left = false;

	if (read(f->event, &n, sizeof(n)) < 0 && errno != EAGAIN)
		abort();
	f->first = NULL;
	f->last = &f->first;
	for (; r; r = next) {
		next = next_of(r);
		if ((atomic_load(&f->hold) && DUE(r)) || DUE(r) > time) {
			left |= DUE(r) > time && !atomic_load(&f->hold);
			NEXT(r) = 0;
			*f->last = r;
			f->last = (struct source_request **)&NEXT(r);
			continue;
		}
		answer(f, r);
	}
	if (left)
		poke(f->event);
}

static void fake_cancel(struct source *s, struct source_request *r)
{
	struct fake *f = (struct fake *)s;

	for (struct source_request **at = &f->first; *at;
	     at = (struct source_request **)&NEXT(*at)) {
		if (*at != r)
			continue;
		atomic_fetch_add(&f->canceled, 1);
		/* It is answered from process(), whatever it is held by. */
		DUE(r) = 0;
		break;
	}
	poke(f->event);
}

static const void *fake_peek(struct source *s, uint64_t offset, uint64_t len)
{
	struct fake *f = (struct fake *)s;

	(void)len;
	if (atomic_load(&f->vanished))
		return (const void *)(uintptr_t)0x1000; /* where nothing can be mapped */
	return f->memory + offset;
}

static enum source_contents fake_extent(struct source *s, uint64_t offset, uint64_t *len)
{
	struct fake *f = (struct fake *)s;
	uint64_t end = offset + *len;

	if (offset >= f->zero_from && offset < f->zero_to) {
		*len = (end < f->zero_to ? end : f->zero_to) - offset;
		return SOURCE_ZERO;
	}
	if (offset < f->zero_from && end > f->zero_from)
		*len = f->zero_from - offset;
	return SOURCE_DATA;
}

static int fake_fd(struct source *s)
{
	return ((struct fake *)s)->event;
}

static void fake_repair(struct source *s)
{
	atomic_fetch_add(&((struct fake *)s)->repairs, 1);
}

static void fake_close(struct source *s)
{
	struct fake *f = (struct fake *)s;

	if (f->first)
		abort(); /* a request is under way */
	close(f->event);
	free(f->of_chunk);
	free(f->memory);
	free(f);
}

static const struct source_ops with_peek = {
	.name = "fake",
	.close = fake_close,
	.extent = fake_extent,
	.peek = fake_peek,
	.fetch = fake_fetch,
	.cancel = fake_cancel,
	.fd = fake_fd,
	.process = fake_process,
	.repair = fake_repair,
};

static const struct source_ops without_peek = {
	.name = "fake",
	.close = fake_close,
	.extent = fake_extent,
	.fetch = fake_fetch,
	.cancel = fake_cancel,
	.fd = fake_fd,
	.process = fake_process,
	.repair = fake_repair,
};

struct fake *fake_new(uint64_t size, uint32_t chunk, bool peek)
{
	struct fake *f = calloc(1, sizeof(*f));
	uint64_t end = (size + SOURCE_PAGE - 1) & ~(uint64_t)(SOURCE_PAGE - 1);

	if (!f)
		abort();
	f->s.ops = peek ? &with_peek : &without_peek;
	f->s.size = size;
	f->s.chunk = chunk;
	f->s.depth = 16;
	f->s.costly = true;
	f->zero_from = f->zero_to = UINT64_MAX;
	snprintf(f->s.spec, sizeof(f->s.spec), "fake");
	f->last = &f->first;
	f->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->of_chunk = calloc(size / chunk + 2, sizeof(*f->of_chunk));
	if (f->event < 0 || !f->of_chunk)
		abort();
	if (peek) {
		f->memory = aligned_alloc(SOURCE_PAGE, end);
		for (uint64_t at = 0; at < end; at += SOURCE_PAGE)
			fake_page(f, at, f->memory + at);
	}
	return f;
}
