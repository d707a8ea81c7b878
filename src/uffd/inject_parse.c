/*
 * inject_parse.c - from words to what is injected. The command reads them to say what is wrong, the
 * library to do it.
 *
 *   ITEM[,ITEM]...
 *
 *   ITEM    OP:ERROR[:WHEN]   delay[:OP][:TIME][:p50=TIME][:p99=TIME][:WHEN]   seed=NUMBER
 *           spurious-wake[:WHEN]   partial-copy[:WHEN]   dup-message[:WHEN]   event-storm[:WHEN]
 *   WHEN    NUMBER%   every=NUMBER
 *   TIME    a whole NUMBER and ns, us, ms or s
 */
#include "uffd/inject.h"

#define LONGEST_NS 10000000000ull

/* Chances where none is given, of 2^32. */
#define ALWAYS	((uint64_t)1 << 32)
#define USUAL	(ALWAYS / 10)
#define SELDOM	(ALWAYS / 20)
#define OPS_ALL (INJECT_WAKE + 1)

const char *const inject_words[] = {
	"copy",		"zeropage",    "continue",    "move",	    "poison",
	"writeprotect", "rwprotect",   "register",    "unregister", "wake",
	"read",		"fill",	       "delay",	      "seed",	    "spurious-wake",
	"partial-copy", "dup-message", "event-storm", NULL};

static const char *const errors[] = {
	[INJECT_EAGAIN] = "EAGAIN", [INJECT_ENOMEM] = "ENOMEM", [INJECT_EBUSY] = "EBUSY"};

/* The text that is left. */
struct text {
	const char *at;
	struct inject_answer *answer;
};

struct word {
	const char *at;
	size_t len;
};

static bool same(struct word w, const char *name)
{
	size_t i = 0;

	while (i < w.len && name[i] && w.at[i] == name[i])
		i++;
	return i == w.len && !name[i];
}

static void copy_word(char *to, size_t size, struct word w)
{
	size_t n = w.len < size - 1 ? w.len : size - 1;

	for (size_t i = 0; i < n; i++)
		to[i] = w.at[i];
	to[n] = 0;
}

static bool refuse(struct text *t, enum inject_problem problem, struct word w)
{
	t->answer->problem = problem;
	copy_word(t->answer->word, sizeof(t->answer->word), w);
	return false;
}

/* Up to the next ':' or ','. */
static struct word peek(const struct text *t)
{
	struct word w = {t->at, 0};

	while (w.at[w.len] && w.at[w.len] != ':' && w.at[w.len] != ',')
		w.len++;
	return w;
}

static void take(struct text *t, struct word w)
{
	t->at = w.at + w.len;
}

/* The next word of this item. */
static bool more(struct text *t, struct word *w)
{
	if (*t->at != ':')
		return false;
	t->at++;
	*w = peek(t);
	take(t, *w);
	return true;
}

/* Digits at *w, which moves behind them. */
static bool number(struct word *w, uint64_t *value)
{
	size_t len = w->len;

	for (*value = 0; w->len && *w->at >= '0' && *w->at <= '9'; w->at++, w->len--) {
		if (*value > (UINT64_MAX - 9) / 10)
			return false;
		*value = *value * 10 + (uint64_t)(*w->at - '0');
	}
	return w->len < len;
}

/* Is there such a name, and then "="? What is behind it. */
static bool assigned(struct word *w, const char *name)
{
	struct word before = *w;

	for (before.len = 0; before.len < w->len && w->at[before.len] != '=';)
		before.len++;
	if (before.len == w->len || !same(before, name))
		return false;
	w->at += before.len + 1;
	w->len -= before.len + 1;
	return true;
}

/* ---- WHEN and TIME -----------------------------------------------------------------------------
 */

/* "12.5%"; *chance is left as it is if that is not what it is. */
static bool percent(struct word w, uint64_t *chance)
{
	uint64_t whole, unit = ALWAYS / 100, part = 0;

	if (!number(&w, &whole) || whole > 100)
		return false;
	if (w.len && *w.at == '.') {
		for (w.at++, w.len--; w.len && *w.at >= '0' && *w.at <= '9'; w.at++, w.len--) {
			unit /= 10;
			part += unit * (uint64_t)(*w.at - '0');
		}
	}
	part += whole * ALWAYS / 100;
	if (!same(w, "%") || part > ALWAYS)
		return false;
	*chance = part;
	return true;
}

static bool parse_when(struct word w, struct inject_when *when)
{
	*when = (struct inject_when){0, 0};
	if (assigned(&w, "every"))
		return number(&w, &when->every) && !w.len && when->every;
	return percent(w, &when->chance);
}

static bool parse_time(struct word w, uint64_t *ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}};

	if (!number(&w, ns))
		return false;
	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (same(w, units[i].name)) {
			if (*ns > LONGEST_NS / units[i].ns)
				return false;
			*ns *= units[i].ns;
			return true;
		}
	return false;
}

/* The rest of an item, which is WHEN or nothing. */
static bool rest_when(struct text *t, struct inject_when *when, uint64_t usual)
{
	struct word w;

	*when = (struct inject_when){usual, 0};
	if (!more(t, &w))
		return true;
	if (!parse_when(w, when))
		return refuse(t, INJECT_NO_WHEN, w);
	return *t->at != ':' || (more(t, &w), refuse(t, INJECT_NO_WHEN, w));
}

/* ---- Items -------------------------------------------------------------------------------------
 */

/* The operations that a name stands for. */
static bool find_ops(struct word w, unsigned *first, unsigned *last)
{
	for (unsigned op = 0; op <= INJECT_READ; op++)
		if (same(w, inject_words[op])) {
			*first = *last = op;
			return true;
		}
	*first = INJECT_COPY;
	*last = INJECT_POISON;
	return same(w, "fill");
}

static bool may_fail(unsigned op, unsigned error)
{
	switch (error) {
	case INJECT_EAGAIN:
		return op <= INJECT_RWPROTECT || op == INJECT_READ;
	case INJECT_ENOMEM:
		return op <= INJECT_UNREGISTER;
	default:
		return op == INJECT_MOVE;
	}
}

/* OP:ERROR[:WHEN] */
static bool parse_error(struct text *t, struct uffd_inject *out, struct word name, unsigned first,
			unsigned last)
{
	static const char *const never[] = {"EEXIST", "ENOENT", "ESRCH", "EFAULT", "EINVAL",
					    "EPERM",  "EINTR",	"EIO",	 "ENOSPC", NULL};
	struct inject_when when;
	unsigned error;
	struct word w = {t->at, 0};
	bool any = false;

	copy_word(t->answer->op, sizeof(t->answer->op), name);
	if (!more(t, &w))
		return refuse(t, INJECT_NO_ERROR, w);
	for (error = 0; error <= INJECT_EBUSY && !same(w, errors[error]);)
		error++;
	for (unsigned i = 0; error > INJECT_EBUSY && never[i]; i++)
		if (same(w, never[i]))
			return refuse(t, INJECT_NEVER, w);
	for (unsigned op = first; op <= last && error <= INJECT_EBUSY; op++)
		any |= may_fail(op, error);
	if (!any)
		return refuse(t, INJECT_NO_ERROR, w);
	if (!rest_when(t, &when, USUAL))
		return false;
	for (unsigned op = first; op <= last; op++)
		if (may_fail(op, error))
			out->when[op][error] = when;
	return true;
}

/* delay[:OP]...: of one word behind it, what it says. */
static bool delay_word(struct word w, struct inject_delay *d, struct inject_when *when, bool *timed)
{
	uint64_t ns;

	if (parse_when(w, when))
		return true;
	*timed = true;
	if (assigned(&w, "p50"))
		return parse_time(w, &d->p50);
	if (assigned(&w, "p99"))
		return parse_time(w, &d->p99);
	if (!parse_time(w, &ns))
		return false;
	*d = (struct inject_delay){ns, ns};
	return true;
}

static bool delayed_ops(struct word w, unsigned *first, unsigned *last)
{
	if (same(w, "fault") || same(w, "ioctl")) {
		*first = same(w, "fault") ? INJECT_FAULT : 0;
		*last = same(w, "fault") ? INJECT_FAULT : OPS_ALL - 1;
		return true;
	}
	return find_ops(w, first, last);
}

/* One quantile tells the other, of a plain exponential distribution: their ratio is log2(100). */
static void complete(struct inject_delay *d)
{
	if (!d->p50)
		d->p50 = d->p99 * 1505 / 10000;
	if (!d->p99)
		d->p99 = d->p50 * 66439 / 10000;
}

static bool parse_delay(struct text *t, struct uffd_inject *out)
{
	unsigned first = INJECT_FAULT, last = INJECT_FAULT;
	struct inject_when when, said = {ALWAYS, 0};
	struct inject_delay d = {0, 0};
	struct word w = {t->at, 0};
	bool timed = false, opening = true;

	while (more(t, &w)) {
		if (opening && delayed_ops(w, &first, &last)) {
			opening = false;
			continue;
		}
		opening = false;
		if (!delay_word(w, &d, &when, &timed))
			return refuse(t, INJECT_NO_TIME, w);
		if (when.chance || when.every)
			said = when;
	}
	if (!timed)
		return refuse(t, INJECT_NO_DELAY, w);
	complete(&d);
	if (d.p99 < d.p50)
		return refuse(t, INJECT_ORDER, w);
	for (unsigned op = first; op <= last; op++) {
		out->when[op][INJECT_DELAY] = said;
		out->delay[op] = d;
	}
	return true;
}

/* The words that stand alone. */
static bool parse_alone(struct text *t, struct uffd_inject *out, struct word name)
{
	if (same(name, "spurious-wake"))
		return rest_when(t, &out->when[INJECT_MESSAGE][INJECT_WAKE_UP], USUAL);
	if (same(name, "dup-message"))
		return rest_when(t, &out->when[INJECT_MESSAGE][INJECT_TWICE], USUAL);
	if (same(name, "event-storm")) {
		if (!rest_when(t, &out->when[INJECT_CHANGE][INJECT_STORM], SELDOM))
			return false;
		out->when[INJECT_REMOVE][INJECT_STORM] = (struct inject_when){ALWAYS, 0};
		return true;
	}
	if (same(name, "partial-copy")) {
		struct inject_when when;

		if (!rest_when(t, &when, USUAL))
			return false;
		for (unsigned op = INJECT_COPY; op <= INJECT_POISON; op++)
			out->when[op][INJECT_PARTIAL] = when;
		return true;
	}
	return refuse(t, INJECT_UNKNOWN, name);
}

static bool parse_item(struct text *t, struct uffd_inject *out)
{
	struct word name = peek(t), value = name;
	unsigned first, last;

	take(t, name);
	if (assigned(&value, "seed"))
		return (number(&value, &out->seed) && !value.len && *t->at != ':') ||
		       refuse(t, INJECT_NO_NUMBER, name);
	if (same(name, "delay"))
		return parse_delay(t, out);
	if (find_ops(name, &first, &last))
		return parse_error(t, out, name, first, last);
	return parse_alone(t, out, name);
}

bool uffd_inject_parse(const char *text, struct uffd_inject *out, struct inject_answer *answer)
{
	struct text t = {text, answer};

	*out = (struct uffd_inject){.seed = 1};
	*answer = (struct inject_answer){.problem = INJECT_FINE};
	while (parse_item(&t, out)) {
		if (!*t.at)
			return true;
		t.at++;
	}
	return false;
}
