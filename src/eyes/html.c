/*
 * html.c - a trace as a page: the report (src/eyes/report) and its data, which is the figures' JSON
 * and what is drawn, in bins, so that the page stays small whatever the size of the trace.
 */
#include "eyes/eyes.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define MAPS_LIMIT 1200000u /* bytes of heat maps; what is more comes in fewer columns */

static void add(struct json_object *to, const char *key, struct json_object *value)
{
	json_object_object_add(to, key, value);
}

static struct json_object *number(uint64_t value)
{
	return json_object_new_uint64(value);
}

/* ---- series over time
 */

static struct json_object *series(const uint64_t *first, size_t stride)
{
	struct json_object *list = json_object_new_array_ext(BINS);

	for (unsigned i = 0; i < BINS; i++)
		json_object_array_add(
			list, number(*(const uint64_t *)((const char *)first + i * stride)));
	return list;
}

static struct json_object *bins(const uint64_t *first)
{
	return series(first, sizeof(struct bin));
}

static struct json_object *quantiles(const struct figures *f, double q)
{
	struct json_object *list = json_object_new_array_ext(BINS);

	for (unsigned i = 0; i < BINS; i++) {
		const struct bin *b = &f->bin[i];

		json_object_array_add(list,
				      b->max ? number(buckets_quantile(b->latency, MEDIUM,
								       MEDIUM_BITS, b->max, q))
					     : NULL);
	}
	return list;
}

static void add_series(struct json_object *o, const struct figures *f)
{
	struct json_object *kinds = json_object_new_object(), *pages = json_object_new_object();

	for (unsigned i = 0; i < WHYS; i++)
		if (f->by_why[i])
			add(kinds, why_keys[i], bins(&f->bin[0].by_why[i]));
	for (unsigned i = 0; i < PAGE_IS_MAX; i++)
		add(pages, page_is_keys[i], bins(&f->bin[0].is[i]));
	add(o, "faults", kinds);
	add(o, "pages", pages);
	add(o, "p50", quantiles(f, 0.5));
	add(o, "p99", quantiles(f, 0.99));
	add(o, "max", quantiles(f, 1));
	add(o, "demand_pages", bins(&f->bin[0].demand_pages));
	add(o, "ahead_pages", bins(&f->bin[0].ahead_pages));
	add(o, "demand_bytes", bins(&f->bin[0].demand_bytes));
	add(o, "ahead_bytes", bins(&f->bin[0].ahead_bytes));
}

/* ---- the histogram, in quarters of octaves
 */

static void coarsen(const struct latency *l, uint64_t out[COARSE])
{
	memset(out, 0, COARSE * sizeof(*out));
	for (unsigned b = 0; b < FINE; b++)
		if (l->bucket[b])
			out[bucket_of((uint32_t)bucket_low(b, FINE_BITS), COARSE_BITS)] +=
				l->bucket[b];
}

static struct json_object *histogram(const struct figures *f)
{
	struct json_object *o = json_object_new_object(), *kinds = json_object_new_object();
	struct json_object *lows = json_object_new_array();
	uint64_t count[WHYS][COARSE];
	unsigned first = COARSE, last = 0;

	for (unsigned i = 0; i < WHYS; i++) {
		coarsen(&f->kind[i], count[i]);
		for (unsigned b = 0; b < COARSE; b++) {
			if (!count[i][b])
				continue;
			first = b < first ? b : first;
			last = b > last ? b : last;
		}
	}
	for (unsigned b = first; b <= last + 1 && first <= last; b++)
		json_object_array_add(lows, number(bucket_low(b, COARSE_BITS)));
	for (unsigned i = 0; i < WHYS; i++) {
		struct json_object *list;

		if (!f->kind[i].count)
			continue;
		list = json_object_new_array();
		for (unsigned b = first; b <= last; b++)
			json_object_array_add(list, number(count[i][b]));
		add(kinds, why_keys[i], list);
	}
	add(o, "from", lows);
	add(o, "counts", kinds);
	return o;
}

/* ---- heat maps: of each cell that is not empty how far it is from the one before, and its value,
 * in bytes of seven bits, in base64
 */

struct bytes {
	char *data;
	size_t n, room;
	bool failed;
};

static void put_byte(struct bytes *b, unsigned char byte)
{
	if (b->n == b->room) {
		size_t room = b->room ? b->room * 2 : 4096;
		char *more = realloc(b->data, room);

		if (!more) {
			b->failed = true;
			return;
		}
		b->data = more;
		b->room = room;
	}
	b->data[b->n++] = (char)byte;
}

static void put_varint(struct bytes *b, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		put_byte(b, (unsigned char)(value | 0x80));
	put_byte(b, (unsigned char)value);
}

static struct json_object *base64(const struct bytes *b)
{
	static const char digit[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = (const unsigned char *)b->data;
	char *text = malloc(b->n / 3 * 4 + 5), *to = text;
	struct json_object *o;

	if (!text)
		return NULL;
	for (size_t i = 0; i < b->n; i += 3) {
		size_t left = b->n - i;
		uint32_t word = (uint32_t)in[i] << 16;

		word |= left > 1 ? (uint32_t)in[i + 1] << 8 : 0;
		word |= left > 2 ? in[i + 2] : 0;
		*to++ = digit[word >> 18];
		*to++ = digit[word >> 12 & 63];
		*to++ = left > 1 ? digit[word >> 6 & 63] : '=';
		*to++ = left > 2 ? digit[word & 63] : '=';
	}
	o = json_object_new_string_len(text, (int)(to - text));
	free(text);
	return o;
}

static void encode_layer(const struct heat_map *m, unsigned layer, unsigned scale,
			 struct bytes *out)
{
	uint64_t last = 0, at = 0;

	for (uint32_t row = 0; row < m->rows; row++)
		for (unsigned column = 0; column < BINS; column += scale, at++) {
			uint64_t sum = 0;

			for (unsigned i = 0; i < scale; i++)
				sum += m->cell[layer * m->rows + row][column + i];
			if (!sum)
				continue;
			put_varint(out, at - last);
			put_varint(out, sum);
			last = at;
		}
}

static size_t encoded_size(const struct heat *h, unsigned scale)
{
	struct bytes b = {0};
	size_t n;

	for (uint32_t i = 0; i < h->n; i++)
		for (unsigned layer = 0; layer < HEAT_LAYERS; layer++)
			encode_layer(&h->map[i], layer, scale, &b);
	n = b.n / 3 * 4;
	free(b.data);
	return n;
}

static struct json_object *address(uint64_t addr)
{
	char text[20];

	snprintf(text, sizeof(text), "0x%" PRIx64, addr);
	return json_object_new_string(text);
}

static struct json_object *bands_json(const struct heat_map *m)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < m->nbands; i++) {
		const struct heat_band *b = &m->band[i];
		struct json_object *o = json_object_new_object();

		add(o, "from", address(b->from));
		add(o, "to", address(b->to));
		add(o, "row", number(b->row));
		add(o, "rows", number(b->rows));
		add(o, "registered", json_object_new_boolean(b->registered));
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *map_json(const struct figures *f, const struct heat_map *m,
				    unsigned scale)
{
	struct json_object *o = json_object_new_object(), *layers = json_object_new_object();
	struct json_object *pages = json_object_new_object();
	char name[80];

	add(o, "process", number(m->process));
	add(o, "name",
	    json_object_new_string(process_name(f->survey, m->process, name, sizeof(name))));
	add(o, "rows", number(m->rows));
	add(o, "elsewhere", number(m->elsewhere));
	add(o, "bands", bands_json(m));
	for (unsigned layer = 0; layer < HEAT_LAYERS; layer++) {
		struct bytes b = {0};

		encode_layer(m, layer, scale, &b);
		if (b.n && !b.failed)
			add(layers, heat_keys[layer], base64(&b));
		free(b.data);
	}
	add(o, "layers", layers);
	for (unsigned i = 0; i < PAGE_IS_MAX; i++)
		add(pages, page_is_keys[i], series(m->is[i], sizeof(uint64_t)));
	add(o, "pages", pages);
	return o;
}

static struct json_object *charts_json(const struct figures *f)
{
	struct json_object *o = json_object_new_object(), *maps = json_object_new_array();
	unsigned scale = 1;

	add(o, "bins", number(BINS));
	add(o, "bin_ns", number(f->bin_ns));
	add_series(o, f);
	add(o, "histogram", histogram(f));
	while (scale < 8 && encoded_size(&f->heat, scale) > MAPS_LIMIT)
		scale *= 2;
	add(o, "map_columns", number(BINS / scale));
	for (uint32_t i = 0; i < f->heat.n; i++)
		json_object_array_add(maps, map_json(f, &f->heat.map[i], scale));
	add(o, "maps", maps);
	return o;
}

/* Within an element that ends at the first "</", and begins a comment at "<!--". */
static void put_data(const char *text, FILE *out)
{
	for (; *text; text++) {
		if (*text == '<')
			fputs("\\u003c", out);
		else
			fputc(*text, out);
	}
}

static void put_title(const char *text, FILE *out)
{
	for (; *text; text++) {
		if (*text == '<')
			fputs("&lt;", out);
		else if (*text == '&')
			fputs("&amp;", out);
		else
			fputc(*text, out);
	}
}

static void put_before(const struct figures *f, FILE *out)
{
	static const char mark[] = "@TITLE@";
	const char *at = strstr(report_before, mark);

	fwrite(report_before, 1, (size_t)(at - report_before), out);
	put_title(f->survey->reader->program, out);
	fputs(at + strlen(mark), out);
}

int html_write(const struct figures *f, FILE *out)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return -ENOMEM;
	add(o, "figures", figures_json(f));
	add(o, "charts", charts_json(f));
	put_before(f, out);
	put_data(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), out);
	fputs(report_after, out);
	json_object_put(o);
	return ferror(out) ? -EIO : 0;
}
