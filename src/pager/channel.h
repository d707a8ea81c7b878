/*
 * channel.h - messages between two processes over a stream socket, in TLS or in clear.
 *
 * Nothing blocks but the opening. Frames that are sent are queued; frames that arrive are there
 * whole or not at all. All numbers are little-endian on the wire.
 */
#ifndef UF_PAGER_CHANNEL_H
#define UF_PAGER_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uf_tls;
struct channel;

enum frame_type {
	FRAME_HELLO = 1, /* sender: offset: CHANNEL_MAGIC, value: the size of the memory */
	FRAME_REQUEST,	 /* receiver: value bytes from offset, please */
	FRAME_DATA,	 /* sender: value bytes from offset: `len` bytes follow, or 0: all zero */
	FRAME_COMPLETE,	 /* receiver: it has everything */
	FRAME_FAILED,	 /* sender: value bytes from offset cannot be had */
};

#define CHANNEL_MAGIC 0x3145564f4d465555ull
#define CHANNEL_MOST  (2u << 20) /* bytes of data in a frame */

struct frame {
	uint32_t type;
	uint32_t len; /* of what follows */
	uint64_t offset, value;
};

/*
 * socket: connected; duplicated. server: who accepts the TLS handshake. tls NULL: in clear. Waits
 * up to 30 s for the handshake. -EPROTO, -EPERM (certificates), -ETIMEDOUT, -EPIPE. why: a
 * sentence.
 */
int channel_open(int socket, const struct uf_tls *tls, int server, struct channel **out, char *why,
		 size_t why_size);
void channel_close(struct channel *c);
int channel_fd(const struct channel *c);
/* POLL* to wait for. */
short channel_events(const struct channel *c);
/*
 * Sends and receives what can be without waiting. -EPIPE: the other side is gone. Afterwards there
 * may be frames (channel_next), of which no event on the descriptor will tell.
 */
int channel_pump(struct channel *c);
/* There is more to receive, of which no event will tell: pump once more. */
bool channel_pending(const struct channel *c);
/* Sends only. */
int channel_flush(struct channel *c);
/* Bytes that wait to be sent. */
size_t channel_queued(const struct channel *c);
/* Copies. -ENOMEM. */
int channel_send(struct channel *c, const struct frame *f, const void *data);
/*
 * The next frame that has arrived. 1 and *data, valid until the next call of anything here; 0:
 * none; -EPROTO: nonsense.
 */
int channel_next(struct channel *c, struct frame *f, const void **data);
/* Waits until all is sent, or a frame has arrived. */
int channel_wait(struct channel *c, int timeout_ms);

#endif
