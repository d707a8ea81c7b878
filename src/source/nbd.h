/*
 * nbd.h - the source that is an NBD server, in three parts.
 *
 *   nbd.c        what the engine calls, on its thread: chooses a connection for each request, and
 *                sends it again over another one when its connection is lost
 *   nbd_conn.c   a connection and its thread, which alone touches libnbd's handle: so neither a
 *                slow name server nor the copying of what arrives holds up the engine
 *   nbd_write.c  the writer
 *
 * A request is a job from fetch to done. It goes from the engine's thread into a connection's inbox
 * and comes back through the source's list of finished ones; both under the source's lock.
 */
#ifndef UF_SOURCE_NBD_H
#define UF_SOURCE_NBD_H

#include <libnbd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pager/source.h"
#include "source/window.h"

#define NBD_CHUNK	    (256u << 10)
#define NBD_CONNECTIONS	    4u	/* by default, of servers that allow several */
#define NBD_CONNECTIONS_MAX 16u /* "connections=" */
#define NBD_AHEAD_LEAST	    3u
#define NBD_AHEAD_EACH	    16u /* prefetches under way on a connection that only does that */
#define NBD_AHEAD_SHARED    6u	/* on one that also serves demand, which then queues behind them */
#define NBD_DEMAND	    64u
#define NBD_OPEN_MS	    10000u
#define NBD_CONNECT_MS	    5000u
#define NBD_STALL_MS	    15000u /* without a byte of answer: the connection is given up */
#define NBD_CANCEL_MS	    500u   /* a canceled job's answer may still come; then likewise */
#define NBD_SCAN_MS	    1000u  /* that open waits to learn where the holes are */
#define NBD_HOLES_MAX	    (1u << 20)

struct nbd_conn;

struct nbd_job {
	struct source_request *request;
	struct nbd_conn *conn;
	struct nbd_job *next;		/* inbox, finished or free */
	struct nbd_job *before, *after; /* under way: the connection's */
	void *bounce; /* where the server wants larger blocks than we were asked for */
	uint64_t from;
	uint32_t len;
	unsigned parts; /* replies to come */
	int error;
	bool lost; /* its connection was */
	bool canceled;
	unsigned sent;
};

struct nbd_queue {
	struct nbd_job *first, **last;
};

enum nbd_state {
	NBD_DOWN,
	NBD_CONNECTING,
	NBD_UP
};

/* How a server is named, and what is to be said to it. Strings are the configuration's own. */
struct nbd_target {
	char *uri;
	char *tls_certificates, *tls_psk_file, *tls_username;
	bool tls_no_verify;
	unsigned connections;
};

struct nbd_extents {
	uint64_t known; /* [0, known) has been asked for */
	bool ended;	/* no more will be */
	bool asking;	/* the scanning connection's */
	size_t count, room;
	struct nbd_hole {
		uint64_t offset, end;
	} * hole;
};

struct nbd_conn {
	struct nbd_source *s;
	pthread_t thread;
	bool started;
	int wake; /* eventfd: inbox, repair, cancels or stop have changed */
	unsigned number;

	/* Under the source's lock. */
	struct nbd_queue inbox;
	enum nbd_state state;
	bool repair, cancels, stop;

	/* The engine's. */
	unsigned in_flight;

	/* The thread's. */
	struct nbd_handle *h;
	struct nbd_job *under_way;
	uint64_t progress; /* when something last arrived, or was sent with nothing under way; ms */
	uint64_t cancel_by; /* 0: none was canceled */
	uint64_t retry_at;
	unsigned backoff;
};

struct nbd_source {
	struct source base;
	struct nbd_target target;
	uint32_t align;	  /* the server's smallest block */
	uint32_t largest; /* and the most it sends at once; a multiple of align */
	int fd;		  /* eventfd: there are finished jobs */

	pthread_mutex_t lock;
	pthread_cond_t scanned;
	struct nbd_queue finished;
	struct nbd_extents extents;

	/* The engine's. */
	unsigned connections;
	unsigned ahead;
	struct window window;
	struct nbd_job *job, *unused;
	struct nbd_conn conn[NBD_CONNECTIONS_MAX];
};

uint64_t nbd_now(void);
/* -EIO where libnbd names no errno. */
int nbd_why(char *why, size_t why_size, const char *uri);

int nbd_target_read(struct nbd_target *t, const char *spec, const struct source_env *env, char *why,
		    size_t why_size);
void nbd_target_free(struct nbd_target *t);
/*
 * Connects within ms, or until wake (or -1) is readable and *stop says so: -ECANCELED. May block on
 * resolving a name.
 */
int nbd_target_connect(const struct nbd_target *t, bool extents, unsigned ms, int wake,
		       const bool *stop, pthread_mutex_t *lock, struct nbd_handle **out, char *why,
		       size_t why_size);

/* Of a hole only whole pages count. */
uint64_t nbd_hole_begin(const struct nbd_hole *hole);
uint64_t nbd_hole_end(const struct nbd_source *s, const struct nbd_hole *hole);

void nbd_queue_init(struct nbd_queue *q);
void nbd_queue_put(struct nbd_queue *q, struct nbd_job *job);
struct nbd_job *nbd_queue_take_all(struct nbd_queue *q);

/* h: connected already, or NULL. */
int nbd_conn_start(struct nbd_conn *c, struct nbd_handle *h);
void nbd_conn_stop(struct nbd_conn *c);
void nbd_wake(int fd);

extern const struct source_writer_ops nbd_writer_ops;

#endif
