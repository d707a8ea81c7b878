/*
 * doctor.h - what userfault doctor found, for the two ways to tell it.
 */
#ifndef UF_CMD_DOCTOR_H
#define UF_CMD_DOCTOR_H

#include "cmd.h"

struct diagnosis {
	struct kernel_facts kernel;
	struct host_probe probe;
	struct trial chosen; /* what `userfault run` would get */
	struct trial guard, mprotect;
	uint64_t mappings; /* of this process now */
	char thp[16];	   /* transparent huge pages: always, madvise, never, or "none" */
	uint64_t hugetlb_pages, hugetlb_kib;
};

/* "yes", "user-mode-only" (faults inside system calls excepted) or "no". */
const char *diagnosis_permitted(const struct diagnosis *d);
/* "seccomp", "sysctl", "kernel", "security-module", or NULL. */
const char *refusal_word(enum refusal refused_by);

void doctor_print_text(const struct diagnosis *d);
void doctor_print_json(const struct diagnosis *d);

#endif
