/* SPDX-License-Identifier: MIT */
/* A SIGSEGV or SIGBUS that is sent, not earned, reaches the handler with its sender. */
#include "abi.h"

static volatile sig_atomic_t count;
static volatile int code, number, sender;

static void handler(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	number = info->si_signo;
	code = info->si_code;
	sender = info->si_pid;
	count++;
}

int main(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS};
	struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

	start();
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	for (int i = 0; i < 2; i++) {
		count = 0;
		EQ(sigaction(signals[i], &act, NULL), 0);
		EQ(raise(signals[i]), 0);
		EQ(count, 1);
		EQ(number, signals[i]);
		EQ(code, SI_TKILL);
		EQ(sender, getpid());
		EQ(kill(getpid(), signals[i]), 0);
		while (count < 2)
			sched_yield();
		EQ(code, SI_USER);
		EQ(sender, getpid());
	}
	return 0;
}
