/*
 * sigsegv.c - the program's sigaction of SIGSEGV, which is ours while the trap is armed.
 */
#include "front/front.h"

#include <signal.h>
#include <string.h>

#include "front/sigsegv.h"

static uint64_t mask_word(const sigset_t *set)
{
	uint64_t word;

	memcpy(&word, set, sizeof(word));
	return word;
}

bool sigsegv_swap(const struct sigaction *act, struct sigaction *old)
{
	struct host_sigaction set, was;

	if (!host_armed())
		return false;
	if (act) {
		set.handler = (void *)act->sa_handler;
		set.flags = (uint64_t)(unsigned)act->sa_flags;
		set.mask = mask_word(&act->sa_mask);
	}
	host_program_sigsegv(act ? &set : NULL, &was);
	if (old) {
		memset(old, 0, sizeof(*old));
		old->sa_handler = (__sighandler_t)was.handler;
		old->sa_flags = (int)was.flags;
		memcpy(&old->sa_mask, &was.mask, sizeof(was.mask));
	}
	return true;
}
