/*
 * util.c - options and reasons. Linked into the modules too.
 */
#include "util.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int source_why(char *why, size_t why_size, int error, const char *format, ...)
{
	va_list args;

	if (!why || !why_size)
		return error;
	va_start(args, format);
	vsnprintf(why, why_size, format, args);
	va_end(args);
	return error;
}

const char *source_option(const struct source_env *env, const char *name)
{
	size_t len = strlen(name);

	if (!env || !env->options)
		return NULL;
	for (const char *const *o = env->options; *o; o++) {
		if (strncmp(*o, name, len) == 0 && (*o)[len] == '=')
			return *o + len + 1;
	}
	return NULL;
}

static bool parse(const char *text, uint64_t *out)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	unsigned long long n;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return false;
	unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit) {
		unsigned shift = 10 * (unsigned)(unit - units + 1);

		if (n << shift >> shift != n)
			return false;
		n <<= shift;
		end++;
	}
	*out = n;
	return *end == 0;
}

int source_size_option(const struct source_env *env, const char *name, uint64_t *out, char *why,
		       size_t why_size)
{
	const char *text = source_option(env, name);

	if (text && !parse(text, out))
		return source_why(why, why_size, -EINVAL,
				  "option %s: '%s' is no number, nor one with K, M, G or T behind "
				  "it",
				  name, text);
	return 0;
}

bool is_zero(const void *buf, size_t len)
{
	const unsigned char *p = buf;

	/* Equal to itself shifted by what was looked at: memcmp is the fastest comparison there
	 * is. */
	return len < 16 ? len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0)
			: !(*(const uint64_t *)buf | *((const uint64_t *)buf + 1)) &&
				  memcmp(p, p + 16, len - 16) == 0;
}
