/*
 * listen.c - connections, from when they are accepted until their message is complete.
 *
 * Strangers may be slow, say too much, or send descriptors by the dozen: time, bytes and numbers
 * are bounded, and one who cannot be dealt with takes the place of nobody else.
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS    5000 /* for a message */
#define SWEEP_MS       500
#define CONNECTIONS    256 /* whose message is not complete */
#define DESCRIPTORS    16  /* that one message may bring; only two mean anything */
#define ACCEPT_AT_ONCE 16
#define PAUSE_MS       500
/* What a guest takes: its connection, userfaultfd, memory, process, file; one more to look. */
#define ROOM 8

struct connection {
	struct connection *next, **at;
	struct listener *listener;
	struct peer peer;
	uint32_t number; /* HELD_CONNECTION */
	struct message_reader *reader;
	struct message message;
	uint64_t looked; /* bytes of it */
	int fd[DESCRIPTORS];
	unsigned nfds;
	uint64_t begun;
};

struct listener {
	struct server *s;
	int fd;
	struct connection *first, **last;
	unsigned n, accepted;
	bool sweeping, closed;
	/*
	 * As large as it takes to see that a message is too long: what is looked at in two parts
	 * brings its descriptors twice.
	 */
	char text[MESSAGE_MAX + 1];
};

static void sweep(void *arg);
static void accept_some(void *arg, uint32_t events);

static void connection_free(struct connection *c)
{
	struct listener *l = c->listener;

	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	else
		l->last = c->at;
	l->n--;
	if (c->peer.socket >= 0) {
		engine_watch(l->s->engine, c->peer.socket, 0, NULL, NULL);
		close(c->peer.socket);
	}
	if (c->peer.pidfd >= 0)
		close(c->peer.pidfd);
	for (unsigned i = 0; i < c->nfds; i++)
		close(c->fd[i]);
	message_reader_free(c->reader);
	free(c);
}

static void refuse(struct connection *c, const char *why)
{
	server_refused(c->listener->s, &c->peer, why);
	server_forget(c->listener->s, c->number);
	connection_free(c);
}

/* ---- the message
 */

/* More than there is room for are closed at once. false: the kernel had to drop some. */
static bool take_descriptors(struct connection *c, struct msghdr *m, bool *many)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		size_t len = h->cmsg_len - CMSG_LEN(0);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < len / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
			if (c->nfds < DESCRIPTORS) {
				c->fd[c->nfds++] = fd;
			} else {
				close(fd);
				*many = true;
			}
		}
	}
	*many |= c->nfds > 2;
	return !(m->msg_flags & MSG_CTRUNC);
}

static void complete(struct connection *c)
{
	struct server *s = c->listener->s;
	struct peer peer = c->peer;
	struct message m = c->message;
	uint32_t number = c->number;
	int uffd = c->nfds > 0 ? c->fd[0] : -1, memfd = c->nfds > 1 ? c->fd[1] : -1;

	engine_watch(s->engine, peer.socket, 0, NULL, NULL);
	c->peer.socket = c->peer.pidfd = -1;
	c->nfds = 0;
	connection_free(c);
	server_accept(s, &peer, &m, uffd, memfd, number);
}

/*
 * Looks only: should this server die, the next one finds the message where it was. How far it has
 * looked is the socket's to know (SO_PEEK_OFF). There may be more to look at?
 */
static bool look(struct connection *c)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
	char *text = c->listener->text, why[256];
	struct iovec iov = {.iov_base = text, .iov_len = sizeof(c->listener->text)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(c->peer.socket, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	bool many = false;
	int done = -1;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	if (n < 0)
		snprintf(why, sizeof(why), "its connection failed: %s", strerror(errno));
	else if (!take_descriptors(c, &m, &many))
		snprintf(why, sizeof(why),
			 many ? "it sends too many descriptors"
			      : "there is no room for its descriptors; 'ulimit -n' raises the "
				"limit");
	else if (many)
		snprintf(why, sizeof(why), "more than two descriptors came with its message");
	else if (n == 0)
		snprintf(why, sizeof(why), "it has gone before its message was complete");
	else
		done = message_read(c->reader, text, (size_t)n, &c->message, why, sizeof(why));
	if (done < 0) {
		refuse(c, why);
		return false;
	}
	c->looked += (uint64_t)n;
	if (done == 0)
		return true;
	c->message.length = c->looked;
	complete(c);
	return false;
}

static void read_message(void *arg, uint32_t events)
{
	(void)events;
	while (look(arg))
		;
}

/* ---- connections
 */

static void sweep(void *arg)
{
	struct listener *l = arg;

	l->sweeping = false;
	while (l->first && now_ms() - l->first->begun >= PATIENCE_MS)
		refuse(l->first, "it does not say all of its message in time");
	if (l->first) {
		l->sweeping = true;
		engine_timer(l->s->engine, SWEEP_MS, sweep, l);
	}
}

static void begin_connection(struct listener *l, int fd, uint32_t number)
{
	struct connection *c = calloc(1, sizeof(*c));
	const int from = 0;

	if (c)
		c->reader = message_reader_new();
	if (!c || !c->reader) {
		free(c);
		close(fd);
		say_often(ENGINE_ERROR, "there is no memory for another guest");
		server_forget(l->s, number);
		return;
	}
	peer_look(fd, &c->peer);
	setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &from, sizeof(from));
	c->listener = l;
	c->number = number;
	c->begun = now_ms();
	c->at = l->last;
	*l->last = c;
	l->last = &c->next;
	l->n++;
	/* What has been looked at is still there: only more of it is an event. */
	if (engine_watch(l->s->engine, fd, EPOLLIN | EPOLLET, read_message, c) != 0) {
		refuse(c, "there is no memory for it");
		return;
	}
	if (l->n > CONNECTIONS)
		refuse(l->first, "it has not said all of its message, and others want to");
	if (!l->sweeping) {
		l->sweeping = true;
		engine_timer(l->s->engine, SWEEP_MS, sweep, l);
	}
}

/* Without it a message's descriptors would be lost, and the guest with them. */
static bool is_room(struct listener *l)
{
	unsigned wanted = ROOM + (l->n < 16 ? l->n : 16) * ROOM, n = 0;
	int fd[ROOM * 17];

	while (n < wanted && (fd[n] = fcntl(l->fd, F_DUPFD_CLOEXEC, 0)) >= 0)
		n++;
	for (unsigned i = 0; i < n; i++)
		close(fd[i]);
	return n == wanted;
}

static void go_on(void *arg)
{
	struct listener *l = arg;

	if (!l->closed)
		engine_watch(l->s->engine, l->fd, EPOLLIN, accept_some, l);
}

static void pause_for_descriptors(struct listener *l)
{
	say_often(
		ENGINE_WARNING,
		"no descriptors are left for more guests than these %u; they wait until there are "
		"('ulimit -n' raises the limit)",
		l->s->nclients);
	engine_watch(l->s->engine, l->fd, 0, NULL, NULL);
	engine_timer(l->s->engine, PAUSE_MS, go_on, l);
}

/* No server of before has used it for one that may still be held. */
static uint32_t new_number(struct listener *l)
{
	return HELD_CONNECTION | ((uint32_t)getpid() & 0x3ffff) << 13 | (l->accepted++ & 0x1fff);
}

static void accept_some(void *arg, uint32_t events)
{
	struct listener *l = arg;

	(void)events;
	for (unsigned i = 0; i < ACCEPT_AT_ONCE && !l->closed; i++) {
		struct pollfd waiting = {.fd = l->fd, .events = POLLIN};
		uint32_t number;
		int fd;

		if (poll(&waiting, 1, 0) <= 0)
			return;
		if (!(waiting.revents & POLLHUP) && !is_room(l)) {
			pause_for_descriptors(l);
			return;
		}
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			number = new_number(l);
			server_hold(l->s, number, fd);
			begin_connection(l, fd, number);
			continue;
		}
		if (errno == EINVAL) /* shut down, by a server before us */
			engine_watch(l->s->engine, l->fd, 0, NULL, NULL);
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			pause_for_descriptors(l);
		return;
	}
}

int listener_begin(struct server *s, int fd)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->s = s;
	l->fd = fd;
	l->last = &l->first;
	s->listener = l;
	return engine_watch(s->engine, fd, EPOLLIN, accept_some, l);
}

/* Connections would wait in it for nobody. One of systemd's is for the server after us. */
static void shut(const struct listener *l)
{
	const char *own = l->s->o->socket;
	char name[128];

	socket_name(l->fd, name, sizeof(name));
	if (own && strcmp(own, name) == 0)
		shutdown(l->fd, SHUT_RDWR);
}

void listener_end(struct server *s)
{
	struct listener *l = s->listener;

	if (!l || l->closed)
		return;
	/* Timers may still come: it stays. */
	l->closed = true;
	engine_watch(s->engine, l->fd, 0, NULL, NULL);
	shut(l);
	while (l->first)
		refuse(l->first, "serving ends");
}

void listener_adopt(struct server *s, uint32_t connection, int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	begin_connection(s->listener, fd, connection);
}

void listener_tell(struct server *s)
{
	for (struct connection *c = s->listener ? s->listener->first : NULL; c; c = c->next)
		server_hold(s, c->number, c->peer.socket);
}

unsigned listener_pending(struct server *s)
{
	return s->listener ? s->listener->n : 0;
}
