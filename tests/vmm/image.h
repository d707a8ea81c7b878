/*
 * image.h - what stands on each page of a test's memory image: a function of a seed, so that the
 * program that writes the image and the guest that checks its memory need nothing of each other.
 */
#ifndef VMM_IMAGE_H
#define VMM_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE	   4096ul
#define PAGE_WORDS (PAGE / 8)

struct image {
	uint64_t seed;
	unsigned zero; /* percent of pages that are zero, in runs and singly */
	unsigned same; /* percent of the others that repeat one of sixteen */
};

#define IMAGE_DEFAULT                                                                              \
	{                                                                                          \
		.seed = 1, .zero = 30, .same = 10                                                  \
	}

/* SEED[:ZERO[:SAME]] */
bool image_parse(const char *text, struct image *image);
bool image_is_zero(const struct image *image, uint64_t page);
/* Zero, and in a run of such pages: a hole of a sparse file. */
bool image_is_hole(const struct image *image, uint64_t page);
uint64_t image_word(const struct image *image, uint64_t page, unsigned word);

uint64_t mix(uint64_t a, uint64_t b);

#endif
