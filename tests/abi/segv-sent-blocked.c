/* SPDX-License-Identifier: MIT */
/* A SIGSEGV that is sent while blocked waits until it is unblocked. */
#include "abi.h"

static volatile sig_atomic_t count;

static void handler(int sig)
{
	(void)sig;
	count++;
}

int main(void)
{
	sigset_t set, pending;

	start();
	CHECK(signal(SIGSEGV, handler) == SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
	EQ(raise(SIGSEGV), 0);
	EQ(count, 0);
	EQ(sigpending(&pending), 0);
	CHECK(sigismember(&pending, SIGSEGV));
	EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
	EQ(count, 1);
	EQ(sigpending(&pending), 0);
	CHECK(!sigismember(&pending, SIGSEGV));
	return 0;
}
