/* policy.c - the list of policies. */
#include "mm/policy.h"

#include <stddef.h>

static const struct mm_policy *const policies[] = {
	&mm_policy_clock,
	&mm_policy_2q,
	&mm_policy_random,
};

static bool same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

const struct mm_policy *mm_policy_at(unsigned i)
{
	return i < sizeof(policies) / sizeof(policies[0]) ? policies[i] : NULL;
}

const struct mm_policy *mm_policy_find(const char *name)
{
	const struct mm_policy *p;

	for (unsigned i = 0; (p = mm_policy_at(i)) != NULL; i++)
		if (same(p->name, name))
			return p;
	return NULL;
}

void mm_policy_start(struct mm_policy_state *s, const struct mm_policy *policy, uint64_t limit)
{
	*s = (struct mm_policy_state){
		.policy = policy,
		.limit = limit,
		.seed = 0x9e3779b97f4a7c15,
	};
}
