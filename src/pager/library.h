/*
 * library.h - what the library's entry points share.
 */
#ifndef UF_PAGER_LIBRARY_H
#define UF_PAGER_LIBRARY_H

#include <pthread.h>

/* For uf_pager_why; returns error. */
int library_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A thread that no signal of the program's goes to, but those of its own faults. As pthread_create,
 * negative. */
int library_thread(pthread_t *thread, void *(*fn)(void *arg), void *arg);

#endif
