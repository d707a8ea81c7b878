/*
 * hosted_threads.c - threads and children of a hosted program, and what each has of ours: a stack
 * for our handlers and thread-local storage of our libc, kept for the next when it ends.
 */
#include "front/hosted.h"
#include "front/preload.h"

#include <dlfcn.h>
#include <link.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "front/dispatch.h"
#include "front/gate.h"

#define STACK_SIZE (256ul << 10)
#define GUARD_SIZE (64ul << 10)

/* The head of libc's thread control block. */
#define TCB_SELF    0x00
#define TCB_SELF2   0x10
#define TCB_GUARDS  0x28 /* of stacks and of pointers: the same in all threads */
#define GUARDS_SIZE 16
#define TCB_BYTES   0x500 /* where the thread's id is somewhere */

struct clone3_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	uint64_t set_tid, set_tid_size, cgroup;
};

static struct mach_lock lock;
static struct hosted_thread *threads;
static void *(*allocate_tls)(void *);
static size_t tid_place; /* of the thread's id in libc's block */

/* ---- what a thread has of ours -----------------------------------------------------------------
 */

/* In front of the id is the link of libc's list of threads. */
static bool is_linked(const char *block, size_t place)
{
	uint64_t link[2], back;

	memcpy(link, block + place - sizeof(link), sizeof(link));
	if (!link[0] || link[0] % sizeof(back) || !link[1])
		return false;
	memcpy(&back, (char *)link[0] + sizeof(back), sizeof(back));
	return back == (uintptr_t)block + place - sizeof(link);
}

/* Where both this thread's block and `other`, the main thread's, have the id. */
static void *find_tid(void *other)
{
	const char *own = (const char *)pthread_self(), *main_block = other;
	int own_tid = (int)SYS(SYS_gettid), main_tid = (int)SYS(SYS_getpid), a, b;

	for (size_t i = TCB_GUARDS + GUARDS_SIZE + 16; i < TCB_BYTES; i += sizeof(int)) {
		memcpy(&a, own + i, sizeof(a));
		memcpy(&b, main_block + i, sizeof(b));
		if (a == own_tid && b == main_tid) {
			tid_place = is_linked(own, i) ? i : 0;
			break;
		}
	}
	return NULL;
}

/* libc must not take itself for alone, either: a thread of its own tells it, and finds out. */
int hosted_threads_init(void)
{
	pthread_t helper;

	allocate_tls = (void *(*)(void *))dlsym(RTLD_DEFAULT, "_dl_allocate_tls");
	if (!allocate_tls || pthread_create(&helper, NULL, find_tid, (void *)pthread_self()) != 0)
		return -ENOSYS;
	pthread_join(helper, NULL);
	return tid_place ? 0 : -ENOSYS;
}

static uint64_t new_tls(void)
{
	char *mine = (char *)pthread_self(), *tcb = allocate_tls(NULL);
	uint64_t at = (uintptr_t)tcb, link[2];

	if (!tcb)
		return 0;
	memcpy(tcb + TCB_SELF, &at, sizeof(at));
	memcpy(tcb + TCB_SELF2, &at, sizeof(at));
	memcpy(tcb + TCB_GUARDS, mine + TCB_GUARDS, GUARDS_SIZE);
	/* Linked to nothing: libc takes the thread that forks out of a list. */
	link[0] = link[1] = at + tid_place - sizeof(link);
	memcpy((char *)link[0], link, sizeof(link));
	return at;
}

/* One whose thread has ended. */
static struct hosted_thread *find_free(void)
{
	struct hosted_thread *t;
	long pid = SYS(SYS_getpid);
	uint32_t tid;

	for (t = threads; t; t = t->next) {
		tid = atomic_load(&t->tid);
		if (tid && t->gone && SYS(SYS_tgkill, pid, tid, 0) == -ESRCH &&
		    SYS(SYS_kill, tid, 0) == -ESRCH)
			atomic_store(&t->tid, tid = 0);
		if (tid == 0)
			return t;
	}
	return NULL;
}

static struct hosted_thread *make(void)
{
	struct hosted_thread *t;
	uint64_t tls = hosted_active ? new_tls() : hosted_get_fs();
	long at;

	if (!tls)
		return NULL;
	at = SYS(SYS_mmap, 0, GUARD_SIZE + STACK_SIZE + UF_PAGE_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at < 0)
		return NULL;
	SYS(SYS_mprotect, at, GUARD_SIZE, PROT_NONE);
	t = (struct hosted_thread *)((uint64_t)at + GUARD_SIZE + STACK_SIZE);
	t->self = t;
	t->stack = (void *)((uint64_t)at + GUARD_SIZE);
	t->host_fs = tls;
	t->next = threads;
	threads = t;
	return t;
}

struct hosted_thread *hosted_thread_new(void)
{
	struct hosted_thread *t;

	mach_lock(&lock);
	t = find_free();
	if (!t)
		t = make();
	if (t) {
		struct hosted_thread fresh = {.self = t,
					      .host_fs = t->host_fs,
					      .stack = t->stack,
					      .alt = {.ss_flags = SS_DISABLE},
					      .next = t->next};

		*t = fresh;
		atomic_store(&t->tid, UINT32_MAX);
	}
	mach_unlock(&lock);
	return t;
}

void hosted_thread_free(struct hosted_thread *t)
{
	mach_lock(&lock);
	atomic_store(&t->tid, 0);
	mach_unlock(&lock);
}

static void note_tid(struct hosted_thread *t)
{
	int tid = (int)SYS(SYS_gettid);

	atomic_store(&t->tid, (uint32_t)tid);
	memcpy((char *)t->host_fs + tid_place, &tid, sizeof(tid));
}

int hosted_thread_arm(struct hosted_thread *t)
{
	stack_t stack = {.ss_sp = t->stack, .ss_size = STACK_SIZE};
	long err;

	hosted_set_gs(t);
	note_tid(t);
	err = SYS(SYS_sigaltstack, &stack, NULL);
	return err < 0 ? (int)err : dispatch_arm();
}

/* Of all threads only this one is here. */
void hosted_threads_child(struct hosted_thread *self)
{
	struct hosted_thread *t;

	atomic_store(&lock.word, 0);
	for (t = threads; t; t = t->next)
		if (t != self)
			atomic_store(&t->tid, 0);
	note_tid(self);
	dispatch_arm();
}

/* ---- children ----------------------------------------------------------------------------------
 */

/* On its own stack, with the parent's everything else: nothing thread-local until %fs is ours. */
void hosted_thread_begin(struct hosted_thread *t)
{
	hosted_set_gs(t);
	hosted_set_fs(t->host_fs);
	if (hosted_thread_arm(t) < 0)
		SYS(SYS_exit_group, 127);
	if (t->shares_files)
		files_share(true);
	hosted_set_fs(t->program_fs);
	hosted_sigreturn((const struct hosted_frame *)t->ret);
}

/* The state in which the child of the call uc begins. */
static int prepare(struct hosted_thread *child, const struct hosted_thread *parent,
		   const ucontext_t *uc, const struct clone3_args *c)
{
	static const siginfo_t none;
	uint64_t top = (uint64_t)child->stack + STACK_SIZE;
	ucontext_t copy;

	memcpy(&copy, uc, HOSTED_UC_SIZE);
	copy.uc_stack = (stack_t){.ss_sp = child->stack, .ss_size = STACK_SIZE};
	copy.uc_mcontext.gregs[REG_RAX] = 0;
	if (c->stack)
		copy.uc_mcontext.gregs[REG_RSP] = (greg_t)(c->stack + c->stack_size);
	child->program_fs = c->flags & CLONE_SETTLS ? c->tls : parent->program_fs;
	child->blocked = parent->blocked;
	child->own_actions = !(c->flags & CLONE_SIGHAND);
	child->shares_files = (c->flags & CLONE_FILES) && !(c->flags & CLONE_THREAD);
	/* Who can end without a word is asked for. */
	child->gone = !(c->flags & CLONE_THREAD);
	/* As the kernel has it: only the child of a vfork keeps the alternate stack. */
	if (c->flags & CLONE_VFORK)
		child->alt = parent->alt;
	return hosted_build_frame(top, &copy, &none, 0, &child->ret);
}

/* The same memory: a thread, the child of a vfork, or something between. */
static long spawn(struct hosted_thread *t, ucontext_t *uc, struct clone3_args *c, size_t size)
{
	struct hosted_thread *child = hosted_thread_new();
	uint64_t top;
	long ret;

	if (!child)
		return -EAGAIN;
	if (prepare(child, t, uc, c) < 0) {
		hosted_thread_free(child);
		return -EFAULT;
	}
	gate_clones(c->flags);
	top = (child->ret - 512) & ~15ull;
	c->flags &= ~(uint64_t)CLONE_SETTLS;
	if (size) {
		c->stack = (uint64_t)child->stack;
		c->stack_size = top - c->stack;
		ret = hosted_clone3(c, size, 0, 0, 0, child);
	} else {
		ret = hosted_clone((long)(c->flags | c->exit_signal), (void *)top,
				   (long)c->parent_tid, (long)c->child_tid, 0, child);
	}
	if (ret < 0)
		hosted_thread_free(child);
	return ret;
}

/* What the kernel does of these in the child and libc's fork knows nothing of. */
#define FORK_FLAGS (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID | CLONE_SETTLS)

static void begin_forked(struct hosted_thread *t, ucontext_t *uc, const struct clone3_args *c)
{
	int tid = (int)SYS(SYS_gettid);

	hosted_signals_child();
	hosted_threads_child(t);
	if (c->stack)
		uc->uc_mcontext.gregs[REG_RSP] = (greg_t)(c->stack + c->stack_size);
	if (c->flags & CLONE_SETTLS)
		t->program_fs = c->tls;
	if (c->flags & CLONE_CHILD_SETTID)
		mach_copy_out(c->child_tid, &tid, sizeof(tid));
	SYS(SYS_set_tid_address, c->flags & CLONE_CHILD_CLEARTID ? c->child_tid : 0);
}

/* Memory of its own. Through libc, whose locks are to be free in the child. */
static long fork_libc(struct hosted_thread *t, ucontext_t *uc, const struct clone3_args *c)
{
	pid_t pid = fork();
	int tid = pid;

	if (pid < 0)
		return -errno;
	if (pid == 0)
		begin_forked(t, uc, c);
	else if (c->flags & CLONE_PARENT_SETTID)
		mach_copy_out(c->parent_tid, &tid, sizeof(tid));
	return pid;
}

static long fork_other(struct hosted_thread *t, ucontext_t *uc, struct clone3_args *c, size_t size)
{
	struct clone3_args copy = *c;
	long ret;

	copy.stack = copy.stack_size = 0;
	copy.flags &= ~(uint64_t)(CLONE_SETTLS | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID);
	ret = size ? gate_call(SYS_clone3, (const long[6]){(long)&copy, (long)size})
		   : gate_call(SYS_clone, (const long[6]){(long)(copy.flags | copy.exit_signal), 0,
							  (long)copy.parent_tid});
	if (ret == 0)
		begin_forked(t, uc, c);
	return ret;
}

static int fetch(long nr, const long a[6], struct clone3_args *c, size_t *size)
{
	*size = 0;
	memset(c, 0, sizeof(*c));
	switch (nr) {
	case SYS_fork:
		c->exit_signal = SIGCHLD;
		return 0;
	case SYS_vfork:
		c->flags = CLONE_VM | CLONE_VFORK;
		c->exit_signal = SIGCHLD;
		return 0;
	case SYS_clone:
		c->flags = (uint64_t)a[0] & 0xffffff00u;
		c->exit_signal = (uint64_t)a[0] & CSIGNAL;
		c->stack = (uint64_t)a[1];
		c->parent_tid = (uint64_t)a[2];
		c->child_tid = (uint64_t)a[3];
		c->tls = (uint64_t)a[4];
		return 0;
	}
	*size = (size_t)a[1];
	if (*size < 64)
		return -EINVAL;
	if (*size > sizeof(*c))
		return -E2BIG;
	return mach_copy_in(c, (uint64_t)a[0], *size);
}

long hosted_fork(struct hosted_thread *t, ucontext_t *uc, long nr, const long a[6])
{
	struct clone3_args c;
	size_t size;
	int err = fetch(nr, a, &c, &size);

	if (err)
		return err;
	if (c.flags & CLONE_VM)
		return spawn(t, uc, &c, size);
	if (!(c.flags & ~(uint64_t)FORK_FLAGS) && c.exit_signal == SIGCHLD && !c.set_tid_size)
		return fork_libc(t, uc, &c);
	return fork_other(t, uc, &c, size);
}

void hosted_exit(struct hosted_thread *t, long status)
{
	if (t->shares_files)
		files_share(false);
	t->gone = true;
	SYS(SYS_exit, status);
	__builtin_unreachable();
}
