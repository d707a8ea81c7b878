/*
 * rig.h - an engine on a thread of the test, and memory of the test that it serves.
 */
#ifndef RIG_H
#define RIG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <userfault/abi.h>

#include "fake_source.h"
#include "pager/engine.h"

#define PAGE 4096ull
#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x);            \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

struct rig {
	struct engine_options options;
	struct guest_config config;
	struct guest_region region[4];
	uint64_t features; /* of the userfaultfd, besides those for threads */
	uint64_t modes;	   /* MISSING if 0 */
	size_t len, page_size;

	struct engine *e;
	struct fake *fake;
	struct guest *g;
	pthread_t thread;
	char *mem;
	int uffd; /* a duplicate */
	char why[256];
	char said[8192]; /* the log */
	int ended;	 /* enum guest_end, of any guest */
	int given_up;
	int forks;
	bool verbose;
};

/* What is not set is as it comes: set options and config between the two. */
void rig_init(struct rig *r, struct fake *fake, size_t len);
void rig_begin(struct rig *r);
void *rig_main(void *rig);
void rig_end(struct rig *r);
/* On the engine's thread, and waits for it. */
void rig_call(struct rig *r, void (*fn)(void *arg), void *arg);
uint64_t rig_count(struct rig *r, enum guest_count what);
/* Waits until a condition holds, or the test has failed. */
#define rig_until(x)                                                                               \
	do {                                                                                       \
		for (uint64_t begun_ = rig_ms(); !(x); rig_yield())                                \
			CHECK(rig_ms() - begun_ < 20000 || !#x);                                   \
	} while (0)
uint64_t rig_ms(void);
void rig_yield(void);
int rig_uffd(uint64_t features);
/* A userfaultfd can be had? Else the test is skipped. */
void rig_need_uffd(void);
void rig_register(int uffd, void *mem, size_t len, uint64_t modes);
/* Reads one byte in a thread of its own. */
struct toucher {
	pthread_t thread;
	volatile char *at;
	char value;
	volatile bool done;
};
void touch_begin(struct toucher *t, void *at);
void touch_end(struct toucher *t);

#endif
