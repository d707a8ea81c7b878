/* SPDX-License-Identifier: MIT */
/* A thread that waits for its event to be read shows the state D, one that waits for a page S. */
#include "abi.h"

int main(void)
{
	struct thread t;
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	reader(&t, p);
	while (!t.tid || task_state(t.tid) != 'S')
		sched_yield();
	FAULT(fd, p, 0);
	call_munmap(&c, p + PG, PG);
	while (!c.thread.tid || task_state(c.thread.tid) != 'D')
		sched_yield();
	EVENT(fd, UFFD_EVENT_UNMAP, p + PG, p + 2 * PG, 0);
	EQ(returned(&c), 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);
	return 0;
}
