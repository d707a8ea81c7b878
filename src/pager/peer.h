/*
 * peer.h - a source that is another process: the receiving side of uf_pager_send.
 */
#ifndef UF_PAGER_PEER_H
#define UF_PAGER_PEER_H

#include "pager/source.h"

struct uf_tls;

#define HELLO_MS  30000
#define PEER_MOST (1ull << 46) /* bytes of memory */

/* As a source's open. Waits for the handshake. */
int peer_open(int socket, const struct uf_tls *tls, struct source **out, char *why,
	      size_t why_size);

#endif
