/*
 * library.c - what the library's entry points share.
 */
#include "pager/library.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "userfault/pager.h"

static _Thread_local char why[512];

const char *uf_pager_why(void)
{
	return why;
}

int library_fail(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	return error;
}

int library_thread(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = -pthread_create(thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}
