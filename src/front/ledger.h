/*
 * ledger.h - this process's place in the session (front/session.h): finding the ledger, a slot in
 * it, whether others live.
 *
 * Freestanding in the sense of machine/host, as all of this may run in the trap handler or on the
 * service thread: raw system calls, no errno, no thread-local storage. Only the beginning,
 * ledger_environment, uses libc.
 */
#ifndef UF_FRONT_LEDGER_H
#define UF_FRONT_LEDGER_H

#include "front/front.h"
#include "front/session.h"

#define LEDGER_NO_SLOT UINT32_MAX

/* From front_environment. */
void ledger_environment(void);
/* Was this process started in a session? */
bool ledger_named(void);

/*
 * Find the session, or, where there is none, make one for this process and its children. 0, or a
 * negative errno with *why a sentence.
 */
int ledger_attach(const char **why);
/* The same, and get a slot. Once a process; cheap when it has one. */
int ledger_claim(const char **why);
/* What this process does in the session. */
void ledger_role(enum session_slot_role role);

/* Is fd one of ours, which the program does not know? Cheap. */
bool ledger_hides(int fd);
/* The one that a process has from the beginning; -1: none. */
int ledger_descriptor(void);

/* NULL before ledger_attach. */
const struct session_header *ledger_header(void);
/* The calling process's slot and its number; NULL, LEDGER_NO_SLOT: it has none. */
struct session_slot *ledger_own(uint32_t *number);
struct session_slot *ledger_slot(uint32_t number);
/* Does somebody live in that slot, in that generation (its 12 bits)? */
bool ledger_alive(uint32_t number, uint32_t generation);
/* The door of a slot, mapped here when first needed and for good; NULL: no room. */
struct session_door *ledger_door(uint32_t number);

/* The id of a descriptor of this process's whose context has that name. Never 0. */
uint64_t ledger_fd_id(uint32_t name);

/* A thread falls asleep over an address, or an event: a place in the slot's table, and back. */
unsigned ledger_asleep(uint64_t addr, bool event);
void ledger_awake(unsigned place);

/* In the child of a fork: it has no slot yet. */
void ledger_child(void);

#endif
