/*
 * A vCPU that is a thread of this process.
 */
#include "vmm.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>

static _Thread_local sigjmp_buf *poison_jump;
static _Thread_local volatile sig_atomic_t poison_seen;

static void on_sigbus(int signal)
{
	(void)signal;
	poison_seen = 1;
	if (poison_jump)
		siglongjmp(*poison_jump, 1);
}

void plain_init(void)
{
	struct sigaction action = {.sa_handler = on_sigbus};

	sigaction(SIGBUS, &action, NULL);
}

bool plain_poisoned(void)
{
	bool seen = poison_seen;

	poison_seen = 0;
	return seen;
}

bool plain_touch(char *page, bool write)
{
	sigjmp_buf jump;

	if (sigsetjmp(jump, 1) == 0) {
		poison_jump = &jump;
		if (write)
			atomic_fetch_or((_Atomic uint64_t *)page, 0);
		else
			(void)*(volatile uint64_t *)page;
		poison_jump = NULL;
		return true;
	}
	poison_jump = NULL;
	poison_seen = 0;
	return false;
}

static void execute(struct command *c, volatile uint64_t *words)
{
	uint64_t hash = 0, began = ticks_now();

	switch ((enum op)c->op) {
	case OP_TOUCH:
		c->result = words[c->arg / 8];
		break;
	case OP_READ:
		for (unsigned i = 0; i < PAGE_WORDS; i++)
			hash = hash * HASH_STEP + words[i];
		c->result = hash;
		break;
	case OP_WRITE:
		for (unsigned i = 0; i < PAGE_WORDS; i++)
			words[i] = c->arg + i * OWN_STEP;
		break;
	case OP_END:
		break;
	}
	c->ticks = ticks_now() - began;
	atomic_store(&c->done, DONE_RIGHT);
}

void plain_execute(struct vcpu *v)
{
	volatile unsigned i = 0;
	sigjmp_buf jump;

	if (sigsetjmp(jump, 1) != 0) {
		atomic_store(&v->command[i].done, DONE_POISONED);
		i++;
	}
	poison_jump = &jump;
	for (; i < v->n; i++)
		execute(&v->command[i], (void *)page_hva(v->vm, v->visit[i].page));
	poison_jump = NULL;
	poison_seen = 0;
}
