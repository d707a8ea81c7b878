/*
 * replay.h - recorded faults, and what would have become of them under a policy.
 */
#ifndef UF_CMD_REPLAY_H
#define UF_CMD_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "mm/policy.h"

/* The record, its pages numbered: those of one process are neighbours, in the order of addresses.
 */
struct trace {
	uint64_t count;
	uint32_t *page; /* of each access: page << 1 | write */
	uint32_t npages;
	uint32_t nspaces;
	uint32_t *space; /* where the pages of each process begin, and the end */
};

/* 0, or the exit status after a complaint. */
int trace_load(const char *name, struct trace *t);
void trace_free(struct trace *t);

struct replayed {
	uint64_t accesses, faults; /* a fault brings the page into memory */
	uint64_t evictions, writebacks;
	uint64_t probes; /* pages closed to see whether they are used */
	uint64_t traps;	 /* accesses to pages that were closed for that */
};

/* With room for `limit` pages of each process. False: no memory. */
bool replay_policy(const struct trace *t, const struct mm_policy *policy, uint64_t limit,
		   struct replayed *out);
/* As if it were known what will be accessed: no policy can have fewer faults. */
bool replay_best(const struct trace *t, uint64_t limit, struct replayed *out);

#endif
