/*
 * policy.h - replacement policies: which pages leave when memory is full.
 *
 * Whoever keeps the pages (reclaim.c, or a replay of recorded faults) moves a hand over them in the
 * order of their addresses, round and round, and asks the policy about each page in memory that it
 * comes to. A policy sees pages only that way. What it wants to remember about one it keeps in the
 * page's mark: a byte that is 0 at first and stays with the page while it is out of memory.
 *
 * Calls for one state are made one at a time. A policy that refuses to choose is overruled: no page
 * depends on it.
 */
#ifndef UF_MM_POLICY_H
#define UF_MM_POLICY_H

#include <stdbool.h>
#include <stdint.h>

enum mm_verdict {
	MM_STAY,
	MM_PROBE, /* stays, and is closed to see whether it is referenced until the next turn */
	MM_LEAVE,
};

struct mm_policy_state {
	const struct mm_policy *policy;
	uint64_t limit; /* pages that fit */
	uint64_t left;	/* how many have left so far */
	uint64_t seed;
	/* Pages of a kind that the policy counts: in memory, and seen so far in this turn. */
	uint64_t have, seen;
};

struct mm_policy {
	const char *name;
	const char *about; /* one line for people who choose */
	/* The hand is over a page. referenced: it was used since it came or was last probed. */
	enum mm_verdict (*look)(struct mm_policy_state *s, uint8_t *mark, bool referenced);
	/* The page leaves, by this policy's verdict or somebody else's. NULL: nothing to note. */
	void (*leave)(struct mm_policy_state *s, uint8_t *mark);
	/* The hand is at the beginning again. NULL: nothing to do. */
	void (*turn)(struct mm_policy_state *s);
};

/* By name, and the i-th (NULL: past the last). The first is the default. */
const struct mm_policy *mm_policy_find(const char *name);
const struct mm_policy *mm_policy_at(unsigned i);

void mm_policy_start(struct mm_policy_state *s, const struct mm_policy *policy, uint64_t limit);

static inline enum mm_verdict mm_policy_look(struct mm_policy_state *s, uint8_t *mark,
					     bool referenced)
{
	return s->policy->look(s, mark, referenced);
}

static inline void mm_policy_leave(struct mm_policy_state *s, uint8_t *mark)
{
	s->left++;
	if (s->policy->leave)
		s->policy->leave(s, mark);
}

static inline void mm_policy_turn(struct mm_policy_state *s)
{
	if (s->policy->turn)
		s->policy->turn(s);
}

/* One file each. */
extern const struct mm_policy mm_policy_clock, mm_policy_2q, mm_policy_random;

#endif
