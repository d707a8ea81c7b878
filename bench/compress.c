/* SPDX-License-Identifier: MIT */
/*
 * What zstd charges for a page each way: no swap that compresses with it is faster.
 *
 *     compress [PAGES [LEVEL]]
 *
 * The pages are those of thrash. LEVEL counts downwards from zstd's fast levels: 1 is its level -1.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#define ROUNDS 9
#define ROOM   (2 * PAGE)

static uint8_t *pages, *packed, *out;
static size_t *packed_len;
static size_t count;
static int level;

static uint64_t compress_all(ZSTD_CCtx *context)
{
	uint64_t start = now_ns();

	for (size_t i = 0; i < count; i++) {
		packed_len[i] = ZSTD_compressCCtx(context, packed + i * ROOM, ROOM,
						  pages + i * PAGE, PAGE, level);
		check(!ZSTD_isError(packed_len[i]), "a page could not be compressed");
	}
	return now_ns() - start;
}

static uint64_t decompress_all(ZSTD_DCtx *context)
{
	uint64_t start = now_ns();

	for (size_t i = 0; i < count; i++)
		check(ZSTD_decompressDCtx(context, out + i * PAGE, PAGE, packed + i * ROOM,
					  packed_len[i]) == PAGE,
		      "a page could not be decompressed");
	return now_ns() - start;
}

int main(int argc, char **argv)
{
	struct samples in = {0}, back = {0};
	ZSTD_CCtx *compressing = ZSTD_createCCtx();
	ZSTD_DCtx *decompressing = ZSTD_createDCtx();
	double packed_bytes = 0;

	count = number_argument(argc, argv, 1, 4096);
	level = -(int)number_argument(argc, argv, 2, 1);
	pages = map_small_pages(count * PAGE);
	out = map_small_pages(count * PAGE);
	packed = map_small_pages(count * ROOM);
	packed_len = calloc(count, sizeof(*packed_len));
	check(compressing && decompressing && packed_len, "memory is short");
	for (size_t i = 0; i < count; i++)
		fill_page(pages + i * PAGE, i);
	for (int i = 0; i < ROUNDS; i++) {
		samples_add(&in, (double)compress_all(compressing) / (double)count);
		samples_add(&back, (double)decompress_all(decompressing) / (double)count);
	}
	check(!memcmp(pages, out, count * PAGE), "a page did not come back as it was");
	for (size_t i = 0; i < count; i++)
		packed_bytes += (double)packed_len[i];
	emit("floor-compress", samples_median(&in), "ns");
	emit("floor-decompress", samples_median(&back), "ns");
	emit("floor-compressed", packed_bytes * 100 / (double)(count * PAGE), "%");
	ZSTD_freeCCtx(compressing);
	ZSTD_freeDCtx(decompressing);
	samples_free(&in);
	samples_free(&back);
	return 0;
}
