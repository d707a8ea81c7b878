/*
 * fake_source.h - a source for tests: contents that can be computed, and whatever can go wrong.
 */
#ifndef FAKE_SOURCE_H
#define FAKE_SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pager/source.h"

struct fake {
	struct source s;
	atomic_bool hold;     /* nothing is answered */
	atomic_int fail;      /* so many fetches fail, -1: all */
	atomic_int error;     /* with this */
	atomic_bool vanished; /* what was peeked at cannot be read */
	atomic_uint delay_us; /* until an answer */
	atomic_ullong fetches, canceled, repairs, answered;
	atomic_uint *of_chunk; /* fetches of each */
	bool peek;
	uint64_t zero_from, zero_to; /* known to be zero */
	int event;
	struct source_request *first, **last;
	char *memory; /* what peek shows */
};

struct fake *fake_new(uint64_t size, uint32_t chunk, bool peek);
/* Something it was told has changed. */
void fake_kick(struct fake *f);
/* What the page at `offset` contains. */
void fake_page(const struct fake *f, uint64_t offset, void *page);
/* 0: page has what it should have; else what it should have been is told on stderr. */
int fake_check(const struct fake *f, uint64_t offset, const void *page);

#endif
