/*
 * altstack.c - alternate signal stacks for threads that have none: a fault on an ordinary stack
 * that is itself managed must have somewhere to be handled.
 *
 * Stacks come from regions that are reserved as a whole. A stack is made usable at its first use
 * and stays so; the page below it is never accessible.
 */
#include "machine/host/internal.h"
#include "machine/host/siblings.h"

#define STACK_SIZE    (64u << 10)
#define STACK_STEP    (STACK_SIZE + (uint32_t)UF_PAGE_SIZE)
#define FRAME_SIZE    (16u << 10) /* more than a signal's frame, with all registers */
#define REGION_STACKS 512u
#define REGIONS_MAX   128u

static struct mach_lock lock;
static uint64_t regions[REGIONS_MAX];
static uint32_t region_count;
static uint64_t used[REGIONS_MAX][REGION_STACKS / 64];
static uint64_t ready[REGIONS_MAX][REGION_STACKS / 64];
/* Whose they are, where siblings are expected; a thread ends by giving its own back. */
static uint32_t owner[REGIONS_MAX * REGION_STACKS];

/* The stack that addr lies in; -1: none. */
static int stack_at(uint64_t addr)
{
	for (uint32_t r = 0; r < region_count; r++) {
		uint64_t end = regions[r] + (uint64_t)REGION_STACKS * STACK_STEP;

		if (addr >= regions[r] && addr < end)
			return (int)(r * REGION_STACKS + (addr - regions[r]) / STACK_STEP);
	}
	return -1;
}

static int add_region(void)
{
	long at;

	if (region_count == REGIONS_MAX)
		return -ENOMEM;
	at = host_map_private((uint64_t)REGION_STACKS * STACK_STEP, PROT_NONE);
	if (sys_failed(at))
		return (int)at;
	regions[region_count++] = (uint64_t)at;
	return 0;
}

static int find_free(void)
{
	for (uint32_t i = 0; i < region_count * (REGION_STACKS / 64); i++) {
		uint64_t free = ~used[i / (REGION_STACKS / 64)][i % (REGION_STACKS / 64)];

		if (free != 0)
			return (int)(i * 64) + __builtin_ctzll(free);
	}
	return -1;
}

static uint64_t *word(uint64_t (*bits)[REGION_STACKS / 64], int i, uint64_t *bit)
{
	uint32_t n = (uint32_t)i;

	*bit = 1ull << (n % 64);
	return &bits[n / REGION_STACKS][n % REGION_STACKS / 64];
}

/* Siblings that were killed have given nothing back. */
static void free_dead(void)
{
	for (uint32_t i = 0; i < region_count * REGION_STACKS; i++) {
		uint64_t bit, *bits = word(used, (int)i, &bit);

		if ((*bits & bit) && owner[i] != 0 && siblings_gone(owner[i]))
			*bits &= ~bit;
	}
}

/*
 * To a thread that is killed while the host writes the frame of a signal to a page that is not
 * there yet, the host says that the frame cannot be written, and resets the handler of SIGSEGV: for
 * all who share it.
 */
static void populate(uint64_t base)
{
	sys_madvise(base + STACK_SIZE - FRAME_SIZE, FRAME_SIZE, MADV_POPULATE_WRITE);
}

static int take(uint64_t *base)
{
	uint64_t bit;
	int i = find_free(), err = 0;

	if (i < 0 && siblings_expected()) {
		free_dead();
		i = find_free();
	}
	if (i < 0) {
		err = add_region();
		i = find_free();
	}
	if (err != 0)
		return err;
	*base = regions[i / (int)REGION_STACKS] + (uint64_t)(i % (int)REGION_STACKS) * STACK_STEP +
		UF_PAGE_SIZE;
	if (!(*word(ready, i, &bit) & bit)) {
		err = sys_mprotect(*base, STACK_SIZE, PROT_READ | PROT_WRITE);
		if (err != 0)
			return err;
		*word(ready, i, &bit) |= bit;
	}
	owner[i] = siblings_expected() ? sys_gettid() : 0;
	if (owner[i] != 0)
		populate(*base);
	*word(used, i, &bit) |= bit;
	return 0;
}

static void give(uint64_t base)
{
	int i = stack_at(base);
	uint64_t bit;

	if (i >= 0)
		*word(used, i, &bit) &= ~bit;
}

int host_altstack_enter(void)
{
	struct mach_entry e;
	uint64_t base = 0;
	stack_t st;
	int err;

	err = sys_sigaltstack(NULL, &st);
	if (err != 0 || !(st.ss_flags & SS_DISABLE))
		return err;
	mach_enter(&e);
	mach_lock(&lock);
	err = take(&base);
	mach_unlock(&lock);
	if (err == 0) {
		st = (stack_t){.ss_sp = (void *)base, .ss_size = STACK_SIZE};
		err = sys_sigaltstack(&st, NULL);
		if (err != 0) {
			mach_lock(&lock);
			give(base);
			mach_unlock(&lock);
		}
	}
	mach_leave(&e);
	return err;
}

/* A stack that this very code runs on stays in use; the host refuses to disable it. */
void host_altstack_leave(void)
{
	stack_t st, none = {.ss_flags = SS_DISABLE};
	struct mach_entry e;

	if (sys_sigaltstack(NULL, &st) != 0 || (st.ss_flags & SS_DISABLE) ||
	    stack_at((uint64_t)st.ss_sp) < 0)
		return;
	mach_enter(&e);
	if (sys_sigaltstack(&none, NULL) == 0) {
		mach_lock(&lock);
		give((uint64_t)st.ss_sp);
		mach_unlock(&lock);
	}
	mach_leave(&e);
}

/* Of all threads only the one that forked is here. */
void altstack_after_fork(void)
{
	stack_t st;
	uint64_t bit;
	int i;

	atomic_store(&lock.word, 0);
	memset(used, 0, sizeof(used));
	if (sys_sigaltstack(NULL, &st) != 0 || (st.ss_flags & SS_DISABLE))
		return;
	i = stack_at((uint64_t)st.ss_sp);
	if (i >= 0)
		*word(used, i, &bit) |= bit;
}
