/*
 * unwind.c - what the compiler's cleanups need when a cancelled thread is unwound through us.
 *
 * They come from libgcc_s, which the C library loads itself when a thread is cancelled. Linking to
 * it would make every program under Userfault load it at its start.
 */
#include "front/preload.h"

#include <dlfcn.h>
#include <stdlib.h>

#define HIDDEN __attribute__((visibility("hidden")))

/* As in <unwind.h>, which would export them: a program's own unwinding is none of our business. */
struct exception;
struct context;
HIDDEN int __gcc_personality_v0(int version, int actions, uint64_t class,
				struct exception *exception, struct context *context);
HIDDEN void _Unwind_Resume(struct exception *exception);

static void *libgcc(const char *name)
{
	void *library = dlopen("libgcc_s.so.1", RTLD_NOW);
	void *fn = library ? dlsym(library, name) : NULL;

	if (!fn)
		abort();
	return fn;
}

int __gcc_personality_v0(int version, int actions, uint64_t class, struct exception *exception,
			 struct context *context)
{
	__typeof__(&__gcc_personality_v0) personality = libgcc("__gcc_personality_v0");

	return personality(version, actions, class, exception, context);
}

void _Unwind_Resume(struct exception *exception)
{
	__typeof__(&_Unwind_Resume) resume = libgcc("_Unwind_Resume");

	resume(exception);
	abort();
}
