/*
 * serve.h - userfault serve: what its files share.
 *
 * Two processes, three with the one that stands by:
 *
 *   keeper    the process that the user started. It has the listening socket, gets a duplicate of
 *             every descriptor that a guest cannot do without, and starts servers. It reads nothing
 *             that a guest wrote
 *   server    reads the guests' messages and fills their pages, with the engine (pager/engine.h)
 *   standby   the next server, with its libraries loaded and its source open. It gets everything
 *             that the keeper holds as soon as the server is gone
 *
 *   main.c        which of them this is; becoming the keeper
 *   options.c     the command line
 *   log.c         one line for each thing worth knowing, at a bounded rate
 *   socket.c      the sockets that are listened on
 *   privileges.c  what is given up before anything is read
 *   held.c        the descriptors that outlive a server, and how they are handed over
 *   keeper.c      the keeper
 *   upgrade.c     the keeper becomes the program that is installed now
 *   systemd.c     its notifications and its store of descriptors
 *   server.c      the server: guests come, are taken over, and end
 *   tell.c        what it tells the keeper
 *   finish.c      what becomes of guests when serving ends
 *   listen.c      connections, until their message is complete
 *   message.c     the message: regions of memory
 *   descriptor.c  what the descriptors that came with it are, and whose
 *   tracefile.c   --trace
 *   metrics.c     Prometheus text     status.c  JSON     http.c  how they are asked for
 */
#ifndef UF_SERVE_SERVE_H
#define UF_SERVE_SERVE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cmd/cmd.h"
#include "pager/engine.h"

/* ---- options.c
 */

#define SERVE_SOURCE_OPTIONS 32

enum log_format {
	LOG_TEXT,
	LOG_JSON
};

struct serve_options {
	const char *socket; /* NULL: handed over by systemd */
	const char *memory;
	const char *source_option[SERVE_SOURCE_OPTIONS + 1]; /* NULL-terminated */
	enum engine_failure on_failure;
	unsigned deadline_ms;		       /* 0: the engine's default, as the sizes */
	const char *record, *prefetch, *trace; /* files, or NULL */
	uint64_t trace_size;
	bool no_prefetch, direct;
	uint64_t bandwidth, cache, in_flight;
	unsigned max_guests; /* 0: as many as come */
	const char *metrics; /* NULL: none */
	unsigned metrics_guests;
	const char *user;
	const char *owner; /* of the socket */
	mode_t mode;
	bool keeper, once;
	enum engine_log level;
	enum log_format format;
	char **argv; /* the whole command line, for those that are started */
};

/* 0: go on; else *status is the exit status. */
int options_parse(int argc, char **argv, struct serve_options *o, int *status);

/* ---- log.c
 */

void log_begin(const struct serve_options *o, const char *who);
void say(enum engine_log level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for what strangers cause, or what may repeat: at most a few lines a second. */
void say_often(enum engine_log level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* engine_hooks.log */
void log_of_engine(void *arg, enum engine_log level, const char *text);
/* Text from elsewhere, without what would garble a line. */
const char *log_clean(char *text);
uint64_t now_ms(void); /* CLOCK_MONOTONIC */

/* ---- socket.c
 */

/* 0 and a listening socket, or the exit status after a complaint. */
int socket_listen(const struct serve_options *o, int *fd);
/* The same for --metrics: [127.0.0.1:]PORT, unix:PATH. */
int socket_listen_metrics(const struct serve_options *o, int *fd);
/* What it listens on: "/run/uf.sock", "127.0.0.1:9123". */
void socket_name(int fd, char *name, size_t size);
/* The name is taken away, if it is a file. */
void socket_remove(int fd);

/* ---- privileges.c
 */

/* Becomes --user, gives up what is not needed. 0, or the exit status after a complaint. */
int privileges_drop(const struct serve_options *o);
void privileges_raise_limits(void);

/* ---- held.c
 */

enum held_fd {
	HELD_FILE,   /* the guest's file; BASE: the pager's */
	HELD_UFFD,   /* BASE: the listening socket */
	HELD_MEMFD,  /* or -1; BASE: the listening socket of the metrics */
	HELD_PIDFD,  /* or -1 */
	HELD_SOCKET, /* or -1: its connection, as long as the other side has it open */
	HELD_FDS
};
#define HELD_PAGER   HELD_FILE
#define HELD_LISTEN  HELD_UFFD
#define HELD_METRICS HELD_MEMFD
/*
 * In the number of a connection whose message has not been dealt with, of which only HELD_SOCKET is
 * held: a guest that has said all would never say it again.
 */
#define HELD_CONNECTION 0x80000000u

struct held_guest {
	uint32_t number;
	int fd[HELD_FDS];
};

struct held {
	int base[HELD_FDS]; /* HELD_PAGER, HELD_LISTEN, HELD_METRICS */
	struct held_guest *guest;
	size_t n, room;
};

enum word_kind {
	/* server to keeper */
	WORD_LOADED = 1, /* it could begin */
	WORD_READY,	 /* it serves; pid */
	WORD_STATUS,	 /* text, for `systemctl status` */
	WORD_ALIVE,	 /* it still goes round */
	WORD_SIGNAL,	 /* it was sent SIGTERM (number), which is the keeper's to act on */
	WORD_DONE,	 /* it ends because there is no more to do */
	/* either way: what is held */
	WORD_BASE,
	WORD_GUEST, /* number; replaces what was there, and `connection` if that is not 0 */
	WORD_GONE,  /* number */
	WORD_ALL,   /* that was all */
	/* keeper to server */
	WORD_END,     /* serve who is there as long as needed, then end */
	WORD_END_NOW, /* end */
	WORD_LEAVE,   /* another one takes over: be gone */
	WORD_KINDS
};

struct word {
	uint32_t magic, version;
	uint32_t kind, number;
	uint32_t mask; /* which of fd[HELD_FDS] come along */
	int32_t pid;
	uint32_t connection;
	char text[228];
};

/* What two versions must agree on to hand guests over. */
#define HANDOVER_VERSION 2u

void held_begin(struct held *h);
/* The table of guests, not their descriptors. */
void held_free(struct held *h);
struct held_guest *held_find(struct held *h, uint32_t number);
/* fd[] are the table's from now on, also when this fails. */
int held_put(struct held *h, uint32_t number, const int fd[HELD_FDS]);
void held_put_base(struct held *h, const int fd[HELD_FDS]);
void held_drop(struct held *h, uint32_t number);
void held_close(int fd[HELD_FDS]);
/* Guests without what is needed to serve them are dropped. */
void held_prune(struct held *h);

void word_begin(struct word *w, enum word_kind kind);
/* -EAGAIN, -EPIPE... */
int word_send(int channel, struct word *w, const int fd[HELD_FDS]);
/* Checked. -EAGAIN, -EPIPE: the other side is gone, -EPROTO: nonsense. */
int word_receive(int channel, struct word *w, int fd[HELD_FDS]);
/* All that is held, and WORD_ALL. May block. */
int held_send(int channel, const struct held *h);
/* BASE, GUEST, GONE. Others: -EPROTO. */
int held_apply(struct held *h, const struct word *w, const int fd[HELD_FDS]);

/* The table of descriptors for an exec: a memory file; all stay open. extra: more numbers. */
#define MANIFEST_EXTRA 8
int manifest_write(const struct held *h, const int64_t extra[MANIFEST_EXTRA], bool keep);
int manifest_read(int fd, struct held *h, int64_t extra[MANIFEST_EXTRA]);

/* ---- keeper.c, upgrade.c
 */

#define ROLE_ENV "USERFAULT_SERVE" /* "server:FD", "keeper:FD" (from a server), "again:FD" */

/*
 * A pair of connected sockets, and one of our own program with the other end. role: of ROLE_ENV.
 * same: what runs here, not what is installed by now.
 */
int start_self(const struct serve_options *o, const char *role, bool same, pid_t *pid,
	       int *channel);
/* The program that this one was started as, also when another has its name by now. */
const char *self_path(void);

/* Returns the exit status. */
int keeper_main(const struct serve_options *o, struct held *held);
/* The keeper's end of a channel from a server whose keeper died. */
int keeper_from_server(const struct serve_options *o, int channel);
/* After an exec. */
int keeper_again(const struct serve_options *o, int manifest);

/* Is what is installed now able to take over? Otherwise why not is said. */
bool upgrade_possible(const struct serve_options *o);

/* ---- systemd.c: harmless where there is none
 */

/* The descriptors that systemd hands over: listening sockets, and what it stored. */
void systemd_take(struct held *h);
void systemd_ready(pid_t main_pid);
void systemd_status(const char *text);
void systemd_stopping(void);
void systemd_reloading(void);
void systemd_alive(void);
/* How often it wants to hear that, in ms; 0: not at all. */
unsigned systemd_watchdog_ms(void);
void systemd_store(const struct held_guest *g);
void systemd_store_pager(int fd);
void systemd_forget(uint32_t number);

/* ---- server.c
 */

struct message;

/* Of a connection. */
struct peer {
	int socket;
	int pidfd; /* or -1 */
	pid_t pid; /* 0: not known, it is in another pid namespace */
	uid_t uid;
};

struct client {
	struct client *next;
	struct server *server;
	struct guest *guest;
	uint32_t number;
	struct peer peer;
	bool told;	     /* the keeper knows it as it is */
	uint32_t connection; /* that its message came by, while the keeper holds that, else 0 */
	uint64_t said;	     /* bytes of the message, which are still in it then */
	struct shown *shown;
};

struct server {
	const struct serve_options *o;
	struct engine *engine;
	struct source *source;
	struct client *clients;
	unsigned nclients;
	int channel; /* to the keeper, or -1 */
	pid_t keeper;
	int base[HELD_FDS];
	uint32_t *gone; /* guests that the keeper has not been told about yet */
	size_t ngone, gone_room;
	bool tell_base, tell_all; /* to a new keeper */
	bool ending, ended, ready;
	int end_status;
	struct listener *listener;
	struct trace_file *trace;
	size_t trace_bytes;
	struct http *http;
	int signals;
	_Atomic uint64_t beat; /* now_ms() of the engine's last round */
};

/* The keeper's child; returns the exit status. */
int server_main(const struct serve_options *o, int channel);
/* Without a keeper; listener and what was stored are in held. */
int server_alone(const struct serve_options *o, struct held *held);
/*
 * From listen.c: a guest has said everything, by this connection, from which nothing has been taken
 * yet. Owns the descriptors.
 */
void server_accept(struct server *s, struct peer *peer, const struct message *m, int uffd,
		   int memfd, uint32_t connection);
/* "pid 12, uid 1000" */
void peer_name(const struct peer *p, char *name, size_t size);
void server_refused(struct server *s, const struct peer *p, const char *why);
void server_stop(struct server *s, int status);

/* Of the engine: the keeper has said something, or takes more. */
void server_hear(void *server, uint32_t events);
/* Of a guest: until the other side closes it. */
void server_watch_connection(struct server *s, struct client *c);

/* ---- tell.c
 */

/* A word to the keeper. -EAGAIN, -EPIPE, -ENOTCONN. */
int server_say(struct server *s, enum word_kind kind, uint32_t number, const int *fd);
/* What the keeper does not know yet, as far as it takes it; the rest when it takes more. */
void server_tell(struct server *s);
/* A guest is new, or has other descriptors. */
void server_keep(struct server *s, struct client *c);
/* Guest or connection `number` has ended. */
void server_forget(struct server *s, uint32_t number);
/* A connection that was just accepted: the keeper is to hold it, until it is dealt with. */
void server_hold(struct server *s, uint32_t connection, int socket);
/* The guest is kept, so its message is not needed any more. It was all looked at before. */
void server_take_message(struct client *c);

/* ---- finish.c
 */

/* Nothing of its memory is missing any more: it can do without a server. */
bool finish_complete(struct server *s, struct guest *g);
/* Kills a guest; one that cannot be gets what it misses poisoned, which is not to read as zero. */
void finish_kill(struct server *s, struct guest *g);
/* From the hook `ended`, why DETACHED: its memory is let go, or what is missing of it fails. */
void finish_release(struct server *s, struct client *c);

/* ---- listen.c
 */

int listener_begin(struct server *s, int fd);
/* One that a server before us has accepted. */
void listener_adopt(struct server *s, uint32_t connection, int fd);
/* A new keeper is to hold those there are. */
void listener_tell(struct server *s);
void listener_end(struct server *s);
unsigned listener_pending(struct server *s);

/* ---- message.c
 */

#define MESSAGE_MAX 65536u

struct message {
	struct guest_region region[GUEST_REGIONS];
	size_t n;
	uint64_t length; /* of its text, and what came right after it */
};

struct message_reader;
struct message_reader *message_reader_new(void);
void message_reader_free(struct message_reader *r);
/*
 * More of the text. 1: it is complete, 0: there must be more, -EINVAL: why tells what is wrong. All
 * numbers of a complete message are in range; message_check says the rest.
 */
int message_read(struct message_reader *r, const char *text, size_t len, struct message *out,
		 char *why, size_t why_size);
/* Of guests with a source of that many bytes. */
int message_check(const struct message *m, uint64_t source_size, char *why, size_t why_size);

/* ---- descriptor.c
 */

void peer_look(int socket, struct peer *p);
/* -EINVAL and why: not a userfaultfd that can be served. */
int descriptor_check_uffd(int fd, char *why, size_t why_size);
/* That regions of m can be filled through. */
int descriptor_check_memfd(int fd, const struct message *m, char *why, size_t why_size);

/* ---- tracefile.c
 */

/* Goes on with one that is there if `again`. 0 or -errno after a line in the log. */
int tracefile_begin(struct server *s, bool again);
void tracefile_end(struct server *s);

/* ---- metrics.c, status.c, http.c
 */

/* A guest as the metrics see it. Its counts are read by another thread. */
struct shown;
struct shown *shown_add(struct guest *g, const struct peer *p);
/* It has ended: its counts become those of all that have. */
void shown_end(struct shown *s, struct pager_file *pager);

/* A copy of the list, in the order of numbers: each has a reference. */
size_t shown_all(struct shown ***all);
void shown_free(struct shown **all, size_t n);
const struct guest_file *shown_file(const struct shown *s);
const struct peer *shown_peer(const struct shown *s);

/* malloc'ed text, or NULL. */
char *metrics_text(struct server *s, size_t *len);
char *status_text(struct server *s, size_t *len);
/* Are there reasons to say that it is not well? why: one sentence. */
bool status_healthy(struct server *s, char *why, size_t why_size);

int http_begin(struct server *s, int fd);
void http_end(struct server *s);

#endif
