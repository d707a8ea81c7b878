/* SPDX-License-Identifier: MIT */
/* A handler that leaves by siglongjmp abandons the access, and its message goes with it. */
#include "abi.h"

static sigjmp_buf away;

static void on_usr1(int sig)
{
	siglongjmp(away, sig);
}

static void *abandon(void *arg)
{
	if (!sigsetjmp(away, 1))
		(void)*(volatile char *)arg;
	else
		return NULL;
	fail_at(__FILE__, __LINE__, "the access was abandoned", 1, 0);
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_usr1};
	struct thread t;

	start();
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	for (int i = 0; i < 2; i++) {
		run(&t, abandon, p);
		if (i == 0)
			FAULT(fd, p, 0);
		CHECK(blocked(&t));
		EQ(pthread_kill(t.id, SIGUSR1), 0);
		join(&t);
		CHECK(quiet(fd));
	}
	CHECK(!populated(p));
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	return 0;
}
