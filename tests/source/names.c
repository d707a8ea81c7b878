/*
 * names.c - which kind of source a name means, and what is said where it means none; orders of
 * pages, also forged ones.
 */
#include "lib.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pager/order.h"

#define PAGES(n) ((uint64_t)(n)*SOURCE_PAGE)

static void names(void)
{
	unsigned char *memory = make_memory(PATTERN_TEXT, PAGES(20), 1);
	char path[256], spec[300], bare[256];
	struct source_writer *w;
	struct source *s;
	char why[600];

	make_image(temporary("image", path), NULL, NULL, memory, PAGES(20), 0);
	s = open_source(path, NULL, false);
	CHECK(strcmp(s->ops->name, "packed") == 0 && strcmp(s->spec, path) == 0);
	source_close(s);
	/* Said so, it is bytes like any others. */
	snprintf(spec, sizeof(spec), "raw:%s", path);
	s = open_source(spec, NULL, false);
	CHECK(strcmp(s->ops->name, "raw") == 0);
	source_close(s);
	write_file(temporary("bare", bare), memory, PAGES(20));
	snprintf(spec, sizeof(spec), "packed:%s", bare);
	refused(spec, NULL, -EINVAL, "no packed image");
	refused("http://example.org/x", NULL, -ENOENT, "no kind of source is called 'http:'");
	refused("/no/such/file", NULL, -ENOENT, "No such file");
	CHECK(source_create(spec, "raw", 1, NULL, &w, why, sizeof(why)) == -EINVAL);
	CHECK(strstr(why, "of kind packed, not raw"));
	CHECK(source_create(path, "smoke", 1, NULL, &w, why, sizeof(why)) == -EINVAL);
	CHECK(strstr(why, "no kind of source is called 'smoke'"));
	memset(spec, 'x', sizeof(spec) - 1);
	spec[sizeof(spec) - 1] = 0;
	refused(spec, NULL, -ENAMETOOLONG, "");
	CHECK(!source_option(NULL, "level"));
	free(memory);
}

/* ---- orders
 */

static char order_path[256];

static void write_order(const uint64_t *entry, uint64_t n, uint64_t count, uint64_t size,
			uint64_t magic, uint32_t version)
{
	unsigned char file[sizeof(struct order_header) + 64 * 8] = {0};
	struct order_header h = {.magic = magic,
				 .version = version,
				 .page_size = SOURCE_PAGE,
				 .source_size = size,
				 .count = count};

	memcpy(file, &h, sizeof(h));
	memcpy(file + sizeof(h), entry, n * 8);
	write_file(order_path, file, sizeof(h) + n * 8);
}

static void bad_order(const char *words)
{
	struct order o;
	char why[600] = "";

	CHECK(order_read(order_path, &o, why, sizeof(why)) == -EINVAL);
	if (!strstr(why, words))
		printf("'%s' is not in '%s'\n", words, why);
	CHECK(strstr(why, words));
}

static void forged_orders(void)
{
	const uint64_t one[] = {0}, far[] = {PAGES(15) + 1}, edge[] = {PAGES(15)};
	struct order o;
	char why[600];

	write_order(edge, 1, 1, PAGES(16) - 5, ORDER_MAGIC, 1);
	CHECK(order_read(order_path, &o, why, sizeof(why)) == 0);
	CHECK(o.count == 1 && o.run[0].offset == PAGES(15) && o.run[0].len == SOURCE_PAGE);
	order_free(&o);
	write_order(far, 1, 1, PAGES(16), ORDER_MAGIC, 1);
	bad_order("beyond the end");
	write_order(one, 1, 2, PAGES(16), ORDER_MAGIC, 1);
	bad_order("more than there is room for");
	write_order(one, 1, UINT64_MAX / 8, PAGES(16), ORDER_MAGIC, 1);
	bad_order("more than there is room for");
	write_order(one, 1, 1, UINT64_MAX, ORDER_MAGIC, 1);
	bad_order("makes no sense");
	write_order(one, 1, 1, PAGES(16), ORDER_MAGIC + 1, 1);
	bad_order("no order of pages");
	write_order(one, 1, 1, PAGES(16), ORDER_MAGIC, 2);
	bad_order("version 2");
	CHECK(truncate(order_path, 20) == 0);
	bad_order("no order of pages");
	CHECK(order_read("/no/such/order", &o, why, sizeof(why)) == -ENOENT);
}

/* Every byte of a good one, changed: an order within its bounds, or refused. */
static void damaged_orders(void)
{
	const uint64_t entry[] = {PAGES(3), PAGES(8) + 2, PAGES(1)};
	struct order o;
	char why[600];

	for (size_t i = 0; i < sizeof(struct order_header) + sizeof(entry); i++) {
		for (int bit = 0; bit < 8; bit++) {
			FILE *f;

			write_order(entry, 3, 3, PAGES(16), ORDER_MAGIC, 1);
			f = fopen(order_path, "r+");
			CHECK(f && fseek(f, (long)i, SEEK_SET) == 0);
			int c = fgetc(f);

			CHECK(fseek(f, (long)i, SEEK_SET) == 0 && fputc(c ^ 1 << bit, f) != EOF);
			fclose(f);
			if (order_read(order_path, &o, why, sizeof(why)) != 0)
				continue;
			for (size_t k = 0; k < o.count; k++)
				CHECK(o.run[k].len &&
				      o.run[k].offset < o.source_size + SOURCE_PAGE &&
				      o.run[k].offset + o.run[k].len <=
					      o.source_size + SOURCE_PAGE);
			order_free(&o);
		}
	}
}

static void written_orders(void)
{
	struct order_writer *w;
	struct order o;
	uint64_t state = 3, pages = 0;
	char why[600];

	CHECK(order_create(order_path, PAGES(100000), &w) == 0);
	/* Whole at all times. */
	CHECK(order_read(order_path, &o, why, sizeof(why)) == 0 && o.count == 0);
	order_free(&o);
	/* Neighbours are one run, of 4096 pages at most. */
	for (unsigned i = 0; i < 5000; i++)
		CHECK(order_add(w, PAGES(i), SOURCE_PAGE) == 0);
	CHECK(order_flush(w) == 0);
	CHECK(order_read(order_path, &o, why, sizeof(why)) == 0 && o.count == 2);
	CHECK(o.source_size == PAGES(100000));
	CHECK(o.run[0].len == PAGES(4096) && o.run[1].offset == PAGES(4096));
	CHECK(o.run[1].len == PAGES(904));
	order_free(&o);
	CHECK(order_add(w, PAGES(20000), PAGES(10000)) == 0);
	CHECK(order_add(w, PAGES(100000), SOURCE_PAGE) == -EINVAL);
	CHECK(order_add(w, 5, SOURCE_PAGE) == -EINVAL);
	CHECK(order_add(w, PAGES(7), 0) == 0);
	for (unsigned i = 0; i < 3000; i++)
		CHECK(order_add(w, PAGES(random_next(&state) % 100000), SOURCE_PAGE) == 0);
	CHECK(order_finish(w) == 0);
	CHECK(order_read(order_path, &o, why, sizeof(why)) == 0);
	for (size_t i = 0; i < o.count; i++)
		pages += o.run[i].len / SOURCE_PAGE;
	CHECK(pages == 5000 + 10000 + 3000);
	CHECK(o.run[2].offset == PAGES(20000));
	order_free(&o);
	CHECK(order_create("/no/such/directory/order", 1, &w) == -ENOENT);
}

int main(void)
{
	temporary("order", order_path);
	names();
	forged_orders();
	damaged_orders();
	written_orders();
	return 0;
}
