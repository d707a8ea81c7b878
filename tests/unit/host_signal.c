/* host_signal.c - the trap handler, signals of the program, waiting, the descriptor that is polled.
 */
#include "host_test.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

/* ---- Outcomes ---- */

static enum mm_outcome outcome;
static volatile uint64_t seen_addr;
static volatile bool seen_write;
/* Volatile in itself, too: the handlers that accesses run into look at it. */
static volatile char *volatile page;

static enum mm_outcome fixed_outcome(const struct mm_access *access)
{
	seen_addr = access->addr;
	seen_write = access->write;
	return outcome;
}

static void prepare(enum mm_outcome out)
{
	test_start();
	CHECK(host_arm() == 0);
	page = mmap(NULL, PAGES(2), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	outcome = out;
	test_fault = fixed_outcome;
}

static volatile sig_atomic_t got_sig, got_code, calls;
static void *volatile got_addr;
static sigset_t got_mask;
static sigjmp_buf back;

static void leave(int sig, siginfo_t *info, void *context)
{
	(void)context;
	got_sig = sig;
	got_code = info->si_code;
	got_addr = info->si_addr;
	calls++;
	sigprocmask(SIG_BLOCK, NULL, &got_mask);
	siglongjmp(back, 1);
}

static void repair(int sig, siginfo_t *info, void *context)
{
	(void)context;
	got_sig = sig;
	got_code = info->si_code;
	got_addr = info->si_addr;
	calls++;
	sigprocmask(SIG_BLOCK, NULL, &got_mask);
	mprotect((void *)page, PAGES(2), PROT_READ | PROT_WRITE);
}

static void program_action(void (*fn)(int, siginfo_t *, void *), uint64_t flags, uint64_t mask)
{
	struct host_sigaction act = {(void *)fn, flags | SA_SIGINFO, mask};

	host_program_sigsegv(&act, NULL);
}

static void access_is_told_exactly(void)
{
	prepare(MM_UNMANAGED);
	program_action(leave, 0, 0);
	if (sigsetjmp(back, 1) == 0)
		page[1234] = 1;
	CHECK(seen_addr == (uint64_t)page + 1234 && seen_write);
	if (sigsetjmp(back, 1) == 0)
		(void)page[77];
	CHECK(seen_addr == (uint64_t)page + 77 && !seen_write);
	CHECK(calls == 2);
}

static void sigbus_is_native(void)
{
	struct sigaction act = {.sa_sigaction = leave, .sa_flags = SA_SIGINFO};

	prepare(MM_SIGBUS);
	sigemptyset(&act.sa_mask);
	sigaction(SIGBUS, &act, NULL);
	if (sigsetjmp(back, 1) == 0)
		page[4097] = 1;
	CHECK(got_sig == SIGBUS && got_code == BUS_ADRERR && got_addr == page + 4097);
	CHECK(sigismember(&got_mask, SIGBUS) && !sigismember(&got_mask, SIGUSR1));
}

static int status_of(void (*fn)(void))
{
	struct rlimit none = {0, 0};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGBUS, SIG_DFL);
		fn();
		_exit(0);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	return status;
}

static void touch(void)
{
	page[0] = 1;
}

static void touch_sigbus_blocked(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	sigprocmask(SIG_BLOCK, &set, NULL);
	touch();
}

static void touch_sigbus_ignored(void)
{
	signal(SIGBUS, SIG_IGN);
	touch();
}

static void send_segv(void)
{
	raise(SIGSEGV);
}

static bool died_of(void (*fn)(void), int sig)
{
	int status = status_of(fn);

	return WIFSIGNALED(status) && WTERMSIG(status) == sig;
}

static void deaths_are_native(void)
{
	struct host_sigaction act = {(void *)SIG_DFL, 0, 0};

	prepare(MM_SIGBUS);
	host_program_sigsegv(&act, NULL);
	CHECK(died_of(touch, SIGBUS));
	CHECK(died_of(touch_sigbus_blocked, SIGBUS));
	CHECK(died_of(touch_sigbus_ignored, SIGBUS));
	outcome = MM_SIGSEGV;
	CHECK(died_of(touch, SIGSEGV));
	outcome = MM_UNMANAGED;
	CHECK(died_of(touch, SIGSEGV));
	CHECK(died_of(send_segv, SIGSEGV));
	act.handler = (void *)SIG_IGN;
	host_program_sigsegv(&act, NULL);
	CHECK(died_of(touch, SIGSEGV));
	CHECK(status_of(send_segv) == 0);
}

static void handler_may_repair(void)
{
	prepare(MM_SIGSEGV);
	program_action(repair, 0, SIG_BIT(SIGUSR1));
	page[9] = 5;
	CHECK(calls == 1 && page[9] == 5 && got_code == SEGV_ACCERR && got_addr == page + 9);
	CHECK(sigismember(&got_mask, SIGUSR1) && !sigismember(&got_mask, SIGUSR2));
	CHECK(!sigismember(&got_mask, SIGSEGV));
	sigprocmask(SIG_BLOCK, NULL, &got_mask);
	CHECK(!sigismember(&got_mask, SIGUSR1));
}

static void sent_signals_arrive(void)
{
	prepare(MM_UNMANAGED);
	program_action(repair, 0, 0);
	raise(SIGSEGV);
	CHECK(calls == 1 && got_code == SI_TKILL);
	kill(getpid(), SIGSEGV);
	CHECK(calls == 2 && got_code == SI_USER);
}

static void resethand_is_once(void)
{
	struct host_sigaction now;

	prepare(MM_UNMANAGED);
	program_action(repair, SA_RESETHAND, 0);
	page[0] = 1;
	CHECK(calls == 1);
	host_program_sigsegv(NULL, &now);
	CHECK(now.handler == (void *)SIG_DFL);
	mprotect((void *)page, PAGES(1), PROT_NONE);
	CHECK(died_of(touch, SIGSEGV));
}

static void earlier_handler_is_kept(void)
{
	struct sigaction act = {.sa_sigaction = repair, .sa_flags = SA_SIGINFO};
	struct host_sigaction now;

	test_start();
	sigaction(SIGSEGV, &act, NULL);
	CHECK(!host_armed());
	CHECK(host_arm() == 0 && host_armed());
	host_program_sigsegv(NULL, &now);
	CHECK(now.handler == (void *)repair && (now.flags & SA_SIGINFO));
	prepare(MM_UNMANAGED);
	page[3] = 1;
	CHECK(calls == 1);
}

/* ---- Copies ---- */

static enum mm_outcome make_accessible(const struct mm_access *access)
{
	mprotect((void *)(access->addr & UF_PAGE_MASK), UF_PAGE_SIZE, PROT_READ | PROT_WRITE);
	calls++;
	return MM_RETRY;
}

static void copies_fault_and_fail(void)
{
	char buf[6000];
	char *hole;

	prepare(MM_UNMANAGED);
	program_action(leave, 0, 0);
	hole = (char *)page + PAGES(1);
	CHECK(mprotect((void *)page, UF_PAGE_SIZE, PROT_READ | PROT_WRITE) == 0);
	memset((char *)page, 'c', UF_PAGE_SIZE);
	CHECK(mach_copy_in(buf, (uint64_t)page, 4096) == 0 && buf[4095] == 'c');
	CHECK(mach_copy_in(buf, (uint64_t)page + 1, 4096) == -EFAULT);
	CHECK(mach_copy_out((uint64_t)hole, buf, 1) == -EFAULT);
	CHECK(mach_copy_in(buf, 0, 8) == -EFAULT);
	CHECK(mach_copy_in(buf, 0xffff800000000000ull, 8) == -EFAULT);
	CHECK(mach_copy_in(buf, 0x0123456789abcdefull, 8) == -EFAULT);
	CHECK(mach_copy_in(buf, mach_task_size() - 4, 8) == -EFAULT);
	CHECK(mach_copy_in(buf, ~0ull, 8) == -EFAULT);
	CHECK(mach_copy_in(buf, 0, 0) == 0);
	outcome = MM_SIGBUS;
	CHECK(mach_copy_in(buf, (uint64_t)hole, 8) == -EFAULT);
	outcome = MM_SIGSEGV;
	CHECK(mach_copy_in(buf, (uint64_t)hole, 8) == -EFAULT);
	CHECK(calls == 0);
	test_fault = make_accessible;
	CHECK(mach_copy_in(buf, (uint64_t)page + 4000, 200) == 0 && calls == 1);
	CHECK(buf[95] == 'c' && buf[96] == 0);
	mprotect(hole, UF_PAGE_SIZE, PROT_READ);
	CHECK(mach_copy_out((uint64_t)hole, "xyz", 3) == 0 && memcmp(hole, "xyz", 3) == 0);
}

/* ---- Stacks ---- */

static void *overflow_free_thread(void *arg)
{
	stack_t st, none = {.ss_flags = SS_DISABLE};

	/* A sanitizer may have given it one. */
	CHECK(sigaltstack(&none, NULL) == 0);
	CHECK(host_altstack_enter() == 0);
	CHECK(host_altstack_enter() == 0);
	CHECK(sigaltstack(NULL, &st) == 0 && !(st.ss_flags & SS_DISABLE));
	CHECK(host_owns((uint64_t)st.ss_sp, st.ss_size));
	memset(st.ss_sp, 1, st.ss_size);
	*(void **)arg = st.ss_sp;
	host_altstack_leave();
	CHECK(sigaltstack(NULL, &st) == 0 && (st.ss_flags & SS_DISABLE));
	return NULL;
}

static void altstacks_are_reused(void)
{
	void *first = NULL, *sp = NULL;
	static char stack[1 << 16];
	stack_t mine = {.ss_sp = stack, .ss_size = sizeof(stack)}, st;

	test_start();
	for (int i = 0; i < 2000; i++) {
		pthread_t t;

		CHECK(pthread_create(&t, NULL, overflow_free_thread, &sp) == 0);
		pthread_join(t, NULL);
		first = first ? first : sp;
		CHECK(sp == first);
	}
	/* A program's own is left alone. */
	CHECK(sigaltstack(&mine, NULL) == 0);
	CHECK(host_altstack_enter() == 0);
	host_altstack_leave();
	CHECK(sigaltstack(NULL, &st) == 0 && st.ss_sp == mine.ss_sp);
	CHECK(!(st.ss_flags & SS_DISABLE));
}

/* A thread whose own stack is closed below where it is now: served on the alternate one. */
static __attribute__((noinline)) char use_stack(unsigned char fill)
{
	volatile char deep[1 << 16];

	for (size_t i = sizeof(deep); i > 0; i -= 512)
		deep[i - 1] = (char)fill;
	return deep[511];
}

static void *close_own_stack(void *arg)
{
	pthread_attr_t attr;
	uint64_t here = (uint64_t)&attr & UF_PAGE_MASK;
	size_t size;
	void *base;

	(void)arg;
	CHECK(host_altstack_enter() == 0);
	CHECK(pthread_getattr_np(pthread_self(), &attr) == 0);
	CHECK(pthread_attr_getstack(&attr, &base, &size) == 0);
	pthread_attr_destroy(&attr);
	CHECK(mprotect(base, here - PAGES(1) - (uint64_t)base, PROT_NONE) == 0);
	CHECK(use_stack('s') == 's' && calls >= 14);
	host_altstack_leave();
	mprotect(base, size, PROT_READ | PROT_WRITE);
	return NULL;
}

static void stack_faults_are_served(void)
{
	pthread_t t;

	prepare(MM_UNMANAGED);
	test_fault = make_accessible;
	CHECK(pthread_create(&t, NULL, close_own_stack, NULL) == 0);
	pthread_join(t, NULL);
}

/* ---- Waiting ---- */

static struct mach_waiter waiter;
static _Atomic int waits, interrupted;
static _Atomic bool touched;
static uint32_t spin_ns;

static enum mm_outcome wait_for_wake(const struct mm_access *access)
{
	mach_wait_init(&waiter);
	waits++;
	if (mach_wait(&waiter, access->trap, spin_ns) == -EINTR) {
		interrupted++;
		return MM_INTERRUPTED;
	}
	mprotect((void *)page, PAGES(2), PROT_READ | PROT_WRITE);
	return MM_RETRY;
}

static void *toucher(void *arg)
{
	(void)arg;
	page[5] = 'T';
	touched = true;
	return NULL;
}

static bool asleep(void)
{
	return atomic_load(&waiter.state) == 2;
}

static void wake_reaches_sleeper(void)
{
	pthread_t t;

	prepare(MM_UNMANAGED);
	test_fault = wait_for_wake;
	for (int i = 0; i < 3000; i++) {
		int had = waits;

		spin_ns = i % 2 ? 0 : 20000;
		mprotect((void *)page, PAGES(2), PROT_NONE);
		CHECK(pthread_create(&t, NULL, toucher, NULL) == 0);
		while (waits == had || (i % 3 == 0 && !asleep()))
			sched_yield();
		mach_wake(&waiter);
		pthread_join(t, NULL);
		CHECK(waits == had + 1 && page[5] == 'T');
	}
	CHECK(interrupted == 0);
}

static volatile sig_atomic_t usr1;

static void count_usr1(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	CHECK(info->si_code == SI_TKILL || info->si_code == SI_USER || info->si_code == SI_QUEUE);
	usr1++;
}

static void signals_interrupt_a_wait(void)
{
	struct sigaction act = {.sa_sigaction = count_usr1, .sa_flags = SA_SIGINFO};
	pthread_t t;

	prepare(MM_UNMANAGED);
	test_fault = wait_for_wake;
	sigaction(SIGUSR1, &act, NULL);
	sigaction(SIGRTMIN, &act, NULL);
	program_action(repair, 0, 0);
	CHECK(pthread_create(&t, NULL, toucher, NULL) == 0);
	for (int i = 1; i <= 200; i++) {
		while (waits < i || !asleep())
			sched_yield();
		pthread_kill(t, i % 2 ? SIGUSR1 : SIGRTMIN);
	}
	while (waits < 201 || !asleep())
		sched_yield();
	CHECK(usr1 == 200 && interrupted == 200);
	/* Ignored ones do not. */
	pthread_kill(t, SIGCHLD);
	pthread_kill(t, SIGWINCH);
	signal(SIGUSR2, SIG_IGN);
	pthread_kill(t, SIGUSR2);
	mach_wake(&waiter);
	pthread_join(t, NULL);
	CHECK(waits == 201 && interrupted == 200 && calls == 0);
}

/* A signal and the wake-up at the same time: neither is lost, nothing is left over. */
static void signals_race_with_wakes(void)
{
	struct sigaction act = {.sa_sigaction = count_usr1, .sa_flags = SA_SIGINFO};
	pthread_t t;

	prepare(MM_UNMANAGED);
	test_fault = wait_for_wake;
	sigaction(SIGUSR1, &act, NULL);
	for (int i = 1; i <= 3000; i++) {
		int had = waits, cut = interrupted;

		mprotect((void *)page, PAGES(2), PROT_NONE);
		touched = false;
		CHECK(pthread_create(&t, NULL, toucher, NULL) == 0);
		while (waits == had || !asleep())
			sched_yield();
		pthread_kill(t, SIGUSR1);
		for (volatile int k = 0; k < i % 50 * 20; k++)
			;
		mach_wake(&waiter);
		/* A wait that the signal ended is followed by another. */
		while (!touched) {
			if (asleep())
				mach_wake(&waiter);
			sched_yield();
		}
		pthread_join(t, NULL);
		CHECK(usr1 == i && interrupted - cut <= 1 && page[5] == 'T');
	}
	CHECK(calls == 0);
}

static void *waits_without_trap(void *arg)
{
	struct mach_entry e;

	mach_enter(&e);
	mach_wait_init(arg);
	waits++;
	CHECK(mach_wait(arg, NULL, 0) == 0);
	mach_leave(&e);
	return NULL;
}

static void waits_outside_traps_last(void)
{
	struct sigaction act = {.sa_sigaction = count_usr1, .sa_flags = SA_SIGINFO};
	pthread_t t;

	prepare(MM_UNMANAGED);
	sigaction(SIGUSR1, &act, NULL);
	program_action(repair, 0, 0);
	CHECK(pthread_create(&t, NULL, waits_without_trap, &waiter) == 0);
	while (waits == 0 || !asleep())
		sched_yield();
	pthread_kill(t, SIGUSR1);
	pthread_kill(t, SIGSEGV);
	for (int i = 0; i < 100; i++)
		sched_yield();
	CHECK(usr1 == 0 && calls == 0);
	mach_wake(&waiter);
	pthread_join(t, NULL);
	CHECK(usr1 == 1 && calls == 1);
}

static void wakes_without_signal_room(void)
{
	struct rlimit none = {0, 0};
	pthread_t t;

	prepare(MM_UNMANAGED);
	test_fault = wait_for_wake;
	program_action(repair, 0, 0);
	CHECK(setrlimit(RLIMIT_SIGPENDING, &none) == 0);
	CHECK(pthread_create(&t, NULL, toucher, NULL) == 0);
	while (waits == 0 || !asleep())
		sched_yield();
	mach_wake(&waiter);
	pthread_join(t, NULL);
	CHECK(page[5] == 'T' && calls == 0);
}

/* A callback inside the handler faults itself. */
static enum mm_outcome nested(const struct mm_access *access)
{
	static int depth;
	struct mach_entry e;

	if (access->addr >= (uint64_t)page + PAGES(1))
		return make_accessible(access);
	CHECK(depth++ == 0);
	mach_nest_begin(&e);
	page[PAGES(1)] = 'n';
	mach_nest_end(&e);
	depth--;
	return make_accessible(access);
}

static void traps_nest(void)
{
	prepare(MM_UNMANAGED);
	test_fault = nested;
	page[0] = 'o';
	CHECK(page[0] == 'o');
	CHECK(page[PAGES(1)] == 'n');
	CHECK(calls == 2);
}

static void enter_keeps_signals_out(void)
{
	struct sigaction act = {.sa_sigaction = count_usr1, .sa_flags = SA_SIGINFO};
	struct mach_entry a, b;

	test_start();
	sigaction(SIGUSR1, &act, NULL);
	mach_enter(&a);
	raise(SIGUSR1);
	mach_enter(&b);
	mach_leave(&b);
	CHECK(usr1 == 0);
	mach_leave(&a);
	CHECK(usr1 == 1);
}

static void clock_runs_forward(void)
{
	uint64_t last, begin;

	test_start();
	begin = last = mach_now();
	while (last - begin < 50000000) {
		struct timespec t;
		uint64_t now = mach_now(), theirs;

		CHECK(now >= last);
		last = now;
		clock_gettime(CLOCK_MONOTONIC, &t);
		theirs = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
		CHECK(theirs + 2000000 > now);
		/* Between the two readings somebody else may have had the CPU. */
		CHECK(mach_now() + 2000000 > theirs);
	}
}

/* ---- The polled descriptor ---- */

static short events(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};

	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

#define NOTIFY_ID 0x7b00000000000123ull

static void levels(int flags)
{
	struct mach_notify n, other;
	int fd, source, second;

	CHECK(mach_notify_create(&n, flags, NOTIFY_ID, &fd) == 0);
	CHECK(host_owns_fd(n.fd) && !host_owns_fd(fd) && n.fd >= 3);
	CHECK(fcntl(n.fd, F_GETFD) & FD_CLOEXEC);
	CHECK(!(fcntl(fd, F_GETFD) & FD_CLOEXEC) == !(flags & O_CLOEXEC));
	CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK) == !(flags & O_NONBLOCK));
	CHECK(events(fd) == 0);
	mach_notify_set(&n, false);
	for (int i = 0; i < 3; i++) {
		mach_notify_set(&n, true);
		mach_notify_set(&n, true);
		CHECK(events(fd) == POLLIN);
		mach_notify_set(&n, false);
		mach_notify_set(&n, false);
		CHECK(events(fd) == 0);
	}
	/* Two descriptors never have one id. */
	CHECK(mach_notify_create(&other, flags, NOTIFY_ID, &second) == -EEXIST);
	/* The last one of them is what counts, wherever it is. */
	second = dup(fd);
	CHECK(mach_notify_held(&n) == 1);
	close(fd);
	CHECK(mach_notify_held(&n) == 1);
	pid_t child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	close(second);
	CHECK(mach_notify_held(&n) == 1);
	CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
	CHECK(mach_notify_held(&n) == 0);
	source = n.fd;
	mach_notify_destroy(&n);
	CHECK(n.fd == -1 && !host_owns_fd(source) && fcntl(source, F_GETFD) == -1);
}

static void notify_is_a_level(void)
{
	test_start();
	levels(0);
	levels(O_NONBLOCK);
	levels(O_CLOEXEC);
	levels(O_CLOEXEC | O_NONBLOCK);
}

static void notify_wakes_epoll_edges(void)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	struct mach_notify n;
	int fd, ep;

	test_start();
	CHECK(mach_notify_create(&n, 0, NOTIFY_ID, &fd) == 0);
	ep = epoll_create1(0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == 0);
	CHECK(epoll_wait(ep, &ev, 1, 0) == 0);
	for (int i = 0; i < 3; i++) {
		mach_notify_set(&n, true);
		CHECK(epoll_wait(ep, &ev, 1, 0) == 1);
		CHECK(epoll_wait(ep, &ev, 1, 0) == 0);
	}
}

static void descriptors_run_out(void)
{
	struct rlimit lim, had;
	struct mach_notify n[64];
	int fd[64], i, err = 0;

	test_start();
	CHECK(getrlimit(RLIMIT_NOFILE, &had) == 0);
	lim = (struct rlimit){40, had.rlim_max};
	CHECK(setrlimit(RLIMIT_NOFILE, &lim) == 0);
	for (i = 0; i < 64 && err == 0; i++)
		err = mach_notify_create(&n[i], 0, NOTIFY_ID + i, &fd[i]);
	CHECK(err == -EMFILE && i > 10);
	/* A failure leaves nothing behind. */
	for (int k = 0; k < 100; k++)
		CHECK(mach_notify_create(&n[63], 0, NOTIFY_ID + 63, &fd[63]) == -EMFILE);
	mach_notify_destroy(&n[0]);
	close(fd[0]);
	CHECK(mach_notify_create(&n[0], 0, NOTIFY_ID, &fd[0]) == 0);
	CHECK(setrlimit(RLIMIT_NOFILE, &had) == 0);
}

static const struct test tests[] = {
	{"access_is_told_exactly", access_is_told_exactly},
	{"sigbus_is_native", sigbus_is_native},
	{"deaths_are_native", deaths_are_native},
	{"handler_may_repair", handler_may_repair},
	{"sent_signals_arrive", sent_signals_arrive},
	{"resethand_is_once", resethand_is_once},
	{"earlier_handler_is_kept", earlier_handler_is_kept},
	{"copies_fault_and_fail", copies_fault_and_fail},
	{"altstacks_are_reused", altstacks_are_reused},
	{"stack_faults_are_served", stack_faults_are_served},
	{"wake_reaches_sleeper", wake_reaches_sleeper},
	{"signals_interrupt_a_wait", signals_interrupt_a_wait},
	{"signals_race_with_wakes", signals_race_with_wakes},
	{"waits_outside_traps_last", waits_outside_traps_last},
	{"wakes_without_signal_room", wakes_without_signal_room},
	{"traps_nest", traps_nest},
	{"enter_keeps_signals_out", enter_keeps_signals_out},
	{"clock_runs_forward", clock_runs_forward},
	{"notify_is_a_level", notify_is_a_level},
	{"notify_wakes_epoll_edges", notify_wakes_epoll_edges},
	{"descriptors_run_out", descriptors_run_out},
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
