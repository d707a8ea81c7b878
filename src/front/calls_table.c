/*
 * calls_table.c - which arguments of which system call point to memory, one line a call.
 *
 *   AGAIN  an EFAULT comes before the call has done anything
 *   AFTER  the call writes its answer when it is too late to fail
 *   BY     what it points to depends on other arguments: a function of its own
 *
 * Each line names the arguments in turn: NO pointer, IN or OUT of so many bytes, or of as many
 * elements as another argument says (_N), OUT of as many as the result says (_R), STRing. Calls
 * that are not here point to nothing, or keep the pointer for later.
 */
#include "front/calls.h"

#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <time.h>

#define NO                                                                                         \
	{                                                                                          \
		0                                                                                  \
	}
#define STR                                                                                        \
	{                                                                                          \
		CALLS_STRING, CALLS_IN, 0, 1                                                       \
	}
#define STRS                                                                                       \
	{                                                                                          \
		CALLS_STRINGS, CALLS_IN, 0, 1                                                      \
	}
#define IN(size)                                                                                   \
	{                                                                                          \
		CALLS_FIXED, CALLS_IN, 0, size                                                     \
	}
#define OUT(size)                                                                                  \
	{                                                                                          \
		CALLS_FIXED, CALLS_OUT, 0, size                                                    \
	}
#define INOUT(size)                                                                                \
	{                                                                                          \
		CALLS_FIXED, CALLS_IN | CALLS_OUT, 0, size                                         \
	}
#define OUT_REST(size)                                                                             \
	{                                                                                          \
		CALLS_FIXED, CALLS_OUT | CALLS_REST, 0, size                                       \
	}
#define INOUT_EVEN(size)                                                                           \
	{                                                                                          \
		CALLS_FIXED, CALLS_IN | CALLS_OUT | CALLS_EVEN, 0, size                            \
	}
#define IN_N(arg, unit)                                                                            \
	{                                                                                          \
		CALLS_COUNT, CALLS_IN, arg, unit                                                   \
	}
#define OUT_N(arg, unit)                                                                           \
	{                                                                                          \
		CALLS_COUNT, CALLS_OUT, arg, unit                                                  \
	}
#define INOUT_N(arg, unit)                                                                         \
	{                                                                                          \
		CALLS_COUNT, CALLS_IN | CALLS_OUT, arg, unit                                       \
	}
#define OUT_R(arg, unit)                                                                           \
	{                                                                                          \
		CALLS_RESULT, CALLS_OUT, arg, unit                                                 \
	}
#define OUT_SOCKADDR(len)                                                                          \
	{                                                                                          \
		CALLS_LENGTH, CALLS_OUT, len, 1                                                    \
	}

#define AGAIN(name, ...)   [SYS_##name] = {CALLS_AGAIN, {__VA_ARGS__}, NULL}
#define AFTER(name, ...)   [SYS_##name] = {CALLS_AFTER, {__VA_ARGS__}, NULL}
#define BY(name, function) [SYS_##name] = {CALLS_BY, {NO}, function}

/* What the kernel takes for these is its own. */
#define SIGACTION 32
#define SIGINFO	  128
#define SIGEVENT  64
#define TIMESPEC  sizeof(struct timespec)
#define TIMERSPEC sizeof(struct itimerspec)
#define TIMERVAL  sizeof(struct itimerval)
#define CAP_HEAD  8
#define HANDLE	  136 /* at most */
#define CAP_DATA  24
#define INT	  4
#define LONG	  8

/* clang-format off */
static const struct calls_row table[] = {
	/* Data, and where it goes. */
	BY(read, calls_read),
	BY(pread64, calls_read),
	BY(readv, calls_read),
	BY(preadv, calls_read),
	BY(preadv2, calls_read),
	BY(write, calls_write),
	BY(pwrite64, calls_write),
	BY(writev, calls_write),
	BY(pwritev, calls_write),
	BY(pwritev2, calls_write),
	BY(vmsplice, calls_write),
	BY(process_vm_readv, calls_process_vm),
	BY(process_vm_writev, calls_process_vm),
	AFTER(sendfile, NO, NO, INOUT(LONG)),
	AFTER(splice, NO, INOUT(LONG), NO, INOUT(LONG)),
	AFTER(copy_file_range, NO, INOUT(LONG), NO, INOUT(LONG)),
	AFTER(getrandom, OUT_R(1, 1)),
	AFTER(getdents64, NO, OUT_R(2, 1)),

	/* Sockets. */
	BY(recvfrom, calls_recv),
	BY(recvmsg, calls_recv),
	BY(recvmmsg, calls_many),
	BY(sendto, calls_send),
	BY(sendmsg, calls_send),
	BY(sendmmsg, calls_many),
	AFTER(accept, NO, OUT_SOCKADDR(2), INOUT(INT)),
	AFTER(accept4, NO, OUT_SOCKADDR(2), INOUT(INT)),
	AFTER(getsockname, NO, OUT_SOCKADDR(2), INOUT(INT)),
	AFTER(getpeername, NO, OUT_SOCKADDR(2), INOUT(INT)),
	AFTER(getsockopt, NO, NO, NO, OUT_SOCKADDR(4), INOUT(INT)),
	AGAIN(setsockopt, NO, NO, NO, IN_N(4, 1)),
	AGAIN(bind, NO, IN_N(2, 1)),
	AGAIN(connect, NO, IN_N(2, 1)),
	AGAIN(socketpair, NO, NO, NO, OUT(2 * INT)),

	/* Paths. */
	AGAIN(openat, NO, STR),
	AGAIN(openat2, NO, STR, IN_N(3, 1)),
	AGAIN(name_to_handle_at, NO, STR, INOUT(HANDLE), OUT(INT)),
	AGAIN(open_by_handle_at, NO, IN(HANDLE)),
	AGAIN(newfstatat, NO, STR, OUT(sizeof(struct stat))),
	AGAIN(statx, NO, STR, NO, NO, OUT(sizeof(struct statx))),
	AGAIN(statfs, STR, OUT(sizeof(struct statfs))),
	AGAIN(faccessat, NO, STR),
	AGAIN(faccessat2, NO, STR),
	AGAIN(readlinkat, NO, STR, OUT_N(3, 1)),
	AGAIN(mkdirat, NO, STR),
	AGAIN(mknodat, NO, STR),
	AGAIN(unlinkat, NO, STR),
	AGAIN(linkat, NO, STR, NO, STR),
	AGAIN(symlinkat, STR, NO, STR),
	AGAIN(renameat, NO, STR, NO, STR),
	AGAIN(renameat2, NO, STR, NO, STR),
	AGAIN(fchmodat, NO, STR),
	AGAIN(fchownat, NO, STR),
	AGAIN(utimensat, NO, STR, IN(2 * TIMESPEC)),
	AGAIN(truncate, STR),
	AGAIN(chdir, STR),
	AGAIN(chroot, STR),
	AGAIN(pivot_root, STR, STR),
	AGAIN(mount, STR, STR, STR, NO, STR),
	AGAIN(umount2, STR),
	AGAIN(open_tree, NO, STR),
	AGAIN(move_mount, NO, STR, NO, STR),
	AGAIN(fsopen, STR),
	AGAIN(fspick, NO, STR),
	AGAIN(mount_setattr, NO, STR, NO, IN_N(4, 1)),
	AGAIN(swapon, STR),
	AGAIN(swapoff, STR),
	AGAIN(acct, STR),
	AGAIN(execve, STR, STRS, STRS),
	AGAIN(execveat, NO, STR, STRS, STRS),
	AGAIN(getcwd, OUT_N(1, 1)),
	AGAIN(setxattr, STR, STR, IN_N(3, 1)),
	AGAIN(lsetxattr, STR, STR, IN_N(3, 1)),
	AGAIN(fsetxattr, NO, STR, IN_N(3, 1)),
	AGAIN(getxattr, STR, STR, OUT_N(3, 1)),
	AGAIN(lgetxattr, STR, STR, OUT_N(3, 1)),
	AGAIN(fgetxattr, NO, STR, OUT_N(3, 1)),
	AGAIN(listxattr, STR, OUT_N(2, 1)),
	AGAIN(llistxattr, STR, OUT_N(2, 1)),
	AGAIN(flistxattr, NO, OUT_N(2, 1)),
	AGAIN(removexattr, STR, STR),
	AGAIN(lremovexattr, STR, STR),
	AGAIN(fremovexattr, NO, STR),
	AGAIN(inotify_add_watch, NO, STR),
	AGAIN(fanotify_mark, NO, NO, NO, NO, STR),
	AGAIN(memfd_create, STR),

	/* Descriptors. */
	BY(ioctl, calls_ioctl),
	BY(fcntl, calls_fcntl),
	AGAIN(fstat, NO, OUT(sizeof(struct stat))),
	AGAIN(fstatfs, NO, OUT(sizeof(struct statfs))),
	AGAIN(pipe2, OUT(2 * INT)),
	AGAIN(signalfd4, NO, IN_N(2, 1)),
	AFTER(timerfd_settime, NO, NO, IN(TIMERSPEC), OUT(TIMERSPEC)),
	AGAIN(timerfd_gettime, NO, OUT(TIMERSPEC)),
	AGAIN(mq_open, STR, NO, NO, IN(sizeof(struct mq_attr))),
	AGAIN(mq_unlink, STR),
	AGAIN(mq_timedsend, NO, IN_N(2, 1), NO, NO, IN(TIMESPEC)),
	AFTER(mq_timedreceive, NO, OUT_R(2, 1), NO, OUT(INT), IN(TIMESPEC)),
	AGAIN(mq_notify, NO, IN(SIGEVENT)),
	AFTER(mq_getsetattr, NO, IN(sizeof(struct mq_attr)), OUT(sizeof(struct mq_attr))),
	BY(io_uring_setup, calls_uring_setup),
	BY(io_uring_enter, calls_uring_enter),
	BY(io_uring_register, calls_uring_register),
	BY(io_submit, calls_io_submit),
	AGAIN(io_setup, NO, OUT(LONG)),
	AFTER(io_getevents, NO, NO, NO, OUT_R(2, 32), IN(TIMESPEC)),
	AFTER(io_pgetevents, NO, NO, NO, OUT_R(2, 32), IN(TIMESPEC), IN(2 * LONG)),
	AGAIN(bpf, NO, INOUT_N(2, 1)),
	AGAIN(perf_event_open, IN(64)),

	/* Waiting. */
	BY(pselect6, calls_select),
	AFTER(ppoll, INOUT_N(1, sizeof(struct pollfd)), NO, INOUT_EVEN(TIMESPEC), IN_N(4, 1)),
	AGAIN(epoll_ctl, NO, NO, NO, IN(sizeof(struct epoll_event))),
	AFTER(epoll_pwait, NO, OUT_R(2, sizeof(struct epoll_event)), NO, NO, IN_N(5, 1)),
	AFTER(epoll_pwait2, NO, OUT_R(2, sizeof(struct epoll_event)), NO, IN(TIMESPEC), IN_N(5, 1)),
	AFTER(wait4, NO, OUT(INT), NO, OUT(sizeof(struct rusage))),
	AFTER(waitid, NO, NO, OUT(SIGINFO), NO, OUT(sizeof(struct rusage))),
	BY(futex, calls_futex),
	BY(futex_waitv, calls_futex_waitv),

	/* Signals. */
	AFTER(rt_sigaction, NO, IN(SIGACTION), OUT(SIGACTION)),
	AFTER(rt_sigprocmask, NO, IN_N(3, 1), OUT_N(3, 1)),
	AGAIN(rt_sigpending, OUT_N(1, 1)),
	AGAIN(rt_sigsuspend, IN_N(1, 1)),
	AFTER(rt_sigtimedwait, IN_N(3, 1), OUT(SIGINFO), IN(TIMESPEC)),
	AGAIN(rt_sigqueueinfo, NO, NO, IN(SIGINFO)),
	AGAIN(rt_tgsigqueueinfo, NO, NO, NO, IN(SIGINFO)),
	AGAIN(pidfd_send_signal, NO, NO, IN(SIGINFO)),
	AFTER(sigaltstack, IN(sizeof(stack_t)), OUT(sizeof(stack_t))),

	/* Time. */
	AGAIN(gettimeofday, OUT(2 * LONG), OUT(2 * INT)),
	AGAIN(settimeofday, IN(2 * LONG), IN(2 * INT)),
	AFTER(adjtimex, INOUT(sizeof(struct timex))),
	AGAIN(clock_gettime, NO, OUT(TIMESPEC)),
	AGAIN(clock_settime, NO, IN(TIMESPEC)),
	AGAIN(clock_getres, NO, OUT(TIMESPEC)),
	AFTER(clock_adjtime, NO, INOUT(sizeof(struct timex))),
	AFTER(nanosleep, IN(TIMESPEC), OUT_REST(TIMESPEC)),
	AFTER(clock_nanosleep, NO, NO, IN(TIMESPEC), OUT_REST(TIMESPEC)),
	AGAIN(getitimer, NO, OUT(TIMERVAL)),
	AFTER(setitimer, NO, IN(TIMERVAL), OUT(TIMERVAL)),
	AGAIN(timer_create, NO, IN(SIGEVENT), OUT(INT)),
	AGAIN(timer_gettime, NO, OUT(TIMERSPEC)),
	AFTER(timer_settime, NO, NO, IN(TIMERSPEC), OUT(TIMERSPEC)),

	/* Processes. */
	AGAIN(uname, OUT(sizeof(struct utsname))),
	AGAIN(sethostname, IN_N(1, 1)),
	AGAIN(setdomainname, IN_N(1, 1)),
	AGAIN(sysinfo, OUT(sizeof(struct sysinfo))),
	AGAIN(syslog, NO, OUT_N(2, 1)),
	AGAIN(times, OUT(sizeof(struct tms))),
	AGAIN(getrusage, NO, OUT(sizeof(struct rusage))),
	AFTER(prlimit64, NO, NO, IN(2 * LONG), OUT(2 * LONG)),
	AGAIN(getcpu, OUT(INT), OUT(INT)),
	AGAIN(getgroups, NO, OUT_N(0, INT)),
	AGAIN(setgroups, NO, IN_N(0, INT)),
	AGAIN(getresuid, OUT(INT), OUT(INT), OUT(INT)),
	AGAIN(getresgid, OUT(INT), OUT(INT), OUT(INT)),
	AGAIN(capget, INOUT(CAP_HEAD), OUT(CAP_DATA)),
	AGAIN(capset, IN(CAP_HEAD), IN(CAP_DATA)),
	AGAIN(sched_setparam, NO, IN(INT)),
	AGAIN(sched_getparam, NO, OUT(INT)),
	AGAIN(sched_setscheduler, NO, NO, IN(INT)),
	AGAIN(sched_rr_get_interval, NO, OUT(TIMESPEC)),
	AGAIN(sched_setattr, NO, IN(48)),
	AGAIN(sched_getattr, NO, OUT_N(2, 1)),
	AGAIN(sched_setaffinity, NO, NO, IN_N(1, 1)),
	AGAIN(sched_getaffinity, NO, NO, OUT_N(1, 1)),
	AGAIN(get_robust_list, NO, OUT(LONG), OUT(LONG)),
	BY(prctl, calls_prctl),
	AGAIN(seccomp, NO, NO, IN(2 * LONG)),
	AGAIN(add_key, STR, STR, IN_N(3, 1)),
	AGAIN(request_key, STR, STR, STR),
	AGAIN(init_module, IN_N(1, 1), NO, STR),
	AGAIN(finit_module, NO, STR),
	AGAIN(delete_module, STR),
	AGAIN(landlock_create_ruleset, IN_N(1, 1)),
	AGAIN(landlock_add_rule, NO, NO, IN(16)),

	/* System V. */
	BY(shmctl, calls_ipc),
	BY(msgctl, calls_ipc),
	BY(semctl, calls_ipc),
	BY(msgsnd, calls_ipc),
	BY(msgrcv, calls_ipc),
	AGAIN(semop, NO, IN_N(2, sizeof(struct sembuf))),
	AGAIN(semtimedop, NO, IN_N(2, sizeof(struct sembuf)), NO, IN(TIMESPEC)),

	/* Memory. */
	BY(mincore, calls_mincore),
	AGAIN(move_pages, NO, NO, IN_N(1, LONG), IN_N(1, INT), OUT_N(1, INT)),

	/* What the C library may not know yet, or not any more. */
#ifdef SYS_getrlimit
	AGAIN(getrlimit, NO, OUT(2 * LONG)),
	AGAIN(setrlimit, NO, IN(2 * LONG)),
#endif
#ifdef SYS_cachestat
	AGAIN(cachestat, NO, IN(2 * LONG), OUT(5 * LONG)),
#endif
#ifdef SYS_fchmodat2
	AGAIN(fchmodat2, NO, STR),
#endif
#ifdef SYS_statmount
	AGAIN(statmount, IN(3 * LONG), OUT_N(2, 1)),
	AGAIN(listmount, IN(3 * LONG), OUT_N(2, LONG)),
#endif
#ifdef SYS_setxattrat
	AGAIN(setxattrat, NO, STR, NO, STR, IN_N(5, 1)),
	AGAIN(getxattrat, NO, STR, NO, STR, IN_N(5, 1)),
	AGAIN(listxattrat, NO, STR, NO, OUT_N(4, 1)),
	AGAIN(removexattrat, NO, STR, NO, STR),
#endif
#ifdef SYS_file_getattr
	AGAIN(file_getattr, NO, STR, OUT_N(3, 1)),
	AGAIN(file_setattr, NO, STR, IN_N(3, 1)),
#endif
#ifdef __x86_64__
	/* What newer CPUs have only in a more general form. */
	AGAIN(open, STR),
	AGAIN(creat, STR),
	AGAIN(stat, STR, OUT(sizeof(struct stat))),
	AGAIN(lstat, STR, OUT(sizeof(struct stat))),
	AGAIN(access, STR),
	AGAIN(readlink, STR, OUT_N(2, 1)),
	AGAIN(mkdir, STR),
	AGAIN(rmdir, STR),
	AGAIN(mknod, STR),
	AGAIN(unlink, STR),
	AGAIN(link, STR, STR),
	AGAIN(symlink, STR, STR),
	AGAIN(rename, STR, STR),
	AGAIN(chmod, STR),
	AGAIN(chown, STR),
	AGAIN(lchown, STR),
	AGAIN(utime, STR, IN(2 * LONG)),
	AGAIN(utimes, STR, IN(4 * LONG)),
	AGAIN(futimesat, NO, STR, IN(4 * LONG)),
	AGAIN(ustat, NO, OUT(32)),
	AFTER(getdents, NO, OUT_R(2, 1)),
	AGAIN(pipe, OUT(2 * INT)),
	AGAIN(signalfd, NO, IN_N(2, 1)),
	AFTER(poll, INOUT_N(1, sizeof(struct pollfd))),
	BY(select, calls_select),
	AFTER(epoll_wait, NO, OUT_R(2, sizeof(struct epoll_event))),
	AGAIN(time, OUT(LONG)),
	AGAIN(modify_ldt, NO, INOUT_N(2, 1)),
#endif
};
/* clang-format on */

const struct calls_row *calls_row_of(long nr)
{
	if ((unsigned long)nr >= sizeof(table) / sizeof(table[0]) || table[nr].how == CALLS_PLAIN)
		return NULL;
	return &table[nr];
}
