/* SPDX-License-Identifier: MIT */
/* Reads that take away what they tell: into missing pages nothing of it is lost. */
#include "served.h"

#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>

int main(void)
{
	struct itimerspec now = {{0, 0}, {0, 1}};
	uint64_t seven = 7, usr1 = 1ull << (SIGUSR1 - 1);
	sigset_t set;

	serve();
	int fd = eventfd(0, 0);
	EQ(SYS(SYS_write, fd, lend_over(&seven, 8), 8), 8);
	ASKED(2);
	uint64_t *value = lend_over(NULL, 8);
	EQ(SYS(SYS_read, fd, value, 8), 8);
	ASKED(2);
	EQ(*value, 7);

	fd = timerfd_create(CLOCK_MONOTONIC, 0);
	EQ(timerfd_settime(fd, 0, &now, NULL), 0);
	value = lend(NULL, 8);
	EQ(SYS(SYS_read, fd, value, 8), 8);
	ASKED(1);
	EQ(*value, 1);

	fd = inotify_init1(IN_NONBLOCK);
	EQ(SYS(SYS_inotify_add_watch, fd, lend_string("/tmp"), IN_CREATE), 1);
	ASKED(1);
	char name[] = "/tmp/abi-inotify-XXXXXX";
	int made = mkstemp(name);
	CHECK(made >= 0);
	EQ(unlink(name), 0);
	struct inotify_event *event = lend(NULL, 1000);
	CHECK(SYS(SYS_read, fd, event, 1000) >= (long)sizeof *event);
	ASKED(1);
	EQ(event->mask, IN_CREATE);

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	fd = SYS(SYS_signalfd4, -1, lend(&usr1, 8), 8, 0);
	CHECK(fd >= 0);
	ASKED(1);
	EQ(SYS(SYS_tgkill, getpid(), gettid(), SIGUSR1), 0);
	struct signalfd_siginfo *info = lend_over(NULL, sizeof *info);
	EQ(SYS(SYS_read, fd, info, sizeof *info), sizeof *info);
	ASKED(2);
	EQ(info->ssi_signo, SIGUSR1);

	pid_t child = vfork();
	if (child == 0)
		_exit(3);
	CHECK(child > 0);
	int *status = lend(NULL, sizeof *status);
	EQ(SYS(SYS_wait4, child, status, 0, lend_over(NULL, 144)), child);
	ASKED(3);
	CHECK(WIFEXITED(*status) && WEXITSTATUS(*status) == 3);
	child = vfork();
	if (child == 0)
		_exit(4);
	siginfo_t *about_child = lend(NULL, sizeof *about_child);
	EQ(SYS(SYS_waitid, P_PID, child, about_child, WEXITED, NULL), 0);
	ASKED(1);
	EQ(about_child->si_status, 4);
	ERR(wait(NULL), ECHILD);
	return 0;
}
