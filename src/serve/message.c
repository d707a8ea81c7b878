/*
 * message.c - what a VMM says when it connects: a JSON array of regions of its memory.
 *
 * The text comes from a stranger, perhaps in pieces, and what is wrong with it is said in a
 * sentence that helps whoever writes a VMM. JSON itself is json-c's; it lets a name come twice in
 * an object, where the last would count, so names are counted here as well.
 */
#include "serve.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 8

#define SMALL_PAGE 4096u
#define HUGE_PAGE  (2u << 20)

struct message_reader {
	struct json_tokener *tokener;
	size_t len;
	uint64_t colons;			/* outside of strings: one for each name */
	bool in_string, escaped, begun, quoted; /* quoted: with '...' */
};

static int wrong(char *why, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int wrong(char *why, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, size, format, args);
	va_end(args);
	return -EINVAL;
}

struct message_reader *message_reader_new(void)
{
	struct message_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->tokener = json_tokener_new_ex(DEPTH);
	if (!r->tokener) {
		free(r);
		return NULL;
	}
	json_tokener_set_flags(r->tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8 |
						   JSON_TOKENER_ALLOW_TRAILING_CHARS);
	return r;
}

void message_reader_free(struct message_reader *r)
{
	if (!r)
		return;
	json_tokener_free(r->tokener);
	free(r);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void count_names(struct message_reader *r, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (r->escaped)
			r->escaped = false;
		else if (r->in_string && text[i] == '\\')
			r->escaped = true;
		else if (text[i] == '"')
			r->in_string = !r->in_string;
		else if (text[i] == ':' && !r->in_string)
			r->colons++;
		else if (text[i] == '\'' && !r->in_string)
			r->quoted = true;
	}
}

/* How many names a value has, in all its objects. */
static uint64_t names_of(struct json_object *value)
{
	uint64_t n = 0;

	if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++)
			n += names_of(json_object_array_get_idx(value, i));
	} else if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, name, member)
		{
			(void)name;
			n += 1 + names_of(member);
		}
	}
	return n;
}

/* 1: there, 0: not there. */
static int number(struct json_object *object, size_t index, const char *name, uint64_t *out,
		  char *why, size_t size)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, name, &value))
		return 0;
	if (!json_object_is_type(value, json_type_int))
		return wrong(why, size, "%s of region %zu is not a whole number", name, index);
	if (json_object_get_int64(value) < 0)
		return wrong(why, size, "%s of region %zu is negative", name, index);
	*out = json_object_get_uint64(value);
	if (*out == UINT64_MAX)
		return wrong(why, size, "%s of region %zu is too large", name, index);
	return 1;
}

static int needed(struct json_object *object, size_t index, const char *name, uint64_t *out,
		  char *why, size_t size)
{
	int found = number(object, index, name, out, why, size);

	if (found == 0)
		return wrong(why, size, "region %zu has no %s", index, name);
	return found < 0 ? found : 0;
}

/*
 * Both names mean bytes, whatever the older one says; some take it at its word, and no page has 4
 * bytes.
 */
static int page_size(struct json_object *object, size_t index, uint64_t *out, char *why,
		     size_t size)
{
	uint64_t old = 0;
	int found = number(object, index, "page_size", out, why, size);
	int found_old = found < 0 ? found : number(object, index, "page_size_kib", &old, why, size);

	if (found_old < 0)
		return found_old;
	if (found_old && (old == SMALL_PAGE / 1024 || old == HUGE_PAGE / 1024))
		old *= 1024;
	if (found && found_old && *out != old)
		return wrong(why, size,
			     "page_size and page_size_kib of region %zu differ (both are in bytes)",
			     index);
	if (!found)
		*out = found_old ? old : SMALL_PAGE;
	return 0;
}

static int region_of(struct json_object *object, size_t index, struct guest_region *out, char *why,
		     size_t size)
{
	int error;

	*out = (struct guest_region){0};
	if (!json_object_is_type(object, json_type_object))
		return wrong(why, size, "region %zu is not an object", index);
	error = needed(object, index, "base_host_virt_addr", &out->addr, why, size);
	if (!error)
		error = needed(object, index, "size", &out->size, why, size);
	if (!error)
		error = needed(object, index, "offset", &out->offset, why, size);
	return error ? error : page_size(object, index, &out->page_size, why, size);
}

static int regions_of(struct json_object *root, struct message *out, char *why, size_t size)
{
	size_t n = json_object_array_length(root);
	int error = 0;

	if (n == 0)
		return wrong(why, size, "there is no region in the message");
	if (n > GUEST_REGIONS)
		return wrong(why, size, "%zu regions are more than %u", n, GUEST_REGIONS);
	for (size_t i = 0; i < n && !error; i++)
		error = region_of(json_object_array_get_idx(root, i), i, &out->region[i], why,
				  size);
	out->n = n;
	return error;
}

static int whole(struct message_reader *r, struct json_object *root, struct message *out, char *why,
		 size_t size)
{
	if (!json_object_is_type(root, json_type_array))
		return wrong(why, size, "the message is not an array of regions");
	if (names_of(root) != r->colons)
		return wrong(why, size, "a name comes twice in one region");
	return regions_of(root, out, why, size);
}

int message_read(struct message_reader *r, const char *text, size_t len, struct message *out,
		 char *why, size_t why_size)
{
	struct json_object *root;
	size_t used = len;
	int error;

	if (memchr(text, 0, len))
		return wrong(why, why_size, "there is a zero byte in the message");
	while (!r->begun && len > 0 && is_space(*text)) {
		text++;
		len--;
		r->len++;
	}
	if (!r->begun && len > 0 && *text != '[')
		return wrong(why, why_size, "the message does not begin with '['");
	r->begun |= len > 0;
	if (r->len + len > MESSAGE_MAX)
		return wrong(why, why_size, "the message is longer than %u bytes", MESSAGE_MAX);
	if (len == 0)
		return 0;
	r->len += len;
	root = json_tokener_parse_ex(r->tokener, text, (int)len);
	if (root)
		used = json_tokener_get_parse_end(r->tokener);
	count_names(r, text, used);
	if (r->quoted) {
		json_object_put(root);
		return wrong(why, why_size, "the message is not JSON: quotes are \"");
	}
	if (!root) {
		enum json_tokener_error e = json_tokener_get_error(r->tokener);

		return e == json_tokener_continue
			       ? 0
			       : wrong(why, why_size, "the message is not JSON: %s",
				       json_tokener_error_desc(e));
	}
	error = whole(r, root, out, why, why_size);
	json_object_put(root);
	for (; !error && used < len; used++)
		if (!is_space(text[used]))
			error = wrong(why, why_size, "something follows the array of regions");
	return error ? error : 1;
}

/* ---- what the regions say
 */

static int check_region(const struct guest_region *r, size_t i, uint64_t source_size, char *why,
			size_t size)
{
	uint64_t beyond = source_size + (-source_size & (HUGE_PAGE - 1));

	if (r->page_size != SMALL_PAGE && r->page_size != HUGE_PAGE)
		return wrong(why, size,
			     "region %zu has pages of %" PRIu64 " bytes, which is not 4096 or "
			     "2097152",
			     i, r->page_size);
	if (r->size == 0)
		return wrong(why, size, "region %zu is empty", i);
	if (r->addr % r->page_size || r->size % r->page_size)
		return wrong(why, size,
			     "region %zu (0x%" PRIx64 ", %" PRIu64 " bytes) is not made of whole "
			     "pages of %" PRIu64 " bytes",
			     i, r->addr, r->size, r->page_size);
	if (r->offset % SMALL_PAGE)
		return wrong(why, size,
			     "offset %" PRIu64 " of region %zu is not a multiple of 4096",
			     r->offset, i);
	if (r->addr == 0 || r->addr + r->size < r->addr || (r->addr + r->size) >> 56)
		return wrong(why, size,
			     "region %zu (0x%" PRIx64 ", %" PRIu64 " bytes) is not in the range of "
			     "addresses",
			     i, r->addr, r->size);
	if (r->page_size == SMALL_PAGE)
		beyond = source_size + (-source_size & (SMALL_PAGE - 1));
	if (r->offset > beyond || r->size > beyond - r->offset)
		return wrong(why, size,
			     "region %zu (%" PRIu64 " bytes from offset %" PRIu64 ") exceeds the "
			     "source, which has %" PRIu64 " bytes",
			     i, r->size, r->offset, source_size);
	return 0;
}

int message_check(const struct message *m, uint64_t source_size, char *why, size_t why_size)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct guest_region *a = &m->region[i];
		int error = check_region(a, i, source_size, why, why_size);

		if (error)
			return error;
		for (size_t j = 0; j < i; j++) {
			const struct guest_region *b = &m->region[j];

			if (a->addr < b->addr + b->size && b->addr < a->addr + a->size)
				return wrong(why, why_size, "regions %zu and %zu overlap", j, i);
		}
	}
	return 0;
}
