/* SPDX-License-Identifier: MIT */
/* No descriptor is left for the reader: EMFILE, and the event is still there afterwards. */
#include "procs.h"

#include <sys/resource.h>

static char *p;

static int child_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	return p[0];
}

int main(void)
{
	struct rlimit limit, none;
	struct uffd_msg msg;
	struct forker f;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	fork_start(&f, child_main, NULL);
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	EQ(poll(&ready, 1, -1), 1);
	EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
	ERR(read(fd, &msg, sizeof msg), EMFILE);
	EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	EQ(poll(&ready, 1, 0), 1);
	CHECK(!f.thread.done);
	int child = next_fork(fd);
	fork_join(&f);
	FAULT(child, p, 0);
	DONE(copy(child, p, page_of(0), PG, 0), PG);
	peer_end(&f.peer);
	return 0;
}
