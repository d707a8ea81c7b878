/* SPDX-License-Identifier: MIT */
/* Structures that system calls fill in, in missing pages: one fault for each page of them. */
#include "served.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>

int main(void)
{
	struct rlimit limit;

	serve();
	struct utsname *name = lend_over(NULL, sizeof *name);
	EQ(SYS(SYS_uname, name), 0);
	ASKED(2);
	EQ(strcmp(name->sysname, "Linux"), 0);
	struct sysinfo *info = lend_over(NULL, sizeof *info);
	EQ(SYS(SYS_sysinfo, info), 0);
	ASKED(2);
	CHECK(info->totalram > 0);
	EQ(SYS(SYS_times, lend(NULL, sizeof(struct tms))) > 0, 1);
	ASKED(1);
	struct rusage *usage = lend_over(NULL, sizeof *usage);
	EQ(SYS(SYS_getrusage, RUSAGE_SELF, usage), 0);
	ASKED(2);
	CHECK(usage->ru_maxrss > 0);

	EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	struct rlimit *got = lend(NULL, sizeof *got);
	EQ(SYS(SYS_getrlimit, RLIMIT_NOFILE, got), 0);
	ASKED(1);
	EQ(got->rlim_cur, limit.rlim_cur);
	got = lend(NULL, sizeof *got);
	EQ(SYS(SYS_prlimit64, 0, RLIMIT_NOFILE, lend(&limit, sizeof limit), got), 0);
	ASKED(2);
	EQ(got->rlim_max, limit.rlim_max);

	unsigned char *cpus = lend(NULL, 1024);
	CHECK(SYS(SYS_sched_getaffinity, 0, 1024, cpus) > 0);
	ASKED(1);
	unsigned *cpu = lend(NULL, sizeof *cpu), *node = lend(NULL, sizeof *node);
	EQ(SYS(SYS_getcpu, cpu, node, NULL), 0);
	ASKED(2);
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	EQ(SYS(SYS_capget, lend(&head, sizeof head), lend(NULL, 24)), 0);
	ASKED(2);
	uid_t *ids[3];
	for (int i = 0; i < 3; i++)
		ids[i] = lend(NULL, sizeof(uid_t));
	EQ(SYS(SYS_getresuid, ids[0], ids[1], ids[2]), 0);
	ASKED(3);
	EQ(*ids[1], geteuid());

	struct timespec *ts = lend(NULL, sizeof *ts);
	EQ(SYS(SYS_clock_gettime, CLOCK_MONOTONIC, ts), 0);
	ASKED(1);
	CHECK(ts->tv_sec > 0);
	EQ(SYS(SYS_clock_getres, CLOCK_MONOTONIC, ts = lend(NULL, sizeof *ts)), 0);
	ASKED(1);
	struct timeval *tv = lend(NULL, sizeof *tv);
	EQ(SYS(SYS_gettimeofday, tv, NULL), 0);
	ASKED(1);
	CHECK(tv->tv_sec > 0);
	EQ(SYS(SYS_getitimer, ITIMER_REAL, lend(NULL, sizeof(struct itimerval))), 0);
	ASKED(1);

	int *pair = lend_over(NULL, 2 * sizeof(int));
	EQ(SYS(SYS_pipe2, pair, O_CLOEXEC), 0);
	ASKED(2);
	EQ(write(pair[1], "x", 1), 1);
	EQ(SYS(SYS_getrandom, lend_over(NULL, 100), 100, 0), 100);
	ASKED(2);
	EQ(SYS(SYS_prctl, 15 /* PR_SET_NAME */, lend_string("abi")), 0);
	char *comm = lend(NULL, 16);
	EQ(SYS(SYS_prctl, 16 /* PR_GET_NAME */, comm), 0);
	ASKED(2);
	EQ(strcmp(comm, "abi"), 0);
	return 0;
}
