/* SPDX-License-Identifier: MIT */
/*
 * The last descriptor is closed while a fork waits for its event: the fork ends, and the child is
 * not registered. The child shares the table of descriptors, so that it does not hold one itself.
 */
#include "procs.h"

static char *p;
static pid_t pid;

static void *fork_files(void *arg)
{
	(void)arg;
	pid_t child = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (!child) {
		bool good = p[0] == 1 && p[PG] == 0;

		p[0] = 2;
		p[PG] = 3;
		_exit(good && p[0] == 2 && !(pagemap(p) & PM_UFFD_WP) ? 7 : 1);
	}
	pid = child;
	return NULL;
}

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING | WP), 0);
	DONE(copy(fd, p, page_of(1), PG, UFFDIO_COPY_MODE_WP), PG);
	run(&t, fork_files, NULL);
	while (!t.tid || task_state(t.tid) != 'D')
		sched_yield();
	close(fd);
	join(&t);
	EQ(ends(pid), 7);
	EQ(p[0], 1);
	EQ(p[PG], 0);
	return 0;
}
