/*
 * complain.c - what is wrong with a command line, said in one sentence: for `userfault` and for the
 * commands that are programs of their own.
 */
#include "cmd.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void complain(const char *format, ...)
{
	va_list args;

	fputs("userfault: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* Edits (insert, remove, replace) that turn one word into the other; words are short. */
static unsigned distance(const char *a, const char *b)
{
	enum {
		LONGEST = 32
	};
	unsigned row[LONGEST + 1];
	size_t length = strlen(b);

	if (strlen(a) > LONGEST || length > LONGEST)
		return LONGEST;
	for (size_t j = 0; j <= length; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= length; j++) {
			unsigned replace = diagonal + (a[i - 1] != b[j - 1]);
			unsigned best = row[j] < row[j - 1] ? row[j] : row[j - 1];

			diagonal = row[j];
			row[j] = replace < best + 1 ? replace : best + 1;
		}
	}
	return row[length];
}

const char *nearest_word(const char *wrong, const char *const *words)
{
	const char *best = NULL;
	unsigned best_distance = 3;

	for (; *words; words++) {
		unsigned d = distance(wrong, *words);

		/* Half the word replaced is another word. */
		if (d < best_distance && 2 * d <= strlen(*words)) {
			best = *words;
			best_distance = d;
		}
	}
	return best;
}

int bad_option(int answer, char *const *argv, const char *const *long_names, const char *help)
{
	const char *given = argv[optind - 1];
	const char *meant = NULL;
	int length = strcspn(given, "=");
	char name[32];

	snprintf(name, sizeof(name), "%.*s", length, given);
	if (answer == ':')
		complain("option %s needs a value; see %s", given, help);
	else if (strncmp(given, "--", 2) != 0 && optopt)
		complain("unknown option -%c; see %s", optopt, help);
	else if (optopt)
		complain("option %.*s takes no value; see %s", length, given, help);
	else if ((meant = nearest_word(name + 2, long_names)))
		complain("unknown option %.*s, did you mean --%s?", length, given, meant);
	else
		complain("unknown option %.*s; see %s", length, given, help);
	return STATUS_USAGE;
}

bool parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	unsigned long long n;
	const char *unit;
	char *end;

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
	*bytes = n;
	return *end == 0;
}

int bad_size(const char *option, const char *text)
{
	complain("%s: '%s' is no size; write a number of bytes, or one with K, M, G or T behind it",
		 option, text);
	return STATUS_USAGE;
}
