/* SPDX-License-Identifier: MIT */
/* SA_RESETHAND, SA_NODEFER and plain handlers of SIGSEGV do what they say. */
#include "abi.h"

static sigjmp_buf away;
static bool deferred;

static void on_segv(int sig)
{
	sigset_t now;

	EQ(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
	deferred = sigismember(&now, SIGSEGV);
	siglongjmp(away, sig);
}

static void provoke(void)
{
	if (!sigsetjmp(away, 1))
		*at_address(16) = 1;
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_segv}, got;

	start();
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	EQ(sigaction(SIGSEGV, NULL, &got), 0);
	CHECK(got.sa_handler == SIG_DFL);

	CHECK(signal(SIGSEGV, on_segv) == SIG_DFL);
	provoke();
	CHECK(deferred);
	CHECK(signal(SIGSEGV, SIG_IGN) == on_segv);
	CHECK(signal(SIGSEGV, SIG_DFL) == SIG_IGN);

	act.sa_flags = SA_NODEFER;
	EQ(sigaction(SIGSEGV, &act, &got), 0);
	CHECK(got.sa_handler == SIG_DFL);
	provoke();
	CHECK(!deferred);

	act.sa_flags = SA_RESETHAND;
	EQ(sigaction(SIGSEGV, &act, &got), 0);
	CHECK(got.sa_handler == on_segv);
	EQ(got.sa_flags & SA_NODEFER, SA_NODEFER);
	provoke();
	EQ(sigaction(SIGSEGV, NULL, &got), 0);
	CHECK(got.sa_handler == SIG_DFL);
	return 0;
}
