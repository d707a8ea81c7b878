/* SPDX-License-Identifier: MIT */
/* Times in missing pages: those that a call reads, and those that it leaves behind. */
#include "served.h"

#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>

static void on_alarm(int sig)
{
	(void)sig;
}

static const struct timespec hour = {3600, 0};
static struct timespec *left;
static int how;

static void *sleep_long(void *arg)
{
	(void)arg;
	if (how == 0)
		EQ(SYS(SYS_nanosleep, lend(&hour, sizeof hour), left), -EINTR);
	else
		EQ(SYS(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, lend(&hour, sizeof hour), left),
		   -EINTR);
	return NULL;
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_alarm};
	struct timespec soon = {0, 1000};
	struct itimerspec spec = {{0, 0}, {100, 0}};
	struct itimerval interval = {{0, 0}, {100, 0}};
	struct sigevent event = {.sigev_notify = SIGEV_NONE};
	struct thread t;

	serve();
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	left = lend(NULL, sizeof *left);
	EQ(SYS(SYS_nanosleep, lend(&soon, sizeof soon), left), 0);
	ASKED(1); /* nothing is left: nothing is written */
	EQ(SYS(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, lend_over(&soon, sizeof soon), left), 0);
	ASKED(2);
	for (how = 0; how < 2; how++) {
		left = lend(NULL, sizeof *left);
		run(&t, sleep_long, NULL);
		while (asked() != 1)
			sched_yield();
		wait_asleep(&t);
		while (!t.done && pthread_kill(t.id, SIGUSR1) == 0)
			sched_yield();
		join(&t);
		CHECK(left->tv_sec > 3000 && left->tv_sec <= 3600);
		asked();
	}

	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	EQ(SYS(SYS_timerfd_settime, fd, 0, lend(&spec, sizeof spec), NULL), 0);
	ASKED(1);
	struct itimerspec *old = lend(NULL, sizeof *old);
	EQ(SYS(SYS_timerfd_settime, fd, 0, lend(&spec, sizeof spec), old), 0);
	ASKED(2);
	CHECK(old->it_value.tv_sec >= 99 || old->it_value.tv_sec == 100);
	EQ(SYS(SYS_timerfd_gettime, fd, old = lend(NULL, sizeof *old)), 0);
	ASKED(1);
	CHECK(old->it_value.tv_sec >= 99);

	int *id = lend(NULL, sizeof *id);
	EQ(SYS(SYS_timer_create, CLOCK_MONOTONIC, lend(&event, sizeof event), id), 0);
	ASKED(2);
	EQ(SYS(SYS_timer_settime, *id, 0, lend(&spec, sizeof spec), NULL), 0);
	old = lend(NULL, sizeof *old);
	EQ(SYS(SYS_timer_settime, *id, 0, &spec, old), 0);
	ASKED(2);
	CHECK(old->it_value.tv_sec >= 99);

	struct itimerval *was = lend(NULL, sizeof *was);
	EQ(SYS(SYS_setitimer, ITIMER_VIRTUAL, lend(&interval, sizeof interval), NULL), 0);
	EQ(SYS(SYS_setitimer, ITIMER_VIRTUAL, &interval, was), 0);
	ASKED(2);
	CHECK(was->it_value.tv_sec >= 99);
	return 0;
}
