/*
 * fiber.c - switching stacks. swapcontext(3) does it everywhere, at two system calls each time; on
 * x86-64 a dozen instructions do, and a run of a million steps switches a hundred million times.
 */
#include "machine/sim/fiber.h"

#include <stdint.h>
#include <sys/mman.h>

#include "machine/sim/sched.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif

#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_SIZE (1ul << 18)
#define GUARD_SIZE 4096ul

/* Who was left last. */
static struct fiber *left;

#ifdef __x86_64__
/* Saves what a call must keep, stores the stack pointer, and returns on the other stack. */
void sim_switch_stack(void **save, void *to);
__asm__(".text\n"
	".globl sim_switch_stack\n"
	".hidden sim_switch_stack\n"
	".type sim_switch_stack, @function\n"
	"sim_switch_stack:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size sim_switch_stack, . - sim_switch_stack\n");

static void prepare(struct fiber *f, void (*entry)(void))
{
	uint64_t *sp = (uint64_t *)(f->stack + GUARD_SIZE + STACK_SIZE);

	*--sp = 0; /* where entry would return to; keeps the stack aligned as after a call */
	*--sp = (uint64_t)(uintptr_t)entry;
	for (unsigned i = 0; i < 6; i++)
		*--sp = 0;
	f->sp = sp;
}

static void go(struct fiber *from, struct fiber *to)
{
	sim_switch_stack(&from->sp, to->sp);
}
#else
static void prepare(struct fiber *f, void (*entry)(void))
{
	getcontext(&f->context);
	f->context.uc_stack.ss_sp = f->stack + GUARD_SIZE;
	f->context.uc_stack.ss_size = STACK_SIZE;
	f->context.uc_link = NULL;
	makecontext(&f->context, entry, 0);
}

static void go(struct fiber *from, struct fiber *to)
{
	swapcontext(&from->context, &to->context);
}
#endif

void fiber_make(struct fiber *f, void (*entry)(void))
{
	if (!f->stack) {
		f->stack = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (f->stack == MAP_FAILED || mprotect(f->stack, GUARD_SIZE, PROT_NONE))
			sim_fail("no memory for a stack");
	}
#ifdef WITH_ASAN
	/* The last thread on this stack never returned from its outermost calls. */
	__asan_unpoison_memory_region(f->stack + GUARD_SIZE, STACK_SIZE);
#endif
	f->fake = NULL;
	f->bottom = f->stack + GUARD_SIZE;
	f->size = STACK_SIZE;
	prepare(f, entry);
}

static void arrived(struct fiber *me)
{
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(me ? me->fake : NULL, &left->bottom, &left->size);
#else
	(void)me;
#endif
}

void fiber_entered(void)
{
	arrived(NULL);
}

void fiber_switch(struct fiber *from, struct fiber *to, int last)
{
#ifdef WITH_ASAN
	__sanitizer_start_switch_fiber(last ? NULL : &from->fake, to->bottom, to->size);
#else
	(void)last;
#endif
	left = from;
	go(from, to);
	arrived(from);
}
