/*
 * lib.h - for the tests of sources: memory with all sorts of pages in it, and sources read as the
 * engine would, but waiting.
 */
#ifndef UF_TESTS_SOURCE_LIB_H
#define UF_TESTS_SOURCE_LIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "pager/source.h"

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                     \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* Deterministic. */
uint64_t random_next(uint64_t *state);

enum pattern {
	PATTERN_ZERO,
	PATTERN_RANDOM, /* cannot be compressed */
	PATTERN_TEXT,	/* compresses well, no page like another */
	PATTERN_SAME,	/* few different pages */
	PATTERN_MIXED,	/* of all of them, and zero pages between */
	PATTERNS
};
extern const char *const pattern_name[PATTERNS];

/* `size` bytes of it, zeros up to the next page; for free(). */
unsigned char *make_memory(enum pattern pattern, uint64_t size, uint64_t seed);

/* A directory that is gone at exit, and the path of a file in it. */
const char *temporary(const char *name, char path[256]);
void write_file(const char *path, const void *contents, uint64_t size);

struct source *open_source(const char *spec, const char *const *options, bool direct);
/* Opening it fails with `error`, and the sentence has `words` in it. */
void refused(const char *spec, const char *const *options, int error, const char *words);

/* What becomes of a fetch. buf is aligned. */
int fetch(struct source *s, uint64_t offset, uint32_t len, void *buf);
/* All of it, several requests at a time, in the order of `seed` (0: of addresses): what became of
 * the worst. */
int fetch_all(struct source *s, unsigned char *buf, uint64_t seed);
/* Is every page what it should be, by extent, peek and fetch? */
void expect_contents(struct source *s, const unsigned char *memory, uint64_t size);

/* Writes memory with source_create: `order` pages first, a permutation; 0: in order. */
void make_image(const char *spec, const char *kind, const char *const *options,
		const unsigned char *memory, uint64_t size, uint64_t order);

#endif
