/*
 * What changes the guest's memory behind its back: the balloon, forks of the VMM, moves.
 */
#include "vmm.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Claims up to n units from page on; how many pages it got. */
static uint64_t claim_run(struct vm *vm, uint64_t page, uint64_t n)
{
	uint64_t got = 0, room = page_run(vm, page);

	while (got < n * vm->unit && got < room) {
		for (uint64_t i = 0; i < vm->unit; i++) {
			if (page_claim(vm, page + got + i))
				continue;
			while (i-- > 0)
				page_release(vm, page + got + i);
			return got;
		}
		got += vm->unit;
	}
	return got;
}

static void write_own(struct vm *vm, uint64_t page, uint64_t n)
{
	uint32_t own = atomic_fetch_add(&vm->next_own, 1) & 0xfffffff;

	for (uint64_t i = 0; i < n; i++) {
		volatile uint64_t *words = (void *)page_hva(vm, page + i);

		for (unsigned w = 0; w < PAGE_WORDS; w++)
			words[w] = own_key(page + i, own) + w * OWN_STEP;
		page_turn(vm, page + i, KIND_OWN, own);
	}
}

static void give_back(struct vm *vm, struct vcpu *v, uint64_t page, uint64_t n)
{
	uint64_t r = next_random(&v->random), i;

	for (i = 0; i < n; i++)
		page_change(vm, page + i);
	memory_remove(vm, page, n);
	/* Written to, and gone again. */
	if (r % 8 == 0) {
		write_own(vm, page, n);
		memory_remove(vm, page, n);
	}
	for (i = 0; i < n; i++)
		page_set(vm, page + i, KIND_ZERO, 0);
	/* A look at once, by ourselves. */
	if (r / 8 % 4 == 0)
		vcpu_add(v, OP_TOUCH, page + r / 32 % n);
	atomic_fetch_add(&vm->steps, 1);
}

static bool vcpus_finished(struct vm *vm)
{
	for (unsigned i = 0; i < vm->options->vcpus; i++)
		if (!atomic_load(&vm->vcpu[i].finished))
			return false;
	return true;
}

/*
 * Gives back its share of the memory; no faster than the guest goes, so that both happen together.
 */
void *balloon_main(void *arg)
{
	struct vm *vm = arg;
	const struct options *o = vm->options;
	struct vcpu *v = &vm->vcpu[VCPUS];
	uint64_t goal = vm->pages * o->balloon / 100, all = vm->norder * o->passes, visits, page, n;
	bool over = false;

	while (!over && !atomic_load(&vm->stop)) {
		over = vcpus_finished(vm);
		visits = atomic_load(&vm->next);
		if (!o->flood && !over && o->seconds == 0 &&
		    atomic_load(&vm->removed) >= (visits < all ? goal * visits / all : goal)) {
			if (visits >= all)
				break;
			sched_yield();
			continue;
		}
		page = next_random(&v->random) % (vm->pages / vm->unit) * vm->unit;
		n = claim_run(vm, page, o->flood ? 1 : 1 + next_random(&v->random) % 32);
		if (n > 0)
			give_back(vm, v, page, n);
		if (next_random(&v->random) % 16 == 0)
			vcpu_flush(v);
		/* At random for a time: give the others a chance to fill. */
		if (o->seconds > 0 && !o->flood)
			sched_yield();
	}
	vcpu_flush(v);
	return NULL;
}

void *fork_main(void *arg)
{
	struct vm *vm = arg;
	pid_t child;
	int status;

	while (!atomic_load(&vm->stop) && !vcpus_finished(vm)) {
		child = fork();
		if (child == 0)
			_exit(0);
		if (child < 0)
			give_up(STATUS_WRONG, "cannot fork: %m");
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		atomic_fetch_add(&vm->forked, 1);
		atomic_fetch_add(&vm->steps, 1);
	}
	return NULL;
}

void *move_main(void *arg)
{
	struct vm *vm = arg;
	size_t size = SCRATCH_PAGES * PAGE;
	uint64_t random = mix(vm->options->seed, 77) | 1, page;
	unsigned word;
	char *to;

	while (!atomic_load(&vm->stop) && !vcpus_finished(vm)) {
		to = vm->scratch == vm->scratch_at[0] ? vm->scratch_at[1] : vm->scratch_at[0];
		if (mremap(vm->scratch, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
			give_up(STATUS_WRONG, "cannot move memory: %m");
		/* Nobody else's mapping is to come where it goes back to. */
		mmap(vm->scratch, size, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
		vm->scratch = to;
		page = next_random(&random) % SCRATCH_PAGES;
		word = next_random(&random) % PAGE_WORDS;
		if (((volatile uint64_t *)(to + page * PAGE))[word] !=
		    image_word(&vm->options->image, vm->options->offset / PAGE + vm->pages + page,
			       word)) {
			say("wrong: page %ju of the memory that was moved, word %u",
			    (uintmax_t)page, word);
			atomic_fetch_add(&vm->wrong, 1);
		}
		atomic_fetch_add(&vm->moved, 1);
		atomic_fetch_add(&vm->steps, 1);
	}
	return NULL;
}
