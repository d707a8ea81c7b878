/* SPDX-License-Identifier: MIT */
/* Masks, actions and siginfo structures in missing pages. */
#include "served.h"

#include <time.h>

static atomic_int value;

static void on_usr2(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	value = info->si_value.sival_int;
}

int main(void)
{
	uint64_t usr1 = 1ull << (SIGUSR1 - 1), none = 0;
	struct timespec soon = {0, 1000};
	siginfo_t sent = {.si_code = SI_QUEUE, .si_signo = SIGUSR1};
	struct sigaction act = {.sa_sigaction = on_usr2, .sa_flags = SA_SIGINFO};

	serve();
	EQ(SYS(SYS_rt_sigprocmask, SIG_BLOCK, lend(&usr1, 8), NULL, 8), 0);
	ASKED(1);
	uint64_t *old = lend(NULL, 8);
	EQ(SYS(SYS_rt_sigprocmask, SIG_SETMASK, lend(&usr1, 8), old, 8), 0);
	ASKED(2);
	CHECK(*old & usr1);

	sent.si_value.sival_int = 4711;
	EQ(SYS(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, lend(&sent, sizeof sent)), 0);
	ASKED(1);
	uint64_t *pending = lend(NULL, 8);
	EQ(SYS(SYS_rt_sigpending, pending, 8), 0);
	ASKED(1);
	CHECK(*pending & usr1);
	siginfo_t *got = lend_over(NULL, sizeof *got);
	EQ(SYS(SYS_rt_sigtimedwait, lend(&usr1, 8), got, lend(&soon, sizeof soon), 8), SIGUSR1);
	ASKED(4);
	EQ(got->si_value.sival_int, 4711);
	EQ(SYS(SYS_rt_sigtimedwait, lend(&usr1, 8), lend(NULL, 128), lend(&soon, sizeof soon), 8),
	   -EAGAIN);
	ASKED(2);

	EQ(sigaction(SIGUSR2, &act, NULL), 0);
	char raw[32];
	EQ(SYS(SYS_rt_sigaction, SIGUSR2, NULL, raw, 8), 0);
	char *was = lend_over(NULL, 32);
	EQ(SYS(SYS_rt_sigaction, SIGUSR2, lend_over(raw, 32), was, 8), 0);
	ASKED(4);
	EQ(memcmp(was, raw, 32), 0);
	sent.si_signo = SIGUSR2;
	sent.si_value.sival_int = 42;
	EQ(SYS(SYS_rt_sigqueueinfo, getpid(), SIGUSR2, lend(&sent, sizeof sent)), 0);
	ASKED(1);
	while (value != 42)
		sched_yield();
	EQ(SYS(SYS_rt_sigprocmask, SIG_SETMASK, lend(&none, 8), NULL, 8), 0);
	ASKED(1);
	return 0;
}
