/*
 * gate.c - system calls of the program, however they were caught.
 */
#include "front/gate.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "front/calls.h"
#include "front/hosted.h"
#include "front/huge_fd.h"
#include "front/pass.h"

#ifndef SYS_userfaultfd
#define SYS_userfaultfd 323
#endif

#define RSEQ_UNREGISTER 1

/* The call was made where libc lets its thread be cancelled. */
static __thread bool cancellable __attribute__((tls_model("initial-exec")));

static long kernel(long nr, const long a[6])
{
	return SYS(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

long gate_point(long nr, const long a[6])
{
	long ret;
	int type;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	ret = kernel(nr, a);
	pthread_setcanceltype(type, NULL);
	return ret;
}

static long with_points(bool on, long (*call)(long nr, const long a[6]), long nr, const long a[6])
{
	bool was = cancellable;
	long ret;

	cancellable = on;
	ret = call(nr, a);
	cancellable = was;
	return ret;
}

long gate_with_points(long (*call)(long nr, const long a[6]), long nr, const long a[6])
{
	return with_points(true, call, nr, a);
}

long gate_raw(long nr, const long a[6])
{
	if (unlikely(hosted_active) && hosted_sleeps(nr))
		return hosted_gate_sleep(nr, a);
	return likely(!cancellable) ? kernel(nr, a) : gate_point(nr, a);
}

long gate_others(long nr, const long a[6])
{
	return calls_do(nr, a);
}

/* ---- the program's memory ----------------------------------------------------------------------
 */

/* Before the first userfaultfd nothing catches a fault: the kernel copies. */
static int copy_unarmed(void *to, const void *from, size_t n)
{
	struct iovec dst = {to, n}, src = {(void *)from, n};
	long done = SYS(SYS_process_vm_readv, SYS(SYS_getpid), &dst, 1, &src, 1, 0);

	if (done == -ENOSYS || done == -EPERM) {
		memcpy(to, from, n);
		return 0;
	}
	return done == (long)n ? 0 : -EFAULT;
}

int gate_fetch(void *to, const void *from, size_t n)
{
	if (unlikely(calls_concern(from, n)))
		return calls_copy_in(to, (uintptr_t)from, n);
	return host_armed() ? mach_copy_in(to, (uintptr_t)from, n) : copy_unarmed(to, from, n);
}

int gate_give(void *to, const void *from, size_t n)
{
	if (unlikely(calls_concern(to, n)))
		return calls_copy_out((uintptr_t)to, from, n);
	return host_armed() ? mach_copy_out((uintptr_t)to, from, n) : copy_unarmed(to, from, n);
}

int gate_touch(const void *p, size_t n)
{
	uint64_t at = (uintptr_t)p, end = at + n;
	char byte;
	int err = 0;

	for (; !err && at < end; at = (at & UF_PAGE_MASK) + UF_PAGE_SIZE)
		err = gate_fetch(&byte, (void *)at, 1);
	return err;
}

int gate_string(char *room, const char *from)
{
	uint64_t at = (uintptr_t)from;
	size_t done = 0, part;
	int err;

	while (done < PATH_MAX) {
		part = UF_PAGE_SIZE - ((at + done) & ~UF_PAGE_MASK);
		part = part < PATH_MAX - done ? part : PATH_MAX - done;
		err = gate_fetch(room + done, from + done, part);
		if (err)
			return err;
		if (memchr(room + done, 0, part))
			return 0;
		done += part;
	}
	return -ENAMETOOLONG;
}

/* ---- memory ------------------------------------------------------------------------------------
 */

/* As the kernel answers: the break as it is now. */
static long call_brk(uint64_t to)
{
	uint64_t now = (uint64_t)SYS(SYS_brk, 0);

	if (to && to < now && mem_brk_down(now, to) < 0)
		return (long)now;
	return SYS(SYS_brk, to);
}

static bool call_memory(long nr, const long a[6], long *ret)
{
	uint64_t addr = (uint64_t)a[0];
	size_t len = (size_t)a[1];

	switch (nr) {
	case SYS_mmap:
		*ret = mem_mmap(addr, len, (int)a[2], (int)a[3], (int)a[4], (uint64_t)a[5]);
		return true;
	case SYS_munmap:
		*ret = mem_munmap(addr, len);
		return true;
	case SYS_mremap:
		*ret = mem_mremap(addr, len, (size_t)a[2], (int)a[3], (uint64_t)a[4]);
		return true;
	case SYS_mprotect:
		*ret = mem_mprotect(addr, len, (int)a[2]);
		return true;
	case SYS_madvise:
		*ret = mem_madvise(addr, len, (int)a[2]);
		return true;
	case SYS_process_madvise:
		*ret = mem_process_madvise((int)a[0], (const struct iovec *)a[1], (size_t)a[2],
					   (int)a[3], (unsigned)a[4]);
		return true;
	case SYS_mlock:
		*ret = mem_mlock(addr, len, false);
		return true;
	case SYS_mlock2:
		*ret = a[2] & ~MLOCK_ONFAULT ? -EINVAL : mem_mlock(addr, len, a[2]);
		return true;
	case SYS_munlock:
		*ret = mem_munlock(addr, len);
		return true;
	case SYS_mlockall:
		*ret = mem_mlockall((int)a[0]);
		return true;
	case SYS_munlockall:
		*ret = mem_munlockall();
		return true;
	case SYS_brk:
		*ret = front_managing() ? call_brk(addr) : kernel(nr, a);
		return true;
	case SYS_mincore:
		*ret = mincore_look(addr, len, (uint64_t)a[2]);
		return true;
	case SYS_shmget:
		*ret = huge_shmget((int)a[0], len, (int)a[2]);
		return true;
	case SYS_shmat:
		*ret = huge_shmat((int)a[0], (uint64_t)a[1], (int)a[2]);
		return true;
	case SYS_shmdt:
		*ret = huge_shmdt(addr);
		return true;
	}
	return false;
}

/* ---- processes ---------------------------------------------------------------------------------
 */

void gate_clones(uint64_t flags)
{
	if ((flags & (CLONE_VM | CLONE_THREAD | CLONE_VFORK)) == CLONE_VM &&
	    atomic_load_explicit(&front_live, memory_order_acquire))
		host_expect_siblings();
}

/* Only what leaves the calling thread on its stack can return here. */
static long call_fork(long nr, const long a[6], uint64_t flags)
{
	long ret;

	gate_clones(flags);
	if (flags & CLONE_VM)
		return kernel(nr, a);
	process_fork_begin(flags & CLONE_FILES);
	ret = kernel(nr, a);
	if (ret == 0)
		process_forked_child();
	else
		process_forked_parent();
	return ret;
}

/*
 * A vfork that returned here would leave its parent a stack that the child has been over: the
 * parent waits all the same, and the child has a copy.
 */
static long call_vfork(void)
{
	const long a[6] = {CLONE_VFORK | SIGCHLD};

	return call_fork(SYS_clone, a, 0);
}

static long call_clone3(const long a[6])
{
	uint64_t flags;

	if (gate_fetch(&flags, (void *)a[0], sizeof(flags)) < 0)
		return kernel(SYS_clone3, a);
	return call_fork(SYS_clone3, a, flags);
}

/* The strings of a list can be read, as far as their beginnings go. */
static int touch_list(char *const *list)
{
	const char *string;
	char first;
	int err;

	for (; list; list++) {
		err = gate_fetch(&string, list, sizeof(string));
		if (err || !string)
			return err;
		err = gate_fetch(&first, string, 1);
		if (err)
			return err;
	}
	return 0;
}

/*
 * The kernel writes to this area whenever the thread was off its CPU, and kills it if it cannot. So
 * it gets to know of none that may be closed. The area goes on to say that no CPU is known, as it
 * does before the first write, and who looks there asks in another way; libc ends a program whose
 * registration fails.
 */
static long call_rseq(const long a[6])
{
	if (!(a[2] & RSEQ_UNREGISTER) && front_managing() &&
	    calls_managed((uint64_t)a[0], (uint32_t)a[1]))
		return 0;
	return kernel(SYS_rseq, a);
}

static bool call_process(long nr, const long a[6], long *ret)
{
	switch (nr) {
	case SYS_userfaultfd:
		*ret = ufd_new((int)a[0]);
		thread_enter();
		return true;
	case SYS_fork:
		*ret = call_fork(nr, a, 0);
		return true;
	case SYS_clone:
		*ret = call_fork(nr, a, (uint64_t)a[0]);
		return true;
	case SYS_vfork:
		*ret = call_vfork();
		return true;
	case SYS_clone3:
		*ret = call_clone3(a);
		return true;
	case SYS_rseq:
		*ret = call_rseq(a);
		return true;
	case SYS_execve:
		*ret = touch_list((char *const *)a[2]);
		if (!*ret)
			*ret = process_execve((const char *)a[0], (char *const *)a[1],
					      (char *const *)a[2]);
		return true;
	case SYS_execveat:
		*ret = touch_list((char *const *)a[3]);
		if (!*ret)
			*ret = process_execveat((int)a[0], (const char *)a[1], (char *const *)a[2],
						(char *const *)a[3], (int)a[4]);
		return true;
	}
	return false;
}

/* ---- signals -----------------------------------------------------------------------------------
 */

static bool call_signals(long nr, const long a[6], long *ret)
{
	switch (nr) {
	case SYS_rt_sigprocmask:
		*ret = signals_raw_procmask((int)a[0], (const uint64_t *)a[1], (uint64_t *)a[2],
					    (size_t)a[3]);
		return true;
	case SYS_rt_sigaction:
		*ret = signals_raw_action((int)a[0], (const void *)a[1], (void *)a[2],
					  (size_t)a[3]);
		return true;
	case SYS_rt_sigpending:
		*ret = signals_raw_pending((uint64_t *)a[0], (size_t)a[1]);
		return true;
	case SYS_rt_sigsuspend:
		*ret = signals_raw_suspend((const uint64_t *)a[0], (size_t)a[1]);
		return true;
	case SYS_sigaltstack:
		*ret = signals_raw_altstack((const stack_t *)a[0], (stack_t *)a[1]);
		return true;
	}
	return false;
}

long gate_call(long nr, const long a[6])
{
	long ret;

	if (call_memory(nr, a, &ret) || gate_files(nr, a, &ret) || gate_paths(nr, a, &ret) ||
	    gate_wait(nr, a, &ret) || call_signals(nr, a, &ret) || call_process(nr, a, &ret))
		return ret;
	ret = gate_others(nr, a);
	if (unlikely(ret == -EINVAL) && (nr == SYS_read || nr == SYS_readv))
		gate_strange_file(nr, a, &ret);
	if (nr == SYS_recvmsg && ret >= 0 && pass_concerns())
		pass_received((uint64_t)a[1]);
	return ret;
}

/*
 * From a patched place. libc has made the thread cancellable at any instruction, if it is at one of
 * its cancellation points and there are several threads: only the kernel's own call is to be so.
 */
long gate_site(long nr, const long a[6]) __attribute__((visibility("hidden")));
long gate_site(long nr, const long a[6])
{
	int type = PTHREAD_CANCEL_DEFERRED;
	long ret;

	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
	if (type == PTHREAD_CANCEL_DEFERRED)
		return with_points(false, gate_call, nr, a);
	ret = with_points(true, gate_call, nr, a);
	pthread_setcanceltype(type, NULL);
	return ret;
}
