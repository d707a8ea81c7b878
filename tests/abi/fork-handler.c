/* SPDX-License-Identifier: MIT */
/* fork in a signal handler that runs while the thread waits for a page. */
#include "procs.h"

static char *p;
static int status = -1;

static void on_usr1(int sig)
{
	pid_t child = fork();

	(void)sig;
	if (!child) {
		alarm(20);
		/* Not registered here: a hole. */
		_exit(p[0] == 0 && p[PG] == 3 ? 5 : 1);
	}
	status = child < 0 ? -2 : ends(child);
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_usr1};
	struct thread t;

	start();
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	int fd = uffd_open(0);
	p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	DONE(copy(fd, p + PG, page_of(3), PG, 0), PG);
	reader(&t, p);
	FAULT(fd, p, 0);
	EQ(pthread_kill(t.id, SIGUSR1), 0);
	/* The access is made again after the handler. */
	FAULT(fd, p, 0);
	EQ(status, 5);
	CHECK(blocked(&t));
	DONE(copy(fd, p, page_of(4), PG, 0), PG);
	join(&t);
	EQ(t.byte, 4);
	CHECK(quiet(fd));
	return 0;
}
