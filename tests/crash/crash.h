/* SPDX-License-Identifier: MIT */
/*
 * A crew of processes that serve each other's faults, and what they share.
 *
 * Each member owns memory with a userfaultfd, whose descriptor it hands to another member, or to a
 * helper that it forks, and works on that memory. Each member serves the descriptors that are
 * handed to it. Any of the processes may be killed at any moment: the conductor puts another in its
 * place, and the others go on meanwhile.
 *
 *   kill-loop.c  the conductor: makes the crew, kills, looks whether the others go on
 *   member.c     what a member does to its memory
 *   server.c     serving descriptors, one's own and others'
 *   common.c     userfaultfd calls, time, numbers, what went wrong, what is left
 */
#ifndef CRASH_H
#define CRASH_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include "../abi/uffd_abi.h"

#define PAGE	  4096ul
#define MEMBERS	  16 /* at most */
#define PROCESSES 3  /* of each member: itself, its helper, a forked child */
#define EXIT_SKIP 77
#define FEATURES  (UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_EVENT_FORK)

/* ---- What all share (kill-loop.c) ---- */

/* One place in the crew. Its epoch goes up whenever the member in it has died. */
struct member {
	_Atomic uint32_t epoch;
	_Atomic uint32_t context; /* goes up with each userfaultfd that it makes */
	_Atomic uint64_t steps;	  /* done to its memory */
	_Atomic uint64_t served;  /* faults of others */
	_Atomic int pid[PROCESSES];
	_Atomic int doing; /* the last step begun; for the report of one that is stuck */
	int inbox[2];	   /* descriptors are sent to [1], and received from [0] */
};

struct crew {
	unsigned members;
	size_t pages; /* of memory that each owns */
	bool fork_events;
	_Atomic bool failed;
	struct member member[MEMBERS];
};

extern struct crew *crew;

/* ---- common.c ---- */

/* Says what broke and ends the whole crew, as far as it listens. */
_Noreturn void broken(const char *what, long a, long b);
#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond))                                                                       \
			broken(#cond, errno, __LINE__);                                            \
	} while (0)

uint64_t now_ns(void);
/* A small generator: each user has a state of its own, not 0. */
uint64_t any(uint64_t *state);
static inline uint64_t below(uint64_t *state, uint64_t limit)
{
	return any(state) % limit;
}

/* What a filled page at this address holds in every word. */
static inline uint64_t pattern(uint64_t address)
{
	return (address | 1) * 0x9e3779b97f4a7c15ull;
}

/* What a test may not leave behind: descriptors of its own, and the machine's shared memory. */
struct leftovers {
	long shared;
	int descriptors;
};
void leftovers_note(struct leftovers *l);
void leftovers_check(const struct leftovers *before);

/* -1 when it is refused. */
int uffd_make(uint64_t features);
/* Each 0 or the errno. */
int uffd_register(int fd, uint64_t start, uint64_t len);
int uffd_unregister(int fd, uint64_t start, uint64_t len);
int uffd_protect(int fd, uint64_t start, uint64_t len, bool on);
int uffd_wake(int fd, uint64_t start, uint64_t len);
int uffd_copy(int fd, uint64_t page, const void *src, uint64_t mode);

/* ---- server.c ---- */

/* What goes with a descriptor that is handed over. */
struct handed {
	uint32_t member, epoch, context;
	uint64_t start, len;
};

bool hand_over(int to, int fd, const struct handed *about);

/* One thread's work: the descriptors it serves. */
#define SERVED (MEMBERS + 24)
struct server {
	uint64_t random;
	unsigned self; /* the member whose thread it is */
	int inbox;     /* -1: nobody hands it anything */
	unsigned count;
	struct {
		int fd;
		struct handed about;
		bool own;   /* somebody else closes it */
		bool child; /* it came with an EVENT_FORK */
	} served[SERVED];
	uint64_t page[PAGE / 8];
};

void server_add(struct server *s, int fd, const struct handed *about, bool own);
/* Serves what comes within so many milliseconds, once. */
void server_turn(struct server *s, int timeout_ms);

/* ---- member.c ---- */

/* Never returns: works until it is killed. `seed` decides what it does. */
_Noreturn void member_run(unsigned self, uint64_t seed);

#endif
