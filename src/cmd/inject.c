/*
 * inject.c - run's option --inject: what is wrong with it, said before the program starts. What it
 * means is read in uffd/inject_parse.c, here as in the program.
 */
#include "cmd.h"

#include <string.h>

#include "uffd/inject.h"

/* That the library has room for. */
#define LONGEST 1000u

static void unknown(const char *word)
{
	const char *meant = nearest_word(word, inject_words);

	if (!word[0])
		complain("--inject: there is nothing before, between or behind the commas; write "
			 "for example 'copy:EAGAIN:1%%,spurious-wake'");
	else if (meant)
		complain("--inject: unknown word '%s', did you mean '%s'?", word, meant);
	else
		complain("--inject: unknown word '%s'; there are the ioctls' names in lower case, "
			 "fill, read, delay, spurious-wake, partial-copy, dup-message, event-storm "
			 "and seed",
			 word);
}

static void no_error(const char *op, const char *word)
{
	static const char *const errors[] = {"EAGAIN", "ENOMEM", "EBUSY", NULL};
	const char *meant = nearest_word(word, errors);

	if (meant && strcmp(meant, word) != 0)
		complain("--inject: unknown error '%s', did you mean '%s'?", word, meant);
	else if (!word[0])
		complain("--inject: '%s' needs an error, as in '%s:EAGAIN:1%%'", op, op);
	else if (strcmp(op, "wake") == 0)
		complain("--inject: UFFDIO_WAKE does not fail; only 'delay:wake' makes sense");
	else if (strcmp(op, "read") == 0)
		complain("--inject: reads can only find nothing, which is 'read:EAGAIN', not '%s'",
			 word);
	else
		complain("--inject: '%s' cannot fail with '%s'; there are EAGAIN, ENOMEM and, of "
			 "move, EBUSY, and of register and unregister ENOMEM alone",
			 op, word);
}

static void explain(const struct inject_answer *a)
{
	switch (a->problem) {
	case INJECT_FINE:
		break;
	case INJECT_UNKNOWN:
		unknown(a->word);
		break;
	case INJECT_NO_ERROR:
		no_error(a->op, a->word);
		break;
	case INJECT_NEVER:
		complain("--inject: %s of '%s' is not injected, for it would be a lie about the "
			 "program's memory; there are EAGAIN, ENOMEM and, of move, EBUSY",
			 a->word, a->op);
		break;
	case INJECT_NO_NUMBER:
		complain("--inject: '%s' needs a number, as in 'seed=7'", a->word);
		break;
	case INJECT_NO_WHEN:
		complain("--inject: '%s' does not say how often; write '5%%' or 'every=20'",
			 a->word);
		break;
	case INJECT_NO_TIME:
		complain("--inject: '%s' is no part of a delay; write 'delay', perhaps an "
			 "operation, and a time of at most 10s, as in 'delay:copy:200us' or "
			 "'delay:p50=1ms:p99=20ms:5%%'",
			 a->word);
		break;
	case INJECT_NO_DELAY:
		complain("--inject: a delay needs a time, as in 'delay:200us' or 'delay:p99=5ms'");
		break;
	case INJECT_ORDER:
		complain("--inject: p99 of a delay cannot be less than its p50");
		break;
	}
}

int inject_check(const char *spec)
{
	struct inject_answer answer;
	struct uffd_inject inject;

	if (strlen(spec) > LONGEST) {
		complain("--inject: more than %u characters are too many", LONGEST);
		return STATUS_USAGE;
	}
	if (uffd_inject_parse(spec, &inject, &answer))
		return 0;
	explain(&answer);
	return STATUS_USAGE;
}
