/* SPDX-License-Identifier: MIT */
/* Signals: where handlers run, what they see, and what becomes of the calls that they interrupt. */
#include "any.h"

#include <fenv.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>

static _Atomic int handled;
static char *volatile handler_stack;
static sigset_t handler_mask;
static stack_t stack_inside;

static void note(int sig)
{
	(void)sig;
	handled++;
}

static void look_around(int sig, siginfo_t *info, void *context)
{
	(void)context;
	handler_stack = __builtin_frame_address(0);
	EQ(info->si_signo, sig);
	sigaltstack(NULL, &stack_inside);
	pthread_sigmask(SIG_SETMASK, NULL, &handler_mask);
	handled++;
}

static void install(int sig, void *handler, int flags)
{
	struct sigaction act = {.sa_flags = flags};

	act.sa_sigaction = handler;
	EQ(sigaction(sig, &act, NULL), 0);
}

static void on_alternate_stack(void)
{
	size_t size = 128 << 10;
	char *memory = malloc(size);
	stack_t alt = {.ss_sp = memory, .ss_size = size}, old;

	EQ(sigaltstack(&alt, &old), 0);
	CHECK(old.ss_flags & SS_DISABLE);
	install(SIGUSR1, look_around, SA_SIGINFO | SA_ONSTACK);
	handled = 0;
	raise(SIGUSR1);
	EQ(handled, 1);
	CHECK(handler_stack > memory && handler_stack < memory + size);
	CHECK(stack_inside.ss_flags & SS_ONSTACK);
	CHECK(sigismember(&handler_mask, SIGUSR1) == 1 && sigismember(&handler_mask, SIGUSR2) == 0);
	install(SIGUSR1, look_around, SA_SIGINFO | SA_NODEFER);
	raise(SIGUSR1);
	CHECK(handler_stack < memory || handler_stack > memory + size);
	EQ(sigismember(&handler_mask, SIGUSR1), 0);
	alt.ss_flags = SS_DISABLE;
	EQ(sigaltstack(&alt, &old), 0);
	CHECK(old.ss_sp == memory);
	free(memory);
}

static void masks(void)
{
	sigset_t all, now, before;

	sigfillset(&all);
	EQ(sigprocmask(SIG_SETMASK, &all, &before), 0);
	EQ(sigprocmask(SIG_SETMASK, NULL, &now), 0);
	for (int sig = 1; sig < 32; sig++)
		EQ(sigismember(&now, sig), sig != SIGKILL && sig != SIGSTOP);
	install(SIGSEGV, note, 0);
	install(SIGSYS, note, 0);
	handled = 0;
	kill(getpid(), SIGSEGV);
	kill(getpid(), SIGSYS);
	EQ(handled, 0);
	EQ(sigpending(&now), 0);
	CHECK(sigismember(&now, SIGSEGV) && sigismember(&now, SIGSYS));
	EQ(sigprocmask(SIG_SETMASK, &before, NULL), 0);
	EQ(handled, 2);
}

static void once(void)
{
	struct sigaction now;

	install(SIGUSR1, note, (int)SA_RESETHAND);
	handled = 0;
	raise(SIGUSR1);
	EQ(handled, 1);
	EQ(sigaction(SIGUSR1, NULL, &now), 0);
	CHECK(now.sa_handler == SIG_DFL);
}

struct sleeper {
	int fd;
	long got;
	int error;
};

static void *read_one(void *arg)
{
	struct sleeper *s = arg;
	char byte;

	s->got = read(s->fd, &byte, 1);
	s->error = errno;
	return NULL;
}

/* A read that sleeps is interrupted, or goes on. */
static void interrupted(int flags)
{
	struct sleeper s;
	struct thread t;
	int ends[2];

	EQ(pipe(ends), 0);
	s.fd = ends[0];
	install(SIGUSR1, note, flags);
	handled = 0;
	run(&t, read_one, &s);
	wait_asleep(&t);
	pthread_kill(t.id, SIGUSR1);
	while (!handled)
		sched_yield();
	if (flags & SA_RESTART) {
		wait_asleep(&t);
		CHECK(!t.done);
		EQ(write(ends[1], "x", 1), 1);
	}
	join(&t);
	EQ(s.got, flags & SA_RESTART ? 1 : -1);
	if (!(flags & SA_RESTART))
		EQ(s.error, EINTR);
	close(ends[0]);
	close(ends[1]);
}

/* The handler changes where the program goes on, and a vector register. */
static void change_context(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	(void)info;
	uc->uc_mcontext.gregs[REG_RBX] = 0x1234;
	uc->uc_mcontext.fpregs->_xmm[7].element[0] = 77;
}

static void change_registers(void)
{
	uint64_t rbx = 1, pid = (uint64_t)getpid(), tid = (uint64_t)syscall(SYS_gettid);
	uint32_t xmm = 5;

	install(SIGUSR1, change_context, SA_SIGINFO);
	__asm__ volatile("movd %[x], %%xmm7\n"
			 "mov %[b], %%rbx\n"
			 "mov $234, %%eax\n"
			 "mov $10, %%edx\n"
			 "syscall\n"
			 "mov %%rbx, %[b]\n"
			 "movd %%xmm7, %[x]\n"
			 : [b] "+r"(rbx), [x] "+r"(xmm)
			 : "D"(pid), "S"(tid)
			 : "rax", "rbx", "rcx", "rdx", "r11", "xmm7", "memory");
	EQ(rbx, 0x1234);
	EQ(xmm, 77);
}

/* A timer that strikes all the time, at and around system calls: none of them shows it. */
static void storm(void)
{
	struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
	pid_t pid = getpid();
	char byte = 0;
	int ends[2];

	EQ(pipe(ends), 0);
	install(SIGALRM, note, SA_RESTART);
	handled = 0;
	EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
	for (int i = 0; i < 20000 || handled < 100; i++) {
		EQ(RAW(SYS_getppid), getppid());
		EQ(RAW(SYS_getpid), pid);
		byte = (char)i;
		EQ(RAW(SYS_write, ends[1], &byte, 1), 1);
		byte = 0;
		EQ(RAW(SYS_read, ends[0], &byte, 1), 1);
		EQ(byte, (char)i);
	}
	EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
	signal(SIGALRM, SIG_DFL);
}

/* All registers but those that the ABI names survive a system call, and so do the flags. */
static void registers_kept(void)
{
	uint64_t in[6] = {11, 12, 13, 14, 15, 16}, out[6], flags;

	__asm__ volatile("mov 0(%[in]), %%rdi\n"
			 "mov 8(%[in]), %%rsi\n"
			 "mov 16(%[in]), %%rdx\n"
			 "mov 24(%[in]), %%r10\n"
			 "mov 32(%[in]), %%r8\n"
			 "mov 40(%[in]), %%r9\n"
			 "mov $39, %%eax\n"
			 "stc\n"
			 "syscall\n"
			 "pushf\n"
			 "pop %[flags]\n"
			 "mov %%rdi, 0(%[out])\n"
			 "mov %%rsi, 8(%[out])\n"
			 "mov %%rdx, 16(%[out])\n"
			 "mov %%r10, 24(%[out])\n"
			 "mov %%r8, 32(%[out])\n"
			 "mov %%r9, 40(%[out])\n"
			 : [flags] "=&r"(flags)
			 : [in] "r"(in), [out] "r"(out)
			 : "rax", "rdi", "rsi", "rdx", "r10", "r8", "r9", "rcx", "r11", "memory");
	EQ(memcmp(in, out, sizeof(in)), 0);
	CHECK(flags & 1);
}

static void waits_with_mask(void)
{
	struct timespec limit = {30, 0};
	sigset_t block, none;

	install(SIGUSR2, note, 0);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR2);
	sigprocmask(SIG_BLOCK, &block, NULL);
	sigemptyset(&none);
	handled = 0;
	raise(SIGUSR2);
	EQ(handled, 0);
	ERR(sigsuspend(&none), EINTR);
	EQ(handled, 1);
	raise(SIGUSR2);
	ERR(ppoll(NULL, 0, &limit, &none), EINTR);
	EQ(handled, 2);
	raise(SIGUSR2);
	ERR(pselect(0, NULL, NULL, NULL, &limit, &none), EINTR);
	EQ(handled, 3);
	raise(SIGUSR2);
	EQ(sigtimedwait(&block, NULL, &limit), SIGUSR2);
	sigprocmask(SIG_UNBLOCK, &block, NULL);
	EQ(handled, 3);
}

int main(void)
{
	start();
	for (int round = 0; round < 2; round++) {
		on_alternate_stack();
		masks();
		once();
		interrupted(0);
		interrupted(SA_RESTART);
		change_registers();
		registers_kept();
		waits_with_mask();
		storm();
		/* And once more, where memory is managed. */
		if (round == 0) {
			int fd = uffd_open(0);

			EQ(reg(fd, map(4), 4 * PG, MISSING), 0);
		}
	}
	return 0;
}
