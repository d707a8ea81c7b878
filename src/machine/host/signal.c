/*
 * signal.c - the trap handler, and the program's own SIGSEGV behind it.
 *
 * The handler runs with every signal blocked but the two that a CPU raises: code inside it, above
 * all a handler's callback, may fault itself.
 */
#include "machine/host/internal.h"
#include "mm/mm.h"

#define PROGRAM_DFL ((void *)0)
#define PROGRAM_IGN ((void *)1)

static _Atomic uint32_t armed;
static struct mach_lock action_lock;
static struct host_sigaction program;

static void trap(int sig, siginfo_t *info, void *context);
static void (*go_on)(ucontext_t *uc);

/* The program's action for SIGSEGV, or what the host has for another signal. */
static void set_native(int sig, void *handler)
{
	struct sys_sigaction act = {.handler = handler};

	sys_sigaction(sig, &act, NULL);
}

void host_when_asked(void (*fn)(ucontext_t *uc))
{
	go_on = fn;
}

bool host_armed(void)
{
	return atomic_load_explicit(&armed, memory_order_acquire) != 0;
}

/*
 * A SIGSEGV that other processes send for ours ends no system call that can begin again; one that
 * is for the program does, if the program has a handler that says so.
 */
static int install_trap(void)
{
	bool ends = program.handler != PROGRAM_DFL && program.handler != PROGRAM_IGN &&
		    !(program.flags & SA_RESTART);
	struct sys_sigaction act = {
		.handler = (void *)trap,
		.flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | (ends ? 0 : SA_RESTART) |
			 cpu_sa_flags,
		.restorer = cpu_sigreturn,
		.mask = ~SIG_RAISED,
	};

	return sys_sigaction(SIGSEGV, &act, NULL);
}

/* Whoever had SIGSEGV before us keeps it: its action becomes the program's. */
int host_arm(void)
{
	struct sys_sigaction old;
	struct mach_entry e;
	int err = 0;

	if (host_armed())
		return 0;
	mach_enter(&e);
	mach_lock(&action_lock);
	if (!host_armed()) {
		err = sys_sigaction(SIGSEGV, NULL, &old);
		if (err == 0 && !program.handler)
			program = (struct host_sigaction){old.handler, old.flags, old.mask};
		if (err == 0)
			err = install_trap();
		if (err == 0)
			atomic_store(&armed, 1);
	}
	mach_unlock(&action_lock);
	mach_leave(&e);
	return err;
}

/* Until the handler is installed the host itself keeps the program's action. */
void host_program_sigsegv(const struct host_sigaction *set, struct host_sigaction *old)
{
	struct sys_sigaction now;
	struct mach_entry e;

	mach_enter(&e);
	mach_lock(&action_lock);
	if (!host_armed() && sys_sigaction(SIGSEGV, NULL, &now) == 0)
		program = (struct host_sigaction){now.handler, now.flags, now.mask};
	if (old)
		*old = program;
	if (set) {
		program = *set;
		if (!host_armed()) {
			now = (struct sys_sigaction){set->handler, set->flags | cpu_sa_flags,
						     cpu_sigreturn, set->mask};
			sys_sigaction(SIGSEGV, &now, NULL);
		} else {
			install_trap();
		}
	}
	mach_unlock(&action_lock);
	mach_leave(&e);
}

/* The word of the interrupted thread's mask, which sigreturn puts back. */
static uint64_t *context_mask(ucontext_t *uc)
{
	return (uint64_t *)&uc->uc_sigmask;
}

/* ---- Ends of a trap ---- */

static void queue_to_self(int sig, siginfo_t *info)
{
	sys_tgsigqueue(sys_getpid(), sys_gettid(), sig, info);
}

/* The signal is delivered by the host when the handler returns, with the trapped context. */
static void raise_sigbus(ucontext_t *uc, uint64_t addr)
{
	uint64_t mask = SIG_BIT(SIGBUS);
	struct sys_sigaction act;
	siginfo_t info;

	sys_sigprocmask(SIG_BLOCK, &mask, NULL);
	memset(&info, 0, sizeof(info));
	info.si_signo = SIGBUS;
	info.si_code = BUS_ADRERR;
	info.si_addr = (void *)addr;
	/* A real one that is blocked or ignored kills. */
	if ((*context_mask(uc) & SIG_BIT(SIGBUS)) ||
	    (sys_sigaction(SIGBUS, NULL, &act) == 0 && act.handler == PROGRAM_IGN)) {
		set_native(SIGBUS, PROGRAM_DFL);
		*context_mask(uc) &= ~SIG_BIT(SIGBUS);
	}
	queue_to_self(SIGBUS, &info);
}

/*
 * Let the host do what it does by default: a fault happens again when the handler returns, a signal
 * that was sent is sent again.
 */
static void die(siginfo_t *info, ucontext_t *uc)
{
	uint64_t mask = SIG_BIT(SIGSEGV);

	sys_sigprocmask(SIG_BLOCK, &mask, NULL);
	set_native(SIGSEGV, PROGRAM_DFL);
	*context_mask(uc) &= ~SIG_BIT(SIGSEGV);
	if (info->si_code <= 0)
		queue_to_self(SIGSEGV, info);
}

static struct host_sigaction take_action(void)
{
	struct host_sigaction act;

	mach_lock(&action_lock);
	act = program;
	if (act.flags & SA_RESETHAND)
		program = (struct host_sigaction){PROGRAM_DFL, 0, 0};
	mach_unlock(&action_lock);
	return act;
}

/* As the host would have: it may never return, by a long jump. */
static void call_program(const struct host_sigaction *act, siginfo_t *info, ucontext_t *uc)
{
	uint64_t mask = (*context_mask(uc) | act->mask) & ~SIG_BIT(SIGSEGV);

	sys_sigprocmask(SIG_SETMASK, &mask, NULL);
	if (act->flags & SA_SIGINFO)
		((void (*)(int, siginfo_t *, void *))act->handler)(SIGSEGV, info, uc);
	else
		((void (*)(int))act->handler)(SIGSEGV);
	mask = ~SIG_RAISED;
	sys_sigprocmask(SIG_SETMASK, &mask, NULL);
}

static void to_program(siginfo_t *info, ucontext_t *uc)
{
	struct host_sigaction act = take_action();

	if (act.handler == PROGRAM_IGN && info->si_code <= 0)
		return;
	if (act.handler == PROGRAM_DFL || act.handler == PROGRAM_IGN)
		die(info, uc);
	else
		call_program(&act, info, uc);
}

/* ---- The handler ---- */

static enum mm_outcome serve(const struct cpu_fault *fault, struct mach_trap *t, bool kernel)
{
	struct mm_access access = {
		.addr = fault->addr,
		.ip = kernel ? 0 : cpu_program_counter(t->uc),
		.write = fault->write,
		.exec = fault->exec,
		.kernel = kernel,
		.trap = t,
	};

	if (!mm_space_self || fault->key)
		return MM_UNMANAGED;
	return mm_fault(mm_space_self, &access);
}

/*
 * A thread may trap in memory that is managed, and find it gone, or allowed, when its handler gets
 * to look: the trap was ours all the same, and the access is to be tried again. So a fault is the
 * program's own only when the same one comes twice with no change between. One slot a thread, as
 * far as they do not collide; a collision costs another try.
 */
#define SEEN_SLOTS 64

static struct seen {
	_Atomic uint64_t addr, pc, changes;
} seen[SEEN_SLOTS];

static bool programs_own(const struct cpu_fault *fault, const ucontext_t *uc)
{
	struct seen *slot = &seen[sys_gettid() % SEEN_SLOTS];
	uint64_t pc = cpu_program_counter(uc), changes;
	bool again;

	if (!mm_space_self)
		return true;
	changes = atomic_load(&mm_space_self->changes);
	again = atomic_load(&slot->addr) == fault->addr && atomic_load(&slot->pc) == pc &&
		atomic_load(&slot->changes) == changes;
	atomic_store(&slot->addr, again ? 0 : fault->addr);
	atomic_store(&slot->pc, again ? 0 : pc);
	atomic_store(&slot->changes, changes);
	return again;
}

/* A fault in a copy of ours: the copy ends short instead of a signal. */
static void serve_copy(enum cpu_copy_kind kind, const struct cpu_fault *fault, struct mach_trap *t)
{
	if (kind == CPU_COPY_FAULT) {
		enum mm_outcome outcome = serve(fault, t, true);

		if (outcome == MM_RETRY || outcome == MM_INTERRUPTED)
			return;
		if (outcome != MM_SIGBUS && !programs_own(fault, t->uc))
			return;
	}
	cpu_copy_abort(t->uc);
}

static void trap(int sig, siginfo_t *info, void *context)
{
	struct mach_trap t = {.info = info, .uc = context};
	enum cpu_copy_kind kind;
	struct cpu_fault fault;

	(void)sig;
	if (wait_is_wakeup(info))
		return;
	if (wait_is_asked(info)) {
		if (go_on)
			go_on(t.uc);
		return;
	}
	if (!cpu_page_fault(t.uc, info, &fault)) {
		to_program(info, t.uc);
		return;
	}
	kind = cpu_copy_at(t.uc);
	if (kind != CPU_COPY_NONE) {
		serve_copy(kind, &fault, &t);
		return;
	}
	switch (serve(&fault, &t, false)) {
	case MM_RETRY:
	case MM_INTERRUPTED:
		break;
	case MM_SIGBUS:
		raise_sigbus(t.uc, fault.addr);
		break;
	case MM_SIGSEGV:
		if (!programs_own(&fault, t.uc))
			break;
		info->si_code = SEGV_ACCERR;
		to_program(info, t.uc);
		break;
	case MM_UNMANAGED:
		if (programs_own(&fault, t.uc))
			to_program(info, t.uc);
		break;
	}
}

/* ---- Entering ---- */

/*
 * The trap handler blocks what entering blocks, so that entering from a callback inside it has
 * nothing to do. That a thread is in one is told by its stack: it runs a little below a place where
 * a callback was begun. Who is further below, or finds no slot, blocks once more.
 */
#define NEST_SLOTS 32
#define NEST_DEPTH 8192

static _Atomic uint64_t nests[NEST_SLOTS];
static _Atomic uint32_t nest_count;

static bool nested(void)
{
	uint64_t sp = cpu_stack_pointer();

	if (atomic_load_explicit(&nest_count, memory_order_relaxed) == 0)
		return false;
	for (unsigned i = 0; i < NEST_SLOTS; i++) {
		uint64_t begin = atomic_load_explicit(&nests[i], memory_order_relaxed);

		if (begin - sp < NEST_DEPTH)
			return true;
	}
	return false;
}

void mach_nest_begin(struct mach_entry *e)
{
	uint64_t here = cpu_stack_pointer();

	atomic_fetch_add(&nest_count, 1);
	for (unsigned i = 0; i < NEST_SLOTS; i++) {
		unsigned slot = ((unsigned)(here >> 13) + i) % NEST_SLOTS;
		uint64_t none = 0;

		e->saved[0] = slot;
		if (atomic_compare_exchange_strong(&nests[slot], &none, here))
			return;
	}
	e->saved[0] = NEST_SLOTS;
}

void mach_nest_end(const struct mach_entry *e)
{
	if (e->saved[0] < NEST_SLOTS)
		atomic_store(&nests[e->saved[0]], 0);
	atomic_fetch_sub(&nest_count, 1);
}

/* Nobody else is left; and no fork happens inside a callback of the one that is. */
void signal_after_fork(void)
{
	for (unsigned i = 0; i < NEST_SLOTS; i++)
		atomic_store(&nests[i], 0);
	atomic_store(&nest_count, 0);
	atomic_store(&action_lock.word, 0);
}

void mach_enter(struct mach_entry *e)
{
	uint64_t mask = ~SIG_BIT(SIGSEGV);

	e->saved[1] = nested();
	if (!e->saved[1])
		sys_sigprocmask(SIG_SETMASK, &mask, &e->saved[0]);
}

void mach_leave(const struct mach_entry *e)
{
	if (!e->saved[1])
		sys_sigprocmask(SIG_SETMASK, &e->saved[0], NULL);
}

/* ---- Inside of system calls ---- */

int host_access(const struct mach_entry *entry, uint64_t addr, bool write)
{
	siginfo_t info = {.si_addr = (void *)addr};
	struct mach_trap t = {.info = &info, .deliverable = entry->saved[1] ? 0 : ~entry->saved[0]};
	struct mm_access access = {.addr = addr, .write = write, .kernel = true, .trap = &t};

	return mm_fault(mm_space_self, &access);
}

/* ---- Copies ---- */

int mach_copy_in(void *dst, uint64_t src, size_t len)
{
	if (src > CPU_TASK_SIZE || len > CPU_TASK_SIZE - src)
		return -EFAULT;
	return cpu_copy_fault(dst, (const void *)src, len) == 0 ? 0 : -EFAULT;
}

int mach_copy_out(uint64_t dst, const void *src, size_t len)
{
	if (dst > CPU_TASK_SIZE || len > CPU_TASK_SIZE - dst)
		return -EFAULT;
	return cpu_copy_fault((void *)dst, src, len) == 0 ? 0 : -EFAULT;
}
