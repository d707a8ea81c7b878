/* SPDX-License-Identifier: MIT */
/* Messages that nobody has read yet, of faults and of events, do not keep a fork waiting. */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	EQ(p[0], 0);
	EQ(p[PG], 2);
	return 0;
}

int main(void)
{
	struct thread t;
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMOVE);
	p = map(4);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	DONE(copy(fd, p + PG, page_of(2), PG, 0), PG);
	reader(&t, p);
	CHECK(blocked(&t));
	call_madvise(&c, p + 2 * PG, PG, MADV_DONTNEED);
	while (!c.thread.tid || task_state(c.thread.tid) != 'D')
		sched_yield();
	for (int i = 0; i < 3; i++) {
		struct peer child = peer_start(child_main, NULL);
		peer_end(&child);
	}
	CHECK(blocked(&t));
	CHECK(!c.thread.done);
	FAULT(fd, p, 0);
	EVENT(fd, UFFD_EVENT_REMOVE, p + 2 * PG, p + 3 * PG, 0);
	EQ(returned(&c), 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	join(&t);
	CHECK(quiet(fd));
	return 0;
}
