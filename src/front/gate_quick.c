/*
 * gate_quick.c - what can be told of a system call by a look at its number and its arguments.
 *
 * Compiled to use general registers only: a system call keeps the others, and saving them costs
 * more than the look.
 */
#include "front/gate_quick.h"

#include <sched.h>

#include "front/gate.h"
#include "front/huge.h"

enum {
	LOOK = 1,    /* not if none of the arguments concerns us */
	NEVER = 2,   /* not at all */
	ALWAYS = 4,  /* also in a process that has no userfaultfd (a child of one that has) */
	FILE_0 = 8,  /* the first argument is a descriptor */
	VECTOR = 16, /* the second is an array of buffers, as many as the third says */
};

/*
 * Bit n of pointers: argument n points to something of at most PIECE bytes. sized: an argument with
 * a buffer, and the one with its length, from 1 on; 0: none.
 */
struct look {
	uint8_t flags, pointers, sized, length;
};

#define PIECE	    4096u
#define VECTOR_MOST 8u

#define POINTERS(nr, mask)	   [nr] = {.flags = LOOK, .pointers = mask}
#define FILE_POINTERS(nr, mask)	   [nr] = {.flags = LOOK | FILE_0, .pointers = mask}
#define BUFFER(nr, mask, buf, len) [nr] = {LOOK, mask, (buf) + 1, (len) + 1}
#define FILE_BUFFER(nr, buf, len)  [nr] = {LOOK | FILE_0, 0, (buf) + 1, (len) + 1}

static const struct look looks[] = {
	/* Those that come back elsewhere, never, or twice; those about the calling code itself. */
	[SYS_clone] = {.flags = NEVER},
	[SYS_clone3] = {.flags = NEVER},
	[SYS_fork] = {.flags = NEVER},
	[SYS_vfork] = {.flags = NEVER},
	[SYS_exit] = {.flags = NEVER},
	[SYS_exit_group] = {.flags = NEVER},
	[SYS_rt_sigreturn] = {.flags = NEVER},
	[SYS_restart_syscall] = {.flags = NEVER},
	[SYS_arch_prctl] = {.flags = NEVER},
	[SYS_set_tid_address] = {.flags = NEVER},
	[SYS_set_robust_list] = {.flags = NEVER},

	/* Those that point nowhere. */
	[SYS_lseek] = {.flags = NEVER},
	[SYS_pause] = {.flags = NEVER},
	[SYS_alarm] = {.flags = NEVER},
	[SYS_getpid] = {.flags = NEVER},
	[SYS_getppid] = {.flags = NEVER},
	[SYS_gettid] = {.flags = NEVER},
	[SYS_getuid] = {.flags = NEVER},
	[SYS_geteuid] = {.flags = NEVER},
	[SYS_getgid] = {.flags = NEVER},
	[SYS_getegid] = {.flags = NEVER},
	[SYS_getpgid] = {.flags = NEVER},
	[SYS_setpgid] = {.flags = NEVER},
	[SYS_getpgrp] = {.flags = NEVER},
	[SYS_getsid] = {.flags = NEVER},
	[SYS_setsid] = {.flags = NEVER},
	[SYS_setuid] = {.flags = NEVER},
	[SYS_setgid] = {.flags = NEVER},
	[SYS_setreuid] = {.flags = NEVER},
	[SYS_setregid] = {.flags = NEVER},
	[SYS_setresuid] = {.flags = NEVER},
	[SYS_setresgid] = {.flags = NEVER},
	[SYS_setfsuid] = {.flags = NEVER},
	[SYS_setfsgid] = {.flags = NEVER},
	[SYS_umask] = {.flags = NEVER},
	[SYS_kill] = {.flags = NEVER},
	[SYS_tkill] = {.flags = NEVER},
	[SYS_tgkill] = {.flags = NEVER},
	[SYS_sched_yield] = {.flags = NEVER},
	[SYS_sched_getscheduler] = {.flags = NEVER},
	[SYS_sched_get_priority_max] = {.flags = NEVER},
	[SYS_sched_get_priority_min] = {.flags = NEVER},
	[SYS_getpriority] = {.flags = NEVER},
	[SYS_setpriority] = {.flags = NEVER},
	[SYS_personality] = {.flags = NEVER},
	[SYS_sync] = {.flags = NEVER},
	[SYS_fsync] = {.flags = NEVER},
	[SYS_fdatasync] = {.flags = NEVER},
	[SYS_syncfs] = {.flags = NEVER},
	[SYS_sync_file_range] = {.flags = NEVER},
	[SYS_fadvise64] = {.flags = NEVER},
	[SYS_readahead] = {.flags = NEVER},
	[SYS_flock] = {.flags = NEVER},
	[SYS_fchdir] = {.flags = NEVER},
	[SYS_fchmod] = {.flags = NEVER},
	[SYS_fchown] = {.flags = NEVER},
	[SYS_listen] = {.flags = NEVER},
	[SYS_shutdown] = {.flags = NEVER},
	[SYS_socket] = {.flags = NEVER},
	[SYS_eventfd2] = {.flags = NEVER},
	[SYS_epoll_create] = {.flags = NEVER},
	[SYS_epoll_create1] = {.flags = NEVER},
	[SYS_timerfd_create] = {.flags = NEVER},
	[SYS_timer_delete] = {.flags = NEVER},
	[SYS_timer_getoverrun] = {.flags = NEVER},
	[SYS_inotify_init] = {.flags = NEVER},
	[SYS_inotify_init1] = {.flags = NEVER},
	[SYS_inotify_rm_watch] = {.flags = NEVER},
	[SYS_msgget] = {.flags = NEVER},
	[SYS_semget] = {.flags = NEVER},
	[SYS_setns] = {.flags = NEVER},
	[SYS_unshare] = {.flags = NEVER},
	[SYS_reboot] = {.flags = NEVER},
	[SYS_vhangup] = {.flags = NEVER},
	[SYS_pidfd_open] = {.flags = NEVER},
	[SYS_ioperm] = {.flags = NEVER},
	[SYS_iopl] = {.flags = NEVER},

	/* Those that belong to us in every process. */
	[SYS_rt_sigprocmask] = {.flags = ALWAYS},
	[SYS_rt_sigaction] = {.flags = ALWAYS},
	[SYS_rt_sigpending] = {.flags = ALWAYS},
	[SYS_rt_sigsuspend] = {.flags = ALWAYS},
	[SYS_sigaltstack] = {.flags = ALWAYS},
	[SYS_execve] = {.flags = ALWAYS},
	[SYS_execveat] = {.flags = ALWAYS},
	[SYS_pidfd_getfd] = {.flags = ALWAYS},

	/* Of memory: those that do no harm if it comes under management at this very moment. */
	BUFFER(SYS_mprotect, 0, 0, 1),
	BUFFER(SYS_madvise, 0, 0, 1),
	BUFFER(SYS_msync, 0, 0, 1),

	FILE_BUFFER(SYS_read, 1, 2),
	FILE_BUFFER(SYS_write, 1, 2),
	FILE_BUFFER(SYS_pread64, 1, 2),
	FILE_BUFFER(SYS_pwrite64, 1, 2),
	FILE_BUFFER(SYS_getdents64, 1, 2),
	[SYS_readv] = {.flags = LOOK | FILE_0 | VECTOR},
	[SYS_writev] = {.flags = LOOK | FILE_0 | VECTOR},
	[SYS_preadv] = {.flags = LOOK | FILE_0 | VECTOR},
	[SYS_pwritev] = {.flags = LOOK | FILE_0 | VECTOR},
	[SYS_preadv2] = {.flags = LOOK | FILE_0 | VECTOR},
	[SYS_pwritev2] = {.flags = LOOK | FILE_0 | VECTOR},
	FILE_POINTERS(SYS_close, 0),
	FILE_POINTERS(SYS_dup, 0),
	FILE_POINTERS(SYS_ftruncate, 0),
	FILE_POINTERS(SYS_fstat, 1 << 1),
	FILE_POINTERS(SYS_fstatfs, 1 << 1),

	POINTERS(SYS_futex, 1 << 0 | 1 << 3 | 1 << 4),
	POINTERS(SYS_nanosleep, 1 << 0 | 1 << 1),
	POINTERS(SYS_clock_nanosleep, 1 << 2 | 1 << 3),
	POINTERS(SYS_clock_gettime, 1 << 1),
	POINTERS(SYS_clock_getres, 1 << 1),
	POINTERS(SYS_gettimeofday, 1 << 0 | 1 << 1),
	POINTERS(SYS_getitimer, 1 << 1),
	POINTERS(SYS_setitimer, 1 << 1 | 1 << 2),
	POINTERS(SYS_timer_settime, 1 << 2 | 1 << 3),
	POINTERS(SYS_timer_gettime, 1 << 1),
	POINTERS(SYS_rseq, 1 << 0),
	POINTERS(SYS_time, 1 << 0),
	POINTERS(SYS_times, 1 << 0),
	POINTERS(SYS_getcpu, 1 << 0 | 1 << 1),
	POINTERS(SYS_uname, 1 << 0),
	POINTERS(SYS_sysinfo, 1 << 0),
	POINTERS(SYS_prlimit64, 1 << 2 | 1 << 3),
	POINTERS(SYS_wait4, 1 << 1 | 1 << 3),
	POINTERS(SYS_waitid, 1 << 2 | 1 << 4),
	POINTERS(SYS_pipe2, 1 << 0),
	POINTERS(SYS_sched_getparam, 1 << 1),
	POINTERS(SYS_sched_setparam, 1 << 1),
	POINTERS(SYS_sched_setscheduler, 1 << 2),
	BUFFER(SYS_sched_getaffinity, 0, 2, 1),
	BUFFER(SYS_sched_setaffinity, 0, 2, 1),
	BUFFER(SYS_getrandom, 0, 0, 1),
	BUFFER(SYS_getcwd, 0, 0, 1),

	POINTERS(SYS_stat, 1 << 0 | 1 << 1),
	POINTERS(SYS_lstat, 1 << 0 | 1 << 1),
	POINTERS(SYS_newfstatat, 1 << 1 | 1 << 2),
	POINTERS(SYS_statx, 1 << 1 | 1 << 4),
	POINTERS(SYS_statfs, 1 << 0 | 1 << 1),
	POINTERS(SYS_access, 1 << 0),
	POINTERS(SYS_faccessat, 1 << 1),
	POINTERS(SYS_faccessat2, 1 << 1),
	POINTERS(SYS_chdir, 1 << 0),
	POINTERS(SYS_mkdir, 1 << 0),
	POINTERS(SYS_mkdirat, 1 << 1),
	POINTERS(SYS_rmdir, 1 << 0),
	POINTERS(SYS_unlink, 1 << 0),
	POINTERS(SYS_unlinkat, 1 << 1),
	POINTERS(SYS_rename, 1 << 0 | 1 << 1),
	POINTERS(SYS_renameat, 1 << 1 | 1 << 3),
	POINTERS(SYS_renameat2, 1 << 1 | 1 << 3),
	POINTERS(SYS_link, 1 << 0 | 1 << 1),
	POINTERS(SYS_linkat, 1 << 1 | 1 << 3),
	POINTERS(SYS_symlink, 1 << 0 | 1 << 1),
	POINTERS(SYS_symlinkat, 1 << 0 | 1 << 2),
	POINTERS(SYS_chmod, 1 << 0),
	POINTERS(SYS_fchmodat, 1 << 1),
	POINTERS(SYS_chown, 1 << 0),
	POINTERS(SYS_lchown, 1 << 0),
	POINTERS(SYS_fchownat, 1 << 1),
	POINTERS(SYS_utimensat, 1 << 1 | 1 << 2),

	BUFFER(SYS_connect, 0, 1, 2),
	BUFFER(SYS_bind, 0, 1, 2),
	POINTERS(SYS_accept, 1 << 1 | 1 << 2),
	POINTERS(SYS_accept4, 1 << 1 | 1 << 2),
	POINTERS(SYS_getsockname, 1 << 1 | 1 << 2),
	POINTERS(SYS_getpeername, 1 << 1 | 1 << 2),
	POINTERS(SYS_getsockopt, 1 << 3 | 1 << 4),
	BUFFER(SYS_setsockopt, 0, 3, 4),
	POINTERS(SYS_socketpair, 1 << 3),
	BUFFER(SYS_sendto, 1 << 4, 1, 2),
	BUFFER(SYS_recvfrom, 1 << 4 | 1 << 5, 1, 2),
};

#define LOOKS (sizeof(looks) / sizeof(looks[0]))

static int hidden_floor;

void gate_quick_start(int floor)
{
	hidden_floor = floor;
}

bool gate_never(long nr)
{
	return (unsigned long)nr < LOOKS && (looks[nr].flags & NEVER);
}

static bool near(long p, unsigned long n)
{
	uint64_t start = (uint64_t)p;

	return start < atomic_load_explicit(&mem_highest, memory_order_relaxed) &&
	       (start + n < start ||
		start + n > atomic_load_explicit(&mem_lowest, memory_order_relaxed));
}

/* Or too many to look at, or not to be looked at at all. */
static bool vector_near(long at, unsigned long n)
{
	struct iovec iov[VECTOR_MOST];
	unsigned i;

	if (n > VECTOR_MOST || near(at, n * sizeof(*iov)) ||
	    cpu_copy_nofault(iov, (const void *)at, n * sizeof(*iov)) != 0)
		return true;
	for (i = 0; i < n; i++)
		if (near((long)iov[i].iov_base, iov[i].iov_len))
			return true;
	return false;
}

static bool any_near(const struct look *l, const long a[6])
{
	unsigned left, i;

	if ((l->flags & VECTOR) && vector_near(a[1], (unsigned long)a[2]))
		return true;
	if (l->sized && near(a[l->sized - 1], (unsigned long)a[l->length - 1]))
		return true;
	for (left = l->pointers; left; left &= left - 1) {
		i = (unsigned)__builtin_ctz(left);
		if (near(a[i], PIECE))
			return true;
	}
	return false;
}

static bool concerns_files(int fd)
{
	return atomic_load_explicit(&files_used, memory_order_relaxed) &&
	       (fd >= hidden_floor || file_known(fd));
}

bool gate_quick(long nr, const long a[6])
{
	const struct look *l = (unsigned long)nr < LOOKS ? &looks[nr] : NULL;

	if (nr == SYS_clone)
		return a[0] & CLONE_VM;
	if (l && (l->flags & NEVER))
		return true;
	if (!atomic_load_explicit(&front_live, memory_order_relaxed))
		return !(l && (l->flags & ALWAYS)) && !huge_in_use();
	if (!l || !(l->flags & LOOK) || huge_in_use())
		return false;
	if ((l->flags & FILE_0) && concerns_files((int)a[0]))
		return false;
	return !front_managing() || !any_near(l, a);
}
