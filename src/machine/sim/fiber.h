/* fiber.h - inside the simulated machine: a stack that can be left and come back to. */
#ifndef UF_SIM_FIBER_H
#define UF_SIM_FIBER_H

#include <stddef.h>
#include <ucontext.h>

struct fiber {
	char *stack; /* with a guard page below; NULL: the host thread's own */
	void *sp;
	ucontext_t context; /* where there is no switch of our own */
	void *fake;	    /* ASan's fake stack while the fiber is switched out */
	const void *bottom; /* and the stack as it knows it */
	size_t size;
};

/* Let it begin with entry(), which never returns, when it is switched to. */
void fiber_make(struct fiber *f, void (*entry)(void));
/* Leave one, which does not come back when it is `last`, and go on in the other. */
void fiber_switch(struct fiber *from, struct fiber *to, int last);
/* First thing in entry(). */
void fiber_entered(void);

#endif
