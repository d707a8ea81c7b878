/*
 * tell.c - what the keeper is told, so that a guest outlives this server.
 */
#include "serve.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEEPER_MS 1000
#define AGAIN_MS  100

static void fds_of(const struct client *c, int fd[HELD_FDS])
{
	fd[HELD_FILE] = guest_fd(c->guest);
	fd[HELD_UFFD] = guest_uffd(c->guest);
	fd[HELD_MEMFD] = guest_memfd(c->guest);
	fd[HELD_PIDFD] = guest_pidfd(c->guest);
	fd[HELD_SOCKET] = c->peer.socket;
}

static int say_guest(struct server *s, uint32_t number, uint32_t connection, const int *fd)
{
	struct word w;

	word_begin(&w, WORD_GUEST);
	w.number = number;
	w.connection = connection;
	return word_send(s->channel, &w, fd);
}

int server_say(struct server *s, enum word_kind kind, uint32_t number, const int *fd)
{
	struct word w;

	if (s->channel < 0)
		return -ENOTCONN;
	word_begin(&w, kind);
	w.number = number;
	w.pid = getpid();
	return word_send(s->channel, &w, fd);
}

static int tell_gone(struct server *s)
{
	int error = 0;

	while (s->ngone > 0 && !error) {
		error = server_say(s, WORD_GONE, s->gone[s->ngone - 1], NULL);
		if (!error)
			s->ngone--;
	}
	return error;
}

void server_take_message(struct client *c)
{
	const int off = -1;
	char text[4096];

	c->connection = 0;
	if (c->peer.socket < 0)
		return;
	setsockopt(c->peer.socket, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off));
	for (uint64_t left = c->said; left > 0;) {
		ssize_t n = recv(c->peer.socket, text, left < sizeof(text) ? left : sizeof(text),
				 MSG_DONTWAIT);

		if (n <= 0)
			break;
		left -= (uint64_t)n;
	}
	server_watch_connection(c->server, c);
}

static int tell_guests(struct server *s)
{
	int error = 0;

	for (struct client *c = s->clients; c && !error; c = c->next) {
		int fd[HELD_FDS];

		if (c->told)
			continue;
		fds_of(c, fd);
		error = say_guest(s, c->number, c->connection, fd);
		c->told = !error;
		if (!error && c->connection)
			server_take_message(c);
	}
	return error;
}

/* To one that knows nothing yet. */
static int tell_base(struct server *s)
{
	int fd[HELD_FDS], error;

	memcpy(fd, s->base, sizeof(fd));
	fd[HELD_PAGER] = engine_file(s->engine);
	error = server_say(s, WORD_BASE, 0, fd);
	s->tell_base = error != 0;
	return error;
}

static void tell_again(void *arg)
{
	server_tell(arg);
}

void server_tell(struct server *s)
{
	int error = 0;

	if (s->channel < 0)
		return;
	if (s->tell_base)
		error = tell_base(s);
	if (!error)
		error = tell_gone(s);
	if (!error)
		error = tell_guests(s);
	if (!error && s->tell_all) {
		error = server_say(s, WORD_ALL, 0, NULL);
		s->tell_all = error != 0;
	}
	engine_watch(s->engine, s->channel, EPOLLIN | (error == -EAGAIN ? EPOLLOUT : 0),
		     server_hear, s);
	/* No memory, or more descriptors under way than its user may have: that passes. */
	if (error && error != -EAGAIN && error != -EPIPE)
		engine_timer(s->engine, AGAIN_MS, tell_again, s);
}

void server_keep(struct server *s, struct client *c)
{
	struct held_guest g = {.number = c->number};

	c->told = false;
	if (s->channel >= 0) {
		server_tell(s);
	} else if (!s->o->keeper) {
		fds_of(c, g.fd);
		systemd_store(&g);
	}
}

void server_forget(struct server *s, uint32_t number)
{
	if (!s->o->keeper) {
		systemd_forget(number);
		return;
	}
	if (s->ngone == s->gone_room) {
		size_t room = s->gone_room ? 2 * s->gone_room : 64;
		uint32_t *more = realloc(s->gone, room * sizeof(*more));

		if (!more)
			return; /* the keeper holds it in vain, and the next server finds it ended
				 */
		s->gone = more;
		s->gone_room = room;
	}
	s->gone[s->ngone++] = number;
	server_tell(s);
}

void server_hold(struct server *s, uint32_t connection, int socket)
{
	int fd[HELD_FDS] = {-1, -1, -1, -1, socket};
	struct pollfd p = {.fd = s->channel, .events = POLLOUT};

	/* The keeper does nothing that takes long. */
	while (s->channel >= 0 && say_guest(s, connection, 0, fd) == -EAGAIN)
		if (poll(&p, 1, KEEPER_MS) <= 0)
			break;
}
