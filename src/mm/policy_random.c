/*
 * policy_random.c - any page may leave. Nothing is closed to see whether it is used, which makes
 * this the cheapest where use tells nothing about use to come.
 */
#include "mm/policy.h"

#include <stddef.h>

/* One page in so many leaves as the hand passes. */
#define ONE_IN 16

static uint64_t draw(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static enum mm_verdict look(struct mm_policy_state *s, uint8_t *mark, bool referenced)
{
	(void)mark;
	(void)referenced;
	return draw(&s->seed) >> 32 & (ONE_IN - 1) ? MM_STAY : MM_LEAVE;
}

const struct mm_policy mm_policy_random = {
	.name = "random",
	.about = "any page, whether used or not",
	.look = look,
};
