/*
 * hosted_gate.c - system calls of a hosted program that the gate has to see.
 *
 * In the gate all signals are blocked. Around a call that sleeps there they are let in with the
 * program's mask; one that comes ends the call, and is delivered when it has returned.
 */
#include "front/hosted.h"
#include "front/preload.h"

#include <string.h>
#include <sys/mman.h>

#include "front/calls.h"
#include "front/gate.h"
#include "front/huge.h"
#include "front/pass.h"
#include "userfault/abi.h"

#ifndef SYS_userfaultfd
#define SYS_userfaultfd 323
#endif

#define FD_SETS_MOST 1024 /* bits that are looked at */
#define PIECES_MOST  16	  /* and pieces of a message */

static bool is_ours(int fd)
{
	struct file *f FILE_REF = file_get(fd);

	return f != NULL;
}

/* It may be a userfaultfd from elsewhere, and the table is to know it. 0, or what is wrong. */
static int recognise(int fd)
{
	struct file *f FILE_REF = file_get(fd);

	return f ? 0 : ufd_recognise(fd, &f);
}

long hosted_gate_read(struct hosted_call *c)
{
	int err = recognise((int)c->a[0]);

	if (err)
		return err;
	return is_ours((int)c->a[0]) ? hosted_gate_call(c) : -EINVAL;
}

long hosted_gate_call(struct hosted_call *c)
{
	return gate_call(c->nr, c->a);
}

int hosted_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	struct timespec ts = {.tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000l};
	struct hosted_thread *t = hosted_self();

	return (int)SYS(SYS_ppoll, fds, n, timeout < 0 ? NULL : &ts, &t->mask, sizeof(t->mask));
}

int hosted_await(int fd)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};

	return hosted_poll(&one, 1, -1) == -EINTR ? -EINTR : 0;
}

/* Is the memory at addr there, to be looked at without care? */
static bool readable(uint64_t addr, size_t len)
{
	uint64_t at = addr, end = addr + len;
	char byte;

	if (!addr || end < addr)
		return false;
	for (; at < end; at = (at & UF_PAGE_MASK) + UF_PAGE_SIZE)
		if (mach_copy_in(&byte, at, 1) < 0)
			return false;
	return true;
}

static bool is_kind(int fd, enum file_kind kind)
{
	struct file *f FILE_REF = file_get_kind(fd, kind);

	return f != NULL;
}

/* The gate waits with a mask: the program's, if it has given none. */
static long own_mask(struct hosted_call *c)
{
	return (long)&c->t->mask;
}

static bool gate_poll(struct hosted_call *c, long *ret)
{
	struct timespec ts = {.tv_sec = c->a[2] / 1000, .tv_nsec = c->a[2] % 1000 * 1000000};

	if (!files_used || c->a[1] < 0 || c->a[1] > FD_SETS_MOST ||
	    !readable((uint64_t)c->a[0], (size_t)c->a[1] * sizeof(struct pollfd)) ||
	    !poll_concerns((struct pollfd *)c->a[0], (nfds_t)c->a[1]))
		return false;
	if (c->nr == SYS_poll) {
		c->nr = SYS_ppoll;
		c->a[2] = (int)c->a[2] < 0 ? 0 : (long)&ts;
		c->a[3] = 0;
	}
	if (!c->a[3]) {
		c->a[3] = own_mask(c);
		c->a[4] = sizeof(uint64_t);
	}
	*ret = hosted_gate_call(c);
	return true;
}

static bool set_concerns(const struct hosted_call *c)
{
	uint64_t words[FD_SETS_MOST / 64];
	long n = c->a[0] < FD_SETS_MOST ? c->a[0] : FD_SETS_MOST;

	for (unsigned i = 1; i <= 3; i++) {
		memset(words, 0, sizeof(words));
		if (n <= 0 || !c->a[i] ||
		    mach_copy_in(words, (uint64_t)c->a[i], ((size_t)n + 63) / 64 * 8) < 0)
			continue;
		for (int fd = 0; fd < n; fd++)
			if ((words[fd / 64] >> (fd % 64) & 1) && is_kind(fd, FILE_UFFD))
				return true;
	}
	return false;
}

/* select's time, as that of pselect6 which stands in for it. */
static int fetch_time(uint64_t given, struct timespec *ts)
{
	int64_t time[2];

	if (mach_copy_in(time, given, sizeof(time)) < 0)
		return -EFAULT;
	*ts = (struct timespec){.tv_sec = time[0] + time[1] / 1000000,
				.tv_nsec = time[1] % 1000000 * 1000};
	return 0;
}

static void give_time(uint64_t given, const struct timespec *ts)
{
	int64_t time[2] = {ts->tv_sec, ts->tv_nsec / 1000};

	mach_copy_out(given, time, sizeof(time));
}

static bool gate_select(struct hosted_call *c, long *ret)
{
	uint64_t given = c->nr == SYS_select ? (uint64_t)c->a[4] : 0;
	struct timespec ts;

	if (!files_used || !set_concerns(c))
		return false;
	if (given) {
		*ret = fetch_time(given, &ts);
		if (*ret)
			return true;
		c->a[4] = (long)&ts;
	}
	if (c->nr == SYS_select)
		c->a[5] = 0;
	if (!c->a[5]) {
		c->t->pair[0] = (uint64_t)own_mask(c);
		c->t->pair[1] = sizeof(uint64_t);
		c->a[5] = (long)c->t->pair;
	}
	c->nr = SYS_pselect6;
	*ret = hosted_gate_call(c);
	if (given)
		give_time(given, &ts);
	return true;
}

static bool gate_epoll(struct hosted_call *c, long *ret)
{
	if (!files_used || !is_kind((int)c->a[0], FILE_EPOLL))
		return false;
	if (c->nr == SYS_epoll_wait) {
		c->nr = SYS_epoll_pwait;
		c->a[4] = 0;
	}
	if (!c->a[4]) {
		c->a[4] = own_mask(c);
		c->a[5] = sizeof(uint64_t);
	}
	*ret = hosted_gate_call(c);
	return true;
}

/* ---- calls that move data ----------------------------------------------------------------------
 */

enum data {
	BUFFER,
	VECTOR,
	MESSAGE,
};

static bool data_of(long nr, enum data *d)
{
	switch (nr) {
	case SYS_read:
	case SYS_pread64:
	case SYS_write:
	case SYS_pwrite64:
	case SYS_recvfrom:
	case SYS_sendto:
		*d = BUFFER;
		return true;
	case SYS_readv:
	case SYS_preadv:
	case SYS_preadv2:
	case SYS_writev:
	case SYS_pwritev:
	case SYS_pwritev2:
		*d = VECTOR;
		return true;
	case SYS_recvmsg:
	case SYS_sendmsg:
		*d = MESSAGE;
		return true;
	}
	return false;
}

static bool vector_near(uint64_t addr, size_t n)
{
	struct iovec one;

	if (n > PIECES_MOST)
		return true;
	for (size_t i = 0; i < n; i++)
		if (mach_copy_in(&one, addr + i * sizeof(one), sizeof(one)) == 0 &&
		    mem_near_managed(one.iov_base, one.iov_len))
			return true;
	return false;
}

static bool near_managed(const struct hosted_call *c, enum data d)
{
	struct msghdr msg;

	switch (d) {
	case BUFFER:
		return mem_near_managed((void *)c->a[1], (size_t)c->a[2]);
	case VECTOR:
		return vector_near((uint64_t)c->a[1], (size_t)c->a[2]);
	case MESSAGE:
		break;
	}
	if (mach_copy_in(&msg, (uint64_t)c->a[1], sizeof(msg)) < 0)
		return false;
	return mem_near_managed(msg.msg_name, msg.msg_namelen) ||
	       mem_near_managed(msg.msg_control, msg.msg_controllen) ||
	       vector_near((uintptr_t)msg.msg_iov, msg.msg_iovlen);
}

/* A descriptor of ours may be in it, or of another process's that is one. */
static bool carries_files(const struct hosted_call *c)
{
	bool may = c->nr == SYS_sendmsg ? files_used : c->nr == SYS_recvmsg && pass_concerns();
	struct msghdr msg;

	return may && mach_copy_in(&msg, (uint64_t)c->a[1], sizeof(msg)) == 0 && msg.msg_controllen;
}

/* Is it about a file of ours, or about managed memory? */
static bool gate_data(struct hosted_call *c, enum data d, long *ret)
{
	if (!(files_used && is_ours((int)c->a[0])) && !huge_in_use() &&
	    !(front_managing() && near_managed(c, d)) && !carries_files(c))
		return false;
	*ret = hosted_gate_call(c);
	return true;
}

bool hosted_sleeps(long nr)
{
	enum data d;

	switch (nr) {
	case SYS_recvmmsg:
	case SYS_sendmmsg:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	case SYS_wait4:
	case SYS_waitid:
	case SYS_futex:
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
	case SYS_rt_sigtimedwait:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_msgsnd:
	case SYS_msgrcv:
	case SYS_mq_timedsend:
	case SYS_mq_timedreceive:
	case SYS_epoll_pwait2:
	case SYS_open:
	case SYS_openat:
		return true;
	}
	return data_of(nr, &d);
}

/* Would a read or a small write not sleep? Then no signal ends it, waiting or not. */
static bool is_ready(long nr, const long a[6])
{
	struct pollfd one = {.fd = (int)a[0], .events = POLLIN};

	switch (nr) {
	case SYS_write:
	case SYS_sendto:
		if (a[2] > PIPE_BUF)
			return false;
		one.events = POLLOUT;
		break;
	case SYS_read:
	case SYS_readv:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_accept:
	case SYS_accept4:
		break;
	default:
		return false;
	}
	return SYS(SYS_ppoll, &one, 1, &(struct timespec){0}, NULL, 8) > 0;
}

/* After a signal that has not been delivered yet nothing sleeps any more. */
long hosted_gate_sleep(long nr, const long a[6])
{
	struct hosted_thread *t = hosted_self();
	const uint64_t shut = ~HOSTED_SEGV;

	if (is_ready(nr, a))
		return SYS(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	return t->caught ? -EINTR : hosted_sleep(nr, a, &t->mask, &shut);
}

bool hosted_restartable(const struct hosted_call *c)
{
	enum data d;

	switch (c->nr) {
	case SYS_ioctl:
	case SYS_recvmmsg:
	case SYS_sendmmsg:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	case SYS_wait4:
	case SYS_waitid:
	case SYS_open:
	case SYS_openat:
		return true;
	case SYS_futex:
		return !c->a[3];
	}
	return data_of(c->nr, &d);
}

/* ---- which calls -------------------------------------------------------------------------------
 */

/* What the gate has to see whatever the arguments: none of them sleeps. */
static bool gate_always(long nr)
{
	switch (nr) {
	case SYS_userfaultfd:
	case SYS_mmap:
	case SYS_munmap:
	case SYS_mremap:
	case SYS_mprotect:
	case SYS_madvise:
	case SYS_process_madvise:
	case SYS_mlock:
	case SYS_mlock2:
	case SYS_munlock:
	case SYS_mlockall:
	case SYS_munlockall:
	case SYS_mincore:
	case SYS_close:
	case SYS_close_range:
	case SYS_dup:
	case SYS_dup2:
	case SYS_dup3:
	case SYS_ftruncate:
	case SYS_truncate:
	case SYS_fallocate:
	case SYS_memfd_create:
	case SYS_fstat:
	case SYS_fstatfs:
	case SYS_shmget:
	case SYS_shmat:
	case SYS_shmdt:
	case SYS_getrusage:
	case SYS_epoll_ctl:
	case SYS_io_uring_setup:
	case SYS_io_uring_register:
	case SYS_io_submit:
	case SYS_process_vm_readv:
	case SYS_process_vm_writev:
		return true;
	}
	return false;
}

/* It writes an answer when it is too late to fail, into managed memory. */
static bool answers_in_managed(const struct hosted_call *c)
{
	const struct calls_row *row = front_managing() ? calls_row_of(c->nr) : NULL;

	if (row && c->nr == SYS_msgrcv)
		return calls_managed((uint64_t)c->a[1], (uint64_t)c->a[2] + sizeof(long));
	if (!row || row->how != CALLS_AFTER)
		return false;
	for (unsigned i = 0; i < 6; i++) {
		const struct calls_arg *arg = &row->arg[i];
		uint64_t size = arg->unit;

		if (!c->a[i] || !(arg->flags & CALLS_OUT))
			continue;
		if (arg->kind == CALLS_COUNT || arg->kind == CALLS_RESULT)
			size *= (uint64_t)c->a[arg->index];
		else if (arg->kind == CALLS_LENGTH)
			size = sizeof(struct sockaddr_storage);
		if (calls_managed((uint64_t)c->a[i], size))
			return true;
	}
	return false;
}

bool hosted_gate(struct hosted_call *c, long *ret)
{
	enum data d;

	if (data_of(c->nr, &d))
		return gate_data(c, d, ret);
	switch (c->nr) {
	case SYS_poll:
	case SYS_ppoll:
		return gate_poll(c, ret);
	case SYS_select:
	case SYS_pselect6:
		return gate_select(c, ret);
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
		return gate_epoll(c, ret);
	case SYS_recvmmsg:
	case SYS_sendmmsg:
		if (!files_used && !front_managing())
			return false;
		break;
	case SYS_io_uring_enter:
		calls_uring_ready(c->a);
		return false;
	case SYS_ioctl:
		/* One of a userfaultfd, wherever that comes from. */
		if (((c->a[1] >> 8) & 0xff) == UF_API) {
			*ret = recognise((int)c->a[0]);
			if (*ret)
				return true;
			break;
		}
		__attribute__((fallthrough));
	case SYS_fcntl:
		if (!files_used || !is_ours((int)c->a[0]))
			return false;
		break;
	default:
		if (!gate_always(c->nr) && !answers_in_managed(c))
			return false;
		break;
	}
	*ret = hosted_gate_call(c);
	return true;
}
