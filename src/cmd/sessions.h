/*
 * sessions.h - the sessions of this machine, as /proc shows them to this user: the ledgers that
 * processes have open (front/session.h), and what is in them.
 *
 * Whoever writes into a ledger may be broken or hostile, and may die at any moment. So it is read,
 * not mapped, once, and nothing in it is taken for an index, a length or a text that can be
 * printed.
 */
#ifndef UF_CMD_SESSIONS_H
#define UF_CMD_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "front/session.h"

/* A process that has the ledger open. */
struct session_holder {
	pid_t pid;
	uint64_t pid_ns; /* inode of its pid namespace, and its number there: a slot's key */
	pid_t pid_there;
	int fd; /* one of its descriptors of the ledger */
};

struct session_thread {
	uint32_t tid; /* as its own pid namespace numbers it */
	bool event;   /* it waits for an event to be read, else for its fault */
	uint64_t addr;
	uint64_t age; /* ns */
};

struct session_process {
	uint32_t slot;
	pid_t pid; /* as this process sees it, or, `elsewhere`, as it sees itself */
	bool elsewhere;
	char command[16], trap[16];
	uint32_t roles; /* SLOT_OWNER, SLOT_HANDLER */
	uint64_t contexts, ranges, pages, requests;
	uint64_t faults[4]; /* given to handlers: missing, write-protect, minor, read-write */
	uint64_t filled;    /* pages */
	uint64_t out, back; /* pages that left memory, and that came back */
	uint64_t latency[MM_LATENCY_BUCKETS], latency_max; /* of the faults that were served */
	uint32_t waiting; /* threads, of which so many are in thread[] */
	uint32_t nthreads;
	struct session_thread thread[SESSION_WAITERS];
};

struct session {
	dev_t dev;
	ino_t ino;
	uid_t user;
	enum session_check check; /* nothing below but holders unless SESSION_GOOD */
	struct session_holder *holder;
	size_t nholders;
	uint64_t id, made;
	uint32_t maker;
	char program[64];
	struct session_process *process; /* alive now, by slot */
	size_t nprocesses;
};

struct sessions {
	struct session *session;
	size_t n;
};

/* All of them that this user can see; `mine`: this user's only. False: no memory, or no /proc. */
bool sessions_find(struct sessions *all, bool mine);
void sessions_free(struct sessions *all);

/* Does text begin the session's name, its 16 digits? */
bool session_named(const struct session *s, const char *text);
/* Opens the ledger anew, by way of one that has it open. -1: errno. */
int session_open(const struct session *s, int flags);

/* The commands that look at them; with main's arguments, returning the exit status. */
int ps_main(int argc, char **argv);
int join_main(int argc, char **argv);

#endif
