/*
 * swap_zstd.c - pages in the swap store compressed with zstd.
 *
 * The library works in memory that is given to it once (its static contexts), so that it can be
 * called in the trap handler. It is linked in, and none of its names is seen outside: the program
 * may have a zstd of its own.
 */
#define ZSTD_STATIC_LINKING_ONLY
#include "front/swap_zstd.h"

#include <zstd.h>

/*
 * Of the fast levels the one that compresses best: a page costs little more than half of what level
 * 1 takes, both ways, and gets a fifth larger.
 */
#define LEVEL (-1)

#define ALIGN 64

static ZSTD_parameters parameters;
static size_t compress_size, decompress_size;

struct contexts {
	ZSTD_CCtx *compress;
	ZSTD_DCtx *decompress;
};

static size_t aligned(size_t n)
{
	return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static bool start(void *context)
{
	struct contexts *c = context;
	char *at = (char *)context + aligned(sizeof(*c));

	c->compress = ZSTD_initStaticCCtx(at, compress_size);
	c->decompress = ZSTD_initStaticDCtx(at + aligned(compress_size), decompress_size);
	return c->compress && c->decompress;
}

static size_t compress(void *context, void *dst, size_t cap, const void *page)
{
	struct contexts *c = context;
	size_t len = ZSTD_compress_advanced(c->compress, dst, cap, page, UF_PAGE_SIZE, NULL, 0,
					    parameters);

	return ZSTD_isError(len) ? 0 : len;
}

static bool decompress(void *context, void *page, const void *src, size_t len)
{
	struct contexts *c = context;

	return ZSTD_decompressDCtx(c->decompress, page, UF_PAGE_SIZE, src, len) == UF_PAGE_SIZE;
}

const struct host_swap_codec *swap_zstd(void)
{
	static struct host_swap_codec codec = {
		.start = start, .compress = compress, .decompress = decompress};

	parameters = ZSTD_getParams(LEVEL, UF_PAGE_SIZE, 0);
	parameters.fParams = (ZSTD_frameParameters){.noDictIDFlag = 1};
	compress_size = ZSTD_estimateCCtxSize_usingCParams(parameters.cParams);
	decompress_size = ZSTD_estimateDCtxSize();
	if (ZSTD_isError(compress_size) || ZSTD_isError(decompress_size))
		return NULL;
	codec.context_size =
		aligned(sizeof(struct contexts)) + aligned(compress_size) + decompress_size;
	return &codec;
}
