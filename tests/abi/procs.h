/* SPDX-License-Identifier: MIT */
/* What the tests with several processes share. */
#ifndef PROCS_H
#define PROCS_H

#include "kinds.h"

#include <sys/wait.h>

/* The caller's end of the other process: a socket to it, and its number where it is a child. */
struct peer {
	pid_t pid;
	int sock;
};

/*
 * Forks a child that runs fn, with a socket to its parent, and exits with its result. A child whose
 * expectations fail exits with 1. It is under a time limit of its own.
 */
struct peer peer_start(int (*fn)(int sock, void *arg), void *arg);
/* The child must exit with 0. */
void peer_end(struct peer *p);
/* Ends it with SIGKILL and waits until it is gone. */
void peer_kill(struct peer *p);

/* One value from one process to the other: hear() takes the next, and fails if the other ended. */
void tell(int sock, long value);
long hear(int sock);
void send_fd(int sock, int fd);
int recv_fd(int sock);

/* The child's exit status, or minus the signal that ended it. */
int ends(pid_t pid);
/* The state of a task of any process, by its number, as /proc shows it. */
char state_of(pid_t pid);
/* Returns when the task is in this state. */
void wait_state(pid_t pid, char state);

/* An access that the compiler leaves where it is, among others whose faults are counted. */
static inline void put(char *p, int byte)
{
	*(volatile char *)p = byte;
}

static inline int get(const char *p)
{
	return *(volatile const char *)p;
}

/* A fork on a thread of its own: with EVENT_FORK it returns when its event has been read. */
struct forker {
	struct thread thread;
	int (*fn)(int sock, void *arg);
	void *arg;
	struct peer peer;
};

void fork_start(struct forker *f, int (*fn)(int sock, void *arg), void *arg);
/* Joins the thread: f->peer is the child. */
void fork_join(struct forker *f);
/* The next message must be FORK: the descriptor that it made. */
int next_fork(int fd);
/* All of it: the descriptor of the child's memory and the running child. */
int fork_with_event(int fd, struct forker *f, int (*fn)(int sock, void *arg), void *arg);

#endif
