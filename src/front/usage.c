/*
 * usage.c - getrusage: the faults that Userfault serves are page faults of the program's, which the
 * host knows nothing of. They are counted for the process as a whole, also where one thread asks.
 */
#include "front/gate.h"
#include "front/preload.h"

static uint64_t faults_served(void)
{
	static const enum mm_stat kinds[] = {MM_STAT_MISSING, MM_STAT_WP,  MM_STAT_MINOR,
					     MM_STAT_RWP,     MM_STAT_TLB, MM_STAT_ORDINARY,
					     MM_STAT_ASYNC};
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		sum += atomic_load_explicit(&mm_space_self->stats->count[kinds[i]],
					    memory_order_relaxed);
	return sum;
}

long usage_look(int who, struct rusage *usage)
{
	long ret = SYS(SYS_getrusage, who, usage);

	if (ret == 0 && who != RUSAGE_CHILDREN &&
	    unlikely(atomic_load_explicit(&front_live, memory_order_acquire)))
		usage->ru_minflt += (long)faults_served();
	return ret;
}

EXPORT int getrusage(__rusage_who_t who, struct rusage *usage)
{
	const long a[6] = {(long)who, (long)usage};

	return (int)sys_errno(gate_call(SYS_getrusage, a));
}
