/*
 * threads.c - pthread_create, clone: threads get an alternate stack, so that a fault on their own
 * stack can be served, and what they inherit of the signal mask.
 *
 * Threads that were there before the first userfaultfd get theirs when they first use one.
 */
#include "front/dispatch.h"
#include "front/gate.h"
#include "front/preload.h"

#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>

struct beginning {
	void *(*fn)(void *);
	void *arg;
	bool segv_blocked;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_made;
static __thread bool entered __attribute__((tls_model("initial-exec")));

/* Pages of a stack that are there are opened, as far as they are managed. */
static void open_pages(uint64_t at, uint64_t end)
{
	struct mach_entry entry;
	uint64_t word;
	int err;

	for (at &= UF_PAGE_MASK; at < end; at += UF_PAGE_SIZE) {
		mach_enter(&entry);
		err = mm_pagemap(mm_space_self, at, 1, &word);
		mach_leave(&entry);
		if (!err && (word >> 63))
			atomic_fetch_or((_Atomic uint8_t *)at, 0);
	}
}

#define LAST_BYTES (16ul << 10)

/* What is left to do of the thread is done where no trap can be served. */
static void leave(void *unused)
{
	uint64_t here = cpu_stack_pointer();

	(void)unused;
	if (front_managing() && mem_near_managed((void *)(here - LAST_BYTES), LAST_BYTES))
		open_pages(here - LAST_BYTES, here);
	host_altstack_leave();
}

/* With the first userfaultfd. */
static void prepare(void)
{
	real_init();
	key_made = pthread_key_create(&key, leave) == 0;
}

void thread_enter(void)
{
	if (likely(entered) || !atomic_load(&front_live))
		return;
	entered = true;
	thread_altstack();
	dispatch_thread();
	pthread_once(&once, prepare);
	if (key_made)
		pthread_setspecific(key, &key);
}

/*
 * Not from the heap, as long as there is room here: what the program finds there is laid out as if
 * we were not.
 */
#define BEGINNINGS 64u
static struct beginning beginnings[BEGINNINGS];
static _Atomic bool taken[BEGINNINGS];

static struct beginning *beginning_new(void)
{
	unsigned i;

	for (i = 0; i < BEGINNINGS; i++)
		if (!atomic_load_explicit(&taken[i], memory_order_relaxed) &&
		    !atomic_exchange(&taken[i], true))
			return &beginnings[i];
	return malloc(sizeof(struct beginning));
}

static void beginning_free(struct beginning *b)
{
	if (b >= beginnings && b < beginnings + BEGINNINGS)
		atomic_store(&taken[b - beginnings], false);
	else
		free(b);
}

static void *begin(void *arg)
{
	struct beginning b = *(struct beginning *)arg;

	beginning_free(arg);
	mask_inherit(b.segv_blocked);
	thread_enter();
	return b.fn(b.arg);
}

#define TOP_BYTES (64ul << 10)

/*
 * A thread begins with all signals blocked, on the top of its stack, where its descriptor is, too.
 * What is there already must not trap then.
 */
static void open_top(const pthread_attr_t *attr)
{
	uint64_t end;
	void *stack;
	size_t size;

	if (!attr || !front_managing() || pthread_attr_getstack(attr, &stack, &size) != 0 || !stack)
		return;
	end = ((uintptr_t)stack + size) & UF_PAGE_MASK;
	open_pages(size > TOP_BYTES ? end - TOP_BYTES : (uintptr_t)stack, end);
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg)
{
	struct beginning *b;
	int err;

	if (likely(!atomic_load_explicit(&front_live, memory_order_relaxed)) && !mask_inherited())
		return REAL(pthread_create)(thread, attr, fn, arg);
	b = beginning_new();
	if (!b)
		return EAGAIN;
	*b = (struct beginning){.fn = fn, .arg = arg, .segv_blocked = mask_inherited()};
	open_top(attr);
	err = REAL(pthread_create)(thread, attr, begin, b);
	if (err)
		beginning_free(b);
	return err;
}

/* Stands at the top of the new stack. */
struct clone_beginning {
	int (*fn)(void *);
	void *arg;
	int flags;
} __attribute__((aligned(16)));

/* With CLONE_VM and no CLONE_SETTLS this runs on the parent's thread-local storage: touch none. */
static int begin_clone(void *arg)
{
	struct clone_beginning b = *(struct clone_beginning *)arg;
	int ret;

	if (!(b.flags & CLONE_VM)) {
		process_forked_child();
		return b.fn(b.arg);
	}
	if (b.flags & CLONE_FILES)
		files_share(true);
	host_altstack_enter();
	dispatch_clone_child();
	ret = b.fn(b.arg);
	host_altstack_leave();
	if (b.flags & CLONE_FILES)
		files_share(false);
	return ret;
}

EXPORT int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	struct clone_beginning *b;
	va_list ap;
	void *parent_tid, *tls, *child_tid;
	int ret;

	va_start(ap, arg);
	parent_tid = va_arg(ap, void *);
	tls = va_arg(ap, void *);
	child_tid = va_arg(ap, void *);
	va_end(ap);
	if (!fn || !stack || likely(!atomic_load_explicit(&front_live, memory_order_relaxed)))
		return REAL(clone)(fn, stack, flags, arg, parent_tid, tls, child_tid);
	gate_clones((uint64_t)flags);
	b = (struct clone_beginning *)((uintptr_t)stack & ~15ul) - 1;
	*b = (struct clone_beginning){.fn = fn, .arg = arg, .flags = flags};
	if (!(flags & CLONE_VM))
		front_fork_begin(flags & CLONE_FILES);
	ret = REAL(clone)(begin_clone, b, flags, b, parent_tid, tls, child_tid);
	if (!(flags & CLONE_VM))
		front_fork_parent();
	return ret;
}
