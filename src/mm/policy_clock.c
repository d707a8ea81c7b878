/*
 * policy_clock.c - second chance: a page that was used since the hand passed last stays for another
 * turn, any other leaves.
 */
#include "mm/policy.h"

static enum mm_verdict look(struct mm_policy_state *s, uint8_t *mark, bool referenced)
{
	(void)s;
	(void)mark;
	return referenced ? MM_PROBE : MM_LEAVE;
}

const struct mm_policy mm_policy_clock = {
	.name = "clock",
	.about = "second chance: what was not used for a turn of the hand leaves",
	.look = look,
};
