#include "vmm.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>

void vcpu_init(struct vm *vm, unsigned index)
{
	struct vcpu *v = &vm->vcpu[index];

	v->vm = vm;
	v->index = index;
	v->kvm = -1;
	v->random = mix(vm->options->seed, 1000 + index) | 1;
	v->command = mmap(NULL, (BATCH + 1) * sizeof(struct command), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (v->command == MAP_FAILED)
		give_up(STATUS_WRONG, "no memory for commands: %m");
}

static void times_note(struct times *times, uint64_t ticks, uint64_t page)
{
	unsigned log = ticks ? 63u - (unsigned)__builtin_clzll(ticks) : 0;
	unsigned quarter = log >= 2 ? (unsigned)(ticks >> (log - 2)) & 3 : 0;

	times->count[log * 4 + quarter]++;
	if (ticks > times->longest) {
		times->longest = ticks;
		times->longest_page = page;
	}
}

void times_add(struct times *to, const struct times *from)
{
	for (unsigned b = 0; b < BUCKETS; b++)
		to->count[b] += from->count[b];
	if (from->longest > to->longest) {
		to->longest = from->longest;
		to->longest_page = from->longest_page;
	}
}

double times_quantile(const struct times *times, double q)
{
	uint64_t all = 0, seen = 0;

	for (unsigned b = 0; b < BUCKETS; b++)
		all += times->count[b];
	for (unsigned b = 0; b < BUCKETS; b++) {
		seen += times->count[b];
		if (seen && (double)seen >= q * (double)all)
			return ldexp(1.25 + 0.25 * (b % 4), (int)(b / 4));
	}
	return 0;
}

void vcpu_add(struct vcpu *v, enum op op, uint64_t page)
{
	struct vm *vm = v->vm;
	struct visit *visit = &v->visit[v->n];
	struct command *c = &v->command[v->n];

	/* A page that somebody else changes at the moment can still be looked at. */
	if (op != OP_TOUCH && !page_claim(vm, page))
		op = OP_TOUCH;
	visit->op = op;
	visit->page = page;
	if (op == OP_WRITE) {
		visit->own = atomic_fetch_add(&vm->next_own, 1) & 0xfffffff;
		visit->before = page_state(vm, page);
		page_change(vm, page);
		c->arg = own_key(page, visit->own);
	} else {
		visit->before = page_state(vm, page);
		c->arg = next_random(&v->random) % PAGE_WORDS * 8;
	}
	c->op = op;
	c->gpa = page_gpa(vm, page);
	c->result = 0;
	c->ticks = 0;
	atomic_store(&c->done, DONE_NOT);
	if (++v->n == BATCH)
		vcpu_flush(v);
}

static bool word_fits(const struct vm *vm, const struct command *c, uint64_t page, uint64_t state)
{
	if (c->done == DONE_POISONED)
		return page_may_be_poisoned(vm, page, state);
	return !page_must_be_poisoned(vm, page, state) &&
	       c->result == page_word(vm, page, state, (unsigned)c->arg / 8);
}

/*
 * Others may have changed the page meanwhile. If they did once, one of both contents was there.
 */
static void check_touch(struct vcpu *v, const struct visit *visit, const struct command *c)
{
	uint64_t after = page_state(v->vm, visit->page);
	uint32_t version = PAGE_VERSION(after),
		 changes = version - (PAGE_VERSION(visit->before) & ~1u);

	if (version & 1 || changes > 2)
		v->raced++;
	else if (!word_fits(v->vm, c, visit->page, visit->before) &&
		 !word_fits(v->vm, c, visit->page, after))
		page_wrong(v->vm, visit->page, after, "touched, got", c->result);
}

static void check(struct vcpu *v, const struct visit *visit, const struct command *c)
{
	struct vm *vm = v->vm;
	uint64_t page = visit->page;
	bool poisoned = c->done == DONE_POISONED;

	v->poisoned += poisoned;
	if (visit->op == OP_TOUCH) {
		check_touch(v, visit, c);
		return;
	}
	if (poisoned != page_must_be_poisoned(vm, page, visit->before) &&
	    !(poisoned && page_may_be_poisoned(vm, page, visit->before)))
		page_wrong(vm, page, visit->before, poisoned ? "is poisoned" : "not poisoned", 0);
	else if (visit->op == OP_READ && !poisoned &&
		 c->result != page_hash(vm, page, visit->before))
		page_wrong(vm, page, visit->before, "its hash is", c->result);
	if (visit->op == OP_READ) {
		page_release(vm, page);
	} else if (poisoned) {
		page_set(vm, page, PAGE_KIND(visit->before), PAGE_OWN(visit->before));
	} else {
		page_set(vm, page, KIND_OWN, visit->own);
		v->written++;
	}
}

void vcpu_flush(struct vcpu *v)
{
	if (v->n == 0)
		return;
	v->command[v->n].op = OP_END;
	atomic_store(&v->executes, true);
	if (v->kvm >= 0)
		kvm_execute(v);
	else
		plain_execute(v);
	atomic_store(&v->executes, false);
	for (unsigned i = 0; i < v->n; i++) {
		times_note(&v->times, v->command[i].ticks, v->visit[i].page);
		check(v, &v->visit[i], &v->command[i]);
	}
	atomic_fetch_add(&v->visits, v->n);
	v->n = 0;
}

static void visit(struct vcpu *v, uint64_t page)
{
	uint64_t r = next_random(&v->random);

	if (r % 100 < v->vm->options->writes)
		vcpu_add(v, OP_WRITE, page);
	else
		vcpu_add(v, r & 1024 ? OP_READ : OP_TOUCH, page);
}

/* The order of the pages, dealt out in pieces to whoever comes. */
static void go_through(struct vcpu *v)
{
	struct vm *vm = v->vm;
	uint64_t all = vm->norder * vm->options->passes, at;
	uint64_t piece = all / vm->options->vcpus / 4 + 1;

	if (piece > BATCH / 4)
		piece = BATCH / 4;
	while ((at = atomic_fetch_add(&vm->next, piece)) < all && !atomic_load(&vm->stop))
		for (uint64_t i = at; i < at + piece && i < all; i++)
			visit(v, vm->order[i % vm->norder]);
	vcpu_flush(v);
}

void *vcpu_main(void *arg)
{
	struct vcpu *v = arg;
	struct vm *vm = v->vm;
	uint64_t end = vm->began + (uint64_t)(vm->options->seconds * 1e9);

	if (vm->kvm)
		kvm_vcpu(v);
	go_through(v);
	while (now_ns() < end && !atomic_load(&vm->stop)) {
		for (unsigned i = 0; i < BATCH / 4; i++)
			visit(v, vm->order[next_random(&v->random) % vm->norder]);
		vcpu_flush(v);
	}
	atomic_store(&v->finished, true);
	return NULL;
}
