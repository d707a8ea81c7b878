/*
 * zstd-memory [MIB] - memory whose pages are compressed when they leave: of MIB (default 16) an
 * eighth stays in memory as it is, the rest stands compressed in a table until it is touched.
 * Writes records all over it, reads them back, and says how much room they took.
 */
#include <userfault/userfault.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zstd.h>

#define PAGE   4096ul
#define RECORD 64ul

struct packed {
	void *bytes;
	size_t len;
};

struct table {
	struct packed *pages;
	size_t stored; /* bytes in it */
	size_t peak;
	ZSTD_CCtx *compressor;
	ZSTD_DCtx *decompressor;
	char room[ZSTD_COMPRESSBOUND(PAGE)];
};

static void drop(void *arg, uint64_t page, uint64_t n)
{
	struct table *t = arg;

	for (; n > 0; n--, page++) {
		t->stored -= t->pages[page].len;
		free(t->pages[page].bytes);
		t->pages[page] = (struct packed){NULL, 0};
	}
}

/* malloc is safe here as long as nobody touches the memory from inside malloc. */
static ssize_t writeback(void *arg, uint64_t page, const void *buf, size_t size)
{
	struct table *t = arg;
	size_t len = ZSTD_compressCCtx(t->compressor, t->room, sizeof(t->room), buf, size, 1);
	void *bytes = ZSTD_isError(len) ? NULL : malloc(len);

	if (!bytes)
		return -1; /* the page stays in memory */
	drop(arg, page, 1);
	t->pages[page] = (struct packed){memcpy(bytes, t->room, len), len};
	t->stored += len;
	if (t->stored > t->peak)
		t->peak = t->stored;
	return (ssize_t)size;
}

static ssize_t fetch(void *arg, uint64_t page, void *buf, size_t size)
{
	struct table *t = arg;
	const struct packed *p = &t->pages[page];

	return (ssize_t)ZSTD_decompressDCtx(t->decompressor, buf, size, p->bytes, p->len);
}

static void record(char *to, size_t i)
{
	memset(to, ' ', RECORD);
	snprintf(to, RECORD, "record %zu of the book, checked by %zx", i, i * 2654435761u % 65521);
}

int main(int argc, char **argv)
{
	static const struct uf_type type = {"zstd", UF_TYPE_EMPTY, fetch, writeback, drop};
	static struct table table;
	size_t len = (argc > 1 ? strtoul(argv[1], NULL, 0) : 16) << 20, n = len / RECORD, i, at;
	struct uf_type_stats stats;
	char expected[RECORD], *memory;
	int error;

	table.pages = calloc(len / PAGE, sizeof(*table.pages));
	table.compressor = ZSTD_createCCtx();
	table.decompressor = ZSTD_createDCtx();
	if (!len || !table.pages || !table.compressor || !table.decompressor)
		errx(1, "no memory");
	memory = uf_type_map(&type, &table, NULL, len, PROT_READ | PROT_WRITE, &error);
	if (memory == MAP_FAILED)
		errx(1, "uf_type_map: %s", uf_why() ? uf_why() : strerror(-error));
	error = uf_limit(memory, len, len / 8);
	if (error)
		errx(1, "uf_limit: %s", strerror(-error));
	for (i = 0; i < n; i++)
		record(memory + i * RECORD, i);
	/* Here and there, as a program would. */
	for (i = 0, at = 1; i < n / 16; i++, at = (at * 48271 + 11) % n) {
		record(expected, at);
		if (memcmp(memory + at * RECORD, expected, RECORD) != 0)
			errx(1, "record %zu is not what was written", at);
	}
	uf_type_get_stats(memory, &stats);
	printf("%zu pages; %ju left compressed, %ju came back; at most %zu KiB of table for %zu "
	       "KiB\n",
	       len / PAGE, (uintmax_t)stats.saved, (uintmax_t)stats.fetched, table.peak >> 10,
	       len >> 10);
	error = uf_munmap(memory, len);
	if (error || table.stored != 0 || stats.errors != 0)
		errx(1, "%zu bytes remain in the table, %ju errors", table.stored,
		     (uintmax_t)stats.errors);
	return 0;
}
