/*
 * door.h - what other processes ask of this one (front/session.h), and who answers: a thread that
 * waits for its page anyway and spins, or the service thread. Freestanding, as ledger.h.
 */
#ifndef UF_FRONT_DOOR_H
#define UF_FRONT_DOOR_H

#include <stdbool.h>
#include <stdint.h>

/* This process has a slot: its waiting threads look at the door from now on. */
void door_begin(void);
/* A descriptor may leave: there is a service thread from now on. */
void door_open(void);
/* Answer what has been asked. No locks held. */
void door_serve(void);
/*
 * Until no reader elsewhere has a message any more whose descriptor, a duplicate of `hidden`, it
 * has yet to fetch. No locks held.
 */
void door_await_fetch(int hidden);
/* In the child of a fork. */
void door_child(void);

#endif
