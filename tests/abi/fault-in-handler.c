/* SPDX-License-Identifier: MIT */
/* A signal handler may itself fault on missing memory while the thread waits for another page. */
#include "abi.h"

static volatile char *second;
static volatile int seen;

static void on_usr1(int sig)
{
	(void)sig;
	seen = *second;
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_usr1};
	struct thread t;

	start();
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	int fd = uffd_open(0);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	second = p + PG;
	reader(&t, p);
	FAULT(fd, p, 0);
	EQ(pthread_kill(t.id, SIGUSR1), 0);
	FAULT(fd, p + PG, 0);
	CHECK(quiet(fd));
	CHECK(blocked(&t));
	DONE(copy(fd, p + PG, page_of(5), PG, 0), PG);
	FAULT(fd, p, 0);
	EQ(seen, 5);
	DONE(copy(fd, p, page_of(6), PG, 0), PG);
	join(&t);
	EQ(t.byte, 6);
	CHECK(quiet(fd));
	return 0;
}
