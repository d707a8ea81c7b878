/*
 * policy_2q.c - two queues: pages that came once, and pages that came back.
 *
 * A page that comes is on probation. While pages on probation take more than a quarter of the
 * memory they leave in the order the hand finds them, used or not: being used right after it came
 * says little about a page. One that comes back soon after it left is wanted, and stays as in
 * second chance. So a scan over much memory, once, pushes out only what is on probation, too.
 *
 * The mark: in the two low bits what the page is; above them, for one that is out, when it left,
 * counted in parts of the memory's size. The count is short: a page that was out for very long may
 * pass for one that was not, which costs no more than keeping it for a while.
 */
#include "mm/policy.h"

#include <stddef.h>

enum {
	FRESH, /* not looked at since it came for the first time */
	PROBATION,
	WANTED,
	OUT
};

#define STATE	     3u
#define AGE_SHIFT    2
#define AGES	     64u
#define AGES_A_LIMIT 8u
/* Coming back before as many others left as fit. */
#define SOON	     AGES_A_LIMIT
#define PROBATION_IN 4u /* one part in so many */

static unsigned age(const struct mm_policy_state *s)
{
	uint64_t step = s->limit / AGES_A_LIMIT;

	return (unsigned)(s->left / (step ? step : 1) % AGES);
}

/* Which queue it is in. A page that came since the hand was here last is put into one. */
static unsigned queue(struct mm_policy_state *s, uint8_t *mark)
{
	unsigned gone;

	if ((*mark & STATE) == OUT) {
		gone = (age(s) + AGES - (*mark >> AGE_SHIFT)) % AGES;
		*mark = gone <= SOON ? WANTED : PROBATION;
		s->have += *mark == WANTED;
	} else if ((*mark & STATE) == FRESH) {
		*mark = PROBATION;
	}
	s->seen += *mark == WANTED;
	return *mark;
}

static enum mm_verdict look(struct mm_policy_state *s, uint8_t *mark, bool referenced)
{
	bool came = (*mark & STATE) == FRESH || (*mark & STATE) == OUT;
	unsigned in = queue(s, mark);
	/* Memory is full, or nobody would ask: what is not wanted is on probation. */
	uint64_t probation = s->limit > s->have ? s->limit - s->have : 0;
	bool crowded = probation * PROBATION_IN > s->limit;

	if (came)
		return MM_STAY;
	if (in == PROBATION)
		return crowded ? MM_LEAVE : MM_STAY;
	if (crowded)
		return MM_STAY;
	return referenced ? MM_PROBE : MM_LEAVE;
}

static void leave(struct mm_policy_state *s, uint8_t *mark)
{
	if ((*mark & STATE) == WANTED) {
		s->have -= s->have > 0;
		s->seen -= s->seen > 0;
	}
	*mark = (uint8_t)(OUT | age(s) << AGE_SHIFT);
}

/* Pages also go without leaving (their memory is unmapped): what was seen is what is there. */
static void turn(struct mm_policy_state *s)
{
	s->have = s->seen;
	s->seen = 0;
}

const struct mm_policy mm_policy_2q = {
	.name = "2q",
	.about = "two queues: what came back soon after it left outlasts what came once",
	.look = look,
	.leave = leave,
	.turn = turn,
};
