/*
 * pass.h - descriptors in messages (SCM_RIGHTS). Freestanding, as ledger.h.
 */
#ifndef UF_FRONT_PASS_H
#define UF_FRONT_PASS_H

#include <stdbool.h>
#include <stdint.h>

/* May a descriptor that arrives be a userfaultfd of the session? */
bool pass_concerns(void);
/*
 * A message of the program's (struct msghdr, at an address that may be bad) is about to be sent, or
 * has been received: the userfaultfds in it are made ready to go, or found out.
 */
void pass_sent(uint64_t msg);
void pass_received(uint64_t msg);
/* The same for one descriptor that has come in another way. */
void pass_arrived(int fd);

/* One of ours: fd to the datagram socket of that name. 0 or a negative errno. */
struct sockaddr_un;
int pass_send(const struct sockaddr_un *name, uint32_t len, int fd);
/* One that has been sent that way by a process of this user's; or a negative errno. */
int pass_receive(int sock, bool cloexec);

#endif
