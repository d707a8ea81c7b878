#include "image.h"

#include <stdlib.h>

#define RUN 16 /* pages */

uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t x = a * 0x9e3779b97f4a7c15ull + b;

	x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ull;
	x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ull;
	return x ^ (x >> 32);
}

bool image_parse(const char *text, struct image *image)
{
	char *end;

	image->seed = strtoull(text, &end, 0);
	if (end == text)
		return false;
	if (*end == ':')
		image->zero = (unsigned)strtoul(end + 1, &end, 0);
	if (*end == ':')
		image->same = (unsigned)strtoul(end + 1, &end, 0);
	return *end == '\0' && image->zero <= 100 && image->same <= 100;
}

bool image_is_hole(const struct image *image, uint64_t page)
{
	return mix(image->seed + 1, page / RUN) % 100 < image->zero;
}

bool image_is_zero(const struct image *image, uint64_t page)
{
	return image_is_hole(image, page) || mix(image->seed + 2, page) % 400 < image->zero;
}

uint64_t image_word(const struct image *image, uint64_t page, unsigned word)
{
	uint64_t key;

	if (image_is_zero(image, page))
		return 0;
	key = mix(image->seed + 3, page);
	if (key % 100 < image->same)
		page = key / 100 % 16;
	key = mix(image->seed + 4, page);
	/* Every other page can be compressed. */
	return mix(key, key & 1 ? word : word / 16);
}
