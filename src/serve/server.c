/*
 * server.c - the server: guests come, are taken over, and end. The engine does the work.
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BEAT_MS	  500
#define STATUS_MS 5000
#define SECOND_MS 1000

static const int none[HELD_FDS] = {-1, -1, -1, -1, -1};

static void make_keeper(void *arg);

void peer_name(const struct peer *p, char *name, size_t size)
{
	/* One of another pid namespace has no number here, and that of a child is not known. */
	if (p->pid > 0)
		snprintf(name, size, "pid %d, uid %d", p->pid, (int)p->uid);
	else
		snprintf(name, size, "pid not known, uid %d", (int)p->uid);
}

/* ---- the end
 */

void server_stop(struct server *s, int status)
{
	s->ended = true;
	s->end_status = status;
	engine_stop(s->engine);
}

/* Those that need no server are let go; the last one to go ends us. */
static void finish_some(void *arg)
{
	struct server *s = arg;

	for (struct client *c = s->clients, *next; c; c = next) {
		next = c->next;
		if (finish_complete(s, c->guest))
			guest_detach(c->guest, GUEST_DETACHED);
	}
	if (!s->clients && listener_pending(s) == 0)
		server_stop(s, s->end_status);
	else
		engine_timer(s->engine, 100, finish_some, s);
}

static void begin_end(struct server *s)
{
	unsigned unfinished = 0;

	if (s->ending)
		return;
	s->ending = true;
	listener_end(s);
	for (struct client *c = s->clients; c; c = c->next)
		unfinished += !finish_complete(s, c->guest);
	if (unfinished)
		say(ENGINE_WARNING,
		    "takes no new guests, and ends when the %u it has can do without it; asked "
		    "once "
		    "more it ends at once",
		    unfinished);
	finish_some(s);
}

static void end_now(struct server *s)
{
	s->ending = true;
	while (s->clients)
		guest_detach(s->clients->guest, GUEST_DETACHED);
	server_stop(s, 0);
}

/* ---- guests
 */

static struct client *client_new(struct server *s, struct guest *g, const struct peer *p)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->server = s;
	c->guest = g;
	c->number = guest_shared(g)->number;
	c->peer = *p;
	c->shown = shown_add(g, p);
	c->next = s->clients;
	s->clients = c;
	s->nclients++;
	return c;
}

static struct client *client_of(struct server *s, struct guest *g)
{
	for (struct client *c = s->clients; c; c = c->next)
		if (c->guest == g)
			return c;
	return NULL;
}

/* The other side has closed the connection, which is its right; or it says more, which is not. */
static void connection_ready(void *arg, uint32_t events)
{
	struct client *c = arg;
	struct server *s = c->server;
	char text[256];
	ssize_t n = recv(c->peer.socket, text, sizeof(text), MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		say_often(ENGINE_WARNING, "%s: something follows its message; it is not read",
			  guest_name(c->guest));
	engine_watch(s->engine, c->peer.socket, 0, NULL, NULL);
	close(c->peer.socket);
	c->peer.socket = -1;
	server_keep(s, c);
}

void server_watch_connection(struct server *s, struct client *c)
{
	char byte;

	if (c->peer.socket < 0)
		return;
	if (recv(c->peer.socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
		close(c->peer.socket);
		c->peer.socket = -1;
		return;
	}
	engine_watch(s->engine, c->peer.socket, EPOLLIN, connection_ready, c);
}

static const char *const end_text[] = {
	[GUEST_RUNS] = "it ended",
	[GUEST_EXITED] = "its process is gone",
	[GUEST_DETACHED] = "it needs no server any more",
	[GUEST_CUT_OFF] = "it broke the rules",
	[GUEST_GIVEN_UP] = "it was given up",
	[GUEST_UNMAPPED] = "it has unmapped its memory",
};

static void say_ended(struct client *c, enum guest_end why)
{
	const struct guest_file *f = guest_shared(c->guest);
	uint64_t filled = f->count[GUEST_FILLED_DEMAND] + f->count[GUEST_FILLED_NEAR] +
			  f->count[GUEST_FILLED_AHEAD];
	bool bad = why == GUEST_CUT_OFF || why == GUEST_GIVEN_UP;
	char peer[64];

	peer_name(&c->peer, peer, sizeof(peer));
	say_often(bad ? ENGINE_WARNING : ENGINE_INFO,
		  "%s (%s) has ended: %s; %ju faults, %ju pages filled, %ju failed",
		  guest_name(c->guest), peer, end_text[why], (uintmax_t)f->count[GUEST_FAULTS],
		  (uintmax_t)filled, (uintmax_t)f->count[GUEST_FAILED]);
}

static void guest_ended(void *arg, struct guest *g, enum guest_end why)
{
	struct server *s = arg;
	struct client *c = client_of(s, g), **at = &s->clients;

	if (!c)
		return;
	if (why == GUEST_DETACHED)
		finish_release(s, c);
	say_ended(c, why);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	s->nclients--;
	if (c->shown)
		shown_end(c->shown, engine_shared(s->engine));
	if (c->peer.socket >= 0) {
		engine_watch(s->engine, c->peer.socket, 0, NULL, NULL);
		close(c->peer.socket);
	}
	server_forget(s, c->number);
	free(c);
	if (s->o->once && !s->clients)
		server_stop(s, why == GUEST_CUT_OFF || why == GUEST_GIVEN_UP ? STATUS_NO : 0);
}

static void guest_given_up(void *arg, struct guest *g, const char *why)
{
	(void)why;
	finish_kill(arg, g);
}

/* ORDER, or one of its own for each guest where it has a %n. */
static const char *record_path(const struct server *s, uint32_t number, char path[PATH_MAX])
{
	const char *order = s->o->record, *n = order ? strstr(order, "%n") : NULL;

	if (!n)
		return order;
	snprintf(path, PATH_MAX, "%.*s%u%s", (int)(n - order), order, number, n + 2);
	return path;
}

/* Without %n it is the first guest's. */
static bool is_recorded(const struct server *s, uint32_t number)
{
	return s->o->record && (number == 1 || strstr(s->o->record, "%n"));
}

static struct guest_config config_of(const struct server *s, const struct peer *p)
{
	return (struct guest_config){.source = s->source,
				     .uffd = -1,
				     .memfd = -1,
				     .pidfd = p->pidfd,
				     .pid = (uint32_t)p->pid,
				     .uid = p->uid,
				     .prefetch = s->o->prefetch,
				     .no_prefetch = s->o->no_prefetch};
}

void server_refused(struct server *s, const struct peer *p, const char *why)
{
	char peer[64];

	peer_name(p, peer, sizeof(peer));
	say_often(ENGINE_WARNING, "a guest (%s) is refused: %s", peer, why);
	atomic_fetch_add(&engine_shared(s->engine)->refused, 1);
}

static int check_guest(struct server *s, const struct message *m, int uffd, int memfd, char *why,
		       size_t size)
{
	int error = 0;

	if (s->o->max_guests && s->nclients >= s->o->max_guests) {
		snprintf(why, size, "there are %u guests, which is --max-guests", s->nclients);
		return -EBUSY;
	}
	if (uffd < 0) {
		snprintf(why, size, "no descriptor came with its message");
		return -EINVAL;
	}
	error = message_check(m, s->source->size, why, size);
	if (!error)
		error = descriptor_check_uffd(uffd, why, size);
	if (!error && memfd >= 0)
		error = descriptor_check_memfd(memfd, m, why, size);
	return error;
}

static void say_accepted(struct client *c, const struct message *m)
{
	uint64_t bytes = 0;
	char peer[64];

	for (size_t i = 0; i < m->n; i++)
		bytes += m->region[i].size;
	peer_name(&c->peer, peer, sizeof(peer));
	say_often(ENGINE_INFO, "%s (%s) is served: %ju MiB in %zu region%s%s", guest_name(c->guest),
		  peer, (uintmax_t)(bytes >> 20), m->n, m->n == 1 ? "" : "s",
		  guest_memfd(c->guest) >= 0 ? ", minor faults" : "");
}

void server_accept(struct server *s, struct peer *peer, const struct message *m, int uffd,
		   int memfd, uint32_t connection)
{
	struct guest_config config = config_of(s, peer);
	uint32_t number = atomic_load(&engine_shared(s->engine)->next_number);
	char why[256] = "", path[PATH_MAX];
	struct guest_region region[GUEST_REGIONS];
	struct guest *g;
	struct client *c;
	int error = check_guest(s, m, uffd, memfd, why, sizeof(why));

	if (error) {
		int fd[HELD_FDS] = {-1, uffd, memfd, peer->pidfd, peer->socket};

		server_refused(s, peer, why);
		server_forget(s, connection);
		held_close(fd);
		return;
	}
	memcpy(region, m->region, m->n * sizeof(*region));
	for (size_t i = 0; i < m->n; i++)
		region[i].flags = memfd >= 0 ? REGION_MINOR : 0;
	config.uffd = uffd;
	config.memfd = memfd;
	config.region = region;
	config.nregions = m->n;
	config.record = is_recorded(s, number) ? record_path(s, number, path) : NULL;
	error = guest_attach(s->engine, &config, &g, why, sizeof(why));
	c = error ? NULL : client_new(s, g, peer);
	if (!c) {
		char text[64];

		peer_name(peer, text, sizeof(text));
		say_often(ENGINE_WARNING, "a guest (%s) is refused: %s", text,
			  error ? why : "no memory");
		if (!error)
			guest_detach(g, GUEST_DETACHED);
		server_forget(s, connection);
		close(peer->socket);
		return;
	}
	c->connection = connection;
	c->said = m->length;
	say_accepted(c, m);
	server_keep(s, c);
	if (c->connection && s->channel < 0)
		server_take_message(c);
	if (s->o->once)
		listener_end(s);
}

/* The child of a guest that forked, whose event the engine has read. */
static void guest_forked(void *arg, struct guest *parent, struct guest *child)
{
	struct server *s = arg;
	struct client *of = client_of(s, parent), *c;
	struct peer p = {.socket = -1, .pidfd = -1, .uid = of ? of->peer.uid : (uid_t)-1};

	c = client_new(s, child, &p);
	if (!c)
		return;
	/* Nobody else has its userfaultfd: until it is kept, its memory goes when we do. */
	server_keep(s, c);
	say_often(ENGINE_INFO, "%s is served, too", guest_name(child));
}

/* ---- taking over
 */

/* A guest that nobody can serve must not go on as if its memory were zero. */
static void cannot_adopt(struct server *s, struct held_guest *h, bool ended, const char *why)
{
	bool killed = false;

	if (!ended && s->o->on_failure != FAILURE_WAIT && h->fd[HELD_PIDFD] >= 0)
		killed = syscall(SYS_pidfd_send_signal, h->fd[HELD_PIDFD], SIGKILL, NULL, 0) == 0;
	if (!ended)
		say(ENGINE_ERROR, "guest %u cannot be taken over: %s; %s", h->number, why,
		    killed ? "it is killed" : "it waits for ever");
	if (ended || killed)
		server_forget(s, h->number);
	held_close(h->fd);
}

/* What the server before us had read of it, and had no time to take. */
static void drain(int socket)
{
	const int off = -1;
	char text[4096];

	setsockopt(socket, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off));
	while (socket >= 0 && recv(socket, text, sizeof(text), MSG_DONTWAIT) > 0)
		;
}

static void adopt(struct server *s, struct held_guest *h)
{
	struct peer p = {.socket = h->fd[HELD_SOCKET], .pidfd = h->fd[HELD_PIDFD]};
	char why[256] = "its state cannot be read", path[PATH_MAX];
	struct guest_file *head = malloc(sizeof(*head));
	struct guest_config config;
	struct guest *g = NULL;
	struct client *c;
	int error = -EINVAL;

	if (head && pread(h->fd[HELD_FILE], head, sizeof(*head), 0) == sizeof(*head)) {
		p.pid = (pid_t)head->pid;
		p.uid = head->uid;
		config = config_of(s, &p);
		config.uffd = h->fd[HELD_UFFD];
		config.memfd = h->fd[HELD_MEMFD];
		if (head->recording && is_recorded(s, head->number))
			config.record = record_path(s, head->number, path);
		error = guest_adopt(s->engine, &config, h->fd[HELD_FILE], &g, why, sizeof(why));
	}
	if (error) {
		cannot_adopt(s, h, head && head->state == GUEST_ENDED, why);
		free(head);
		return;
	}
	free(head);
	/* The engine has made a duplicate of the file, and has the others. */
	close(h->fd[HELD_FILE]);
	c = client_new(s, g, &p);
	if (!c) {
		guest_detach(g, GUEST_DETACHED);
		return;
	}
	c->told = s->o->keeper;
	drain(p.socket);
	server_watch_connection(s, c);
}

static bool open_source(struct server *s, char *why, size_t size)
{
	const struct source_env env = {.options = (const char *const *)s->o->source_option,
				       .direct = s->o->direct};

	return source_open(s->o->memory, &env, &s->source, why, size) == 0;
}

static int begin_engine(struct server *s)
{
	struct engine_options options = {
		.in_flight = s->o->in_flight,
		.cache = s->o->cache,
		.bandwidth = s->o->bandwidth,
		.deadline_ms = s->o->deadline_ms,
		.on_failure = s->o->on_failure,
		.file = s->base[HELD_PAGER],
		.trace = s->trace,
		.hooks = {.log = log_of_engine,
			  .ended = guest_ended,
			  .forked = guest_forked,
			  .give_up = guest_given_up,
			  .arg = s},
	};
	char name[128];
	int error;

	socket_name(s->base[HELD_LISTEN], name, sizeof(name));
	options.name = name;
	error = engine_new(&options, &s->engine);
	if (error == -EINVAL && options.file >= 0) {
		say(ENGINE_ERROR, "the counts of the server before are lost: they are not of this "
				  "version");
		options.file = -1;
		error = engine_new(&options, &s->engine);
	}
	if (!error)
		error = engine_add_source(s->engine, s->source);
	if (error)
		say(ENGINE_ERROR, "serving cannot begin: %s", strerror(-error));
	return error;
}

/* ---- the keeper
 */

static void lost_keeper(struct server *s)
{
	engine_watch(s->engine, s->channel, 0, NULL, NULL);
	close(s->channel);
	s->channel = -1;
	s->keeper = 0;
	atomic_store(&engine_shared(s->engine)->keeper, 0);
	if (s->ended)
		return;
	say(ENGINE_WARNING, "the keeper is gone; there will be another one");
	make_keeper(s);
}

void server_hear(void *arg, uint32_t events)
{
	struct server *s = arg;
	int fd[HELD_FDS], error = -EAGAIN;
	struct word w;

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		error = word_receive(s->channel, &w, fd);
	if (error == -EAGAIN) {
		if (events & EPOLLOUT)
			server_tell(s);
		return;
	}
	if (error) {
		lost_keeper(s);
		return;
	}
	held_close(fd);
	switch (w.kind) {
	case WORD_END:
		begin_end(s);
		break;
	case WORD_END_NOW:
		end_now(s);
		break;
	case WORD_LEAVE:
		/* As if killed: what the engine has in memory files is what the next one goes by.
		 */
		_exit(0);
	default:
		break;
	}
}

static void use_channel(struct server *s)
{
	fcntl(s->channel, F_SETFL, fcntl(s->channel, F_GETFL) | O_NONBLOCK);
	engine_watch(s->engine, s->channel, EPOLLIN, server_hear, s);
	atomic_store(&engine_shared(s->engine)->keeper, (uint32_t)s->keeper);
}

static void make_keeper(void *arg)
{
	struct server *s = arg;
	int error = start_self(s->o, "keeper", false, &s->keeper, &s->channel);

	if (error) {
		s->channel = -1;
		say_often(ENGINE_ERROR, "no keeper can be started: %s", strerror(-error));
		engine_timer(s->engine, 1000, make_keeper, s);
		return;
	}
	use_channel(s);
	s->tell_base = s->tell_all = true;
	s->ngone = 0;
	for (struct client *c = s->clients; c; c = c->next)
		c->told = false;
	listener_tell(s);
	server_tell(s);
	if (s->ending)
		server_say(s, WORD_SIGNAL, SIGTERM, NULL);
}

/* ---- signals, and what comes round
 */

static void signal_ready(void *arg, uint32_t events)
{
	struct signalfd_siginfo info;
	struct server *s = arg;
	static uint64_t asked;

	(void)events;
	while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD) {
			while (waitpid(-1, NULL, WNOHANG) > 0)
				;
		} else if (info.ssi_signo == SIGHUP) {
			if (!s->o->keeper)
				say(ENGINE_WARNING, "an upgrade needs a keeper");
		} else if (s->o->keeper) {
			server_say(s, WORD_SIGNAL, info.ssi_signo, NULL);
		} else if (!s->ending) {
			asked = now_ms();
			systemd_stopping();
			begin_end(s);
		} else if (now_ms() - asked >= SECOND_MS) {
			end_now(s);
		}
	}
}

static void status_line(void *arg)
{
	struct server *s = arg;
	struct word w;

	word_begin(&w, WORD_STATUS);
	snprintf(w.text, sizeof(w.text), "%u guest%s from %.120s%s", s->nclients,
		 s->nclients == 1 ? "" : "s", s->o->memory, s->ending ? ", ending" : "");
	if (s->channel >= 0)
		word_send(s->channel, &w, NULL);
	else if (!s->o->keeper)
		systemd_status(w.text);
	engine_timer(s->engine, STATUS_MS, status_line, s);
}

static void beat(void *arg)
{
	struct server *s = arg;

	atomic_store(&s->beat, now_ms());
	if (s->channel >= 0)
		server_say(s, WORD_ALIVE, 0, NULL);
	else if (!s->o->keeper)
		systemd_alive();
	engine_timer(s->engine, BEAT_MS, beat, s);
}

static int begin_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- serving
 */

static void say_ready(struct server *s, bool again)
{
	char name[128], metrics[160] = "";
	int fd[HELD_FDS];

	if (s->base[HELD_METRICS] >= 0) {
		char at[128];

		socket_name(s->base[HELD_METRICS], at, sizeof(at));
		snprintf(metrics, sizeof(metrics), ", metrics on %s", at);
	}
	socket_name(s->base[HELD_LISTEN], name, sizeof(name));
	if (!again)
		say(ENGINE_INFO, "serves %s on %s%s", s->source->spec, name, metrics);
	memcpy(fd, none, sizeof(fd));
	fd[HELD_PAGER] = engine_file(s->engine);
	if (s->channel >= 0) {
		server_say(s, WORD_BASE, 0, fd);
		server_say(s, WORD_READY, 0, NULL);
	} else {
		systemd_store_pager(engine_file(s->engine));
		systemd_ready(getpid());
	}
}

/* What is not needed for guests to go on. */
static void begin_rest(void *arg)
{
	struct server *s = arg;

	status_line(s);
	if (s->base[HELD_METRICS] >= 0 && http_begin(s, s->base[HELD_METRICS]) != 0)
		say(ENGINE_ERROR, "the metrics cannot be served");
}

static int serve(struct server *s, struct held *held)
{
	bool again = held->base[HELD_PAGER] >= 0;
	char why[512];
	int error;

	prctl(PR_SET_NAME, "uf-serve");
	memcpy(s->base, held->base, sizeof(s->base));
	if (!s->source && !open_source(s, why, sizeof(why))) {
		complain("--memory: %s", why);
		return STATUS_UNABLE;
	}
	if (s->o->trace && tracefile_begin(s, again) != 0)
		return STATUS_UNABLE;
	if (begin_engine(s) != 0)
		return STATUS_UNABLE;
	for (size_t i = 0; i < held->n; i++)
		if (!(held->guest[i].number & HELD_CONNECTION))
			adopt(s, &held->guest[i]);
	error = listener_begin(s, s->base[HELD_LISTEN]);
	for (size_t i = 0; i < held->n && !error; i++)
		if (held->guest[i].number & HELD_CONNECTION)
			listener_adopt(s, held->guest[i].number, held->guest[i].fd[HELD_SOCKET]);
	held_free(held);
	if (!error)
		error = engine_watch(s->engine, s->signals, EPOLLIN, signal_ready, s);
	if (error) {
		say(ENGINE_ERROR, "serving cannot begin: %s", strerror(-error));
		return STATUS_UNABLE;
	}
	if (s->channel >= 0)
		use_channel(s);
	beat(s);
	say_ready(s, again);
	server_tell(s);
	engine_timer(s->engine, again ? 20 : 0, begin_rest, s);
	error = engine_run(s->engine);
	if (error)
		say(ENGINE_ERROR, "serving ends: %s", strerror(-error));
	http_end(s);
	listener_end(s);
	s->ended = true;
	if (!error && s->channel >= 0)
		server_say(s, WORD_DONE, (uint32_t)s->end_status, NULL);
	if (!error)
		engine_free(s->engine);
	free(s->listener);
	free(s->gone);
	tracefile_end(s);
	say(ENGINE_INFO, "has ended");
	return error ? STATUS_UNABLE : s->end_status;
}

static int begin_server(struct server *s, const struct serve_options *o, int channel)
{
	*s = (struct server){.o = o, .channel = channel};
	memcpy(s->base, none, sizeof(none));
	s->signals = begin_signals();
	if (s->signals >= 0)
		return 0;
	say(ENGINE_ERROR, "no signals can be received: %s", strerror(errno));
	return STATUS_UNABLE;
}

int server_main(const struct serve_options *o, int channel)
{
	int fd[HELD_FDS], error;
	struct server s;
	struct held held;
	struct word w;
	char why[512];

	prctl(PR_SET_NAME, "uf-serve-next");
	if (begin_server(&s, o, channel) != 0)
		return STATUS_UNABLE;
	held_begin(&held);
	/* If it cannot be had now, it may be there when it is needed. */
	open_source(&s, why, sizeof(why));
	word_begin(&w, WORD_LOADED);
	error = word_send(channel, &w, NULL);
	while (!error) {
		error = word_receive(channel, &w, fd);
		if (error || w.kind == WORD_ALL)
			break;
		if (w.kind == WORD_BASE)
			s.keeper = w.pid;
		error = held_apply(&held, &w, fd);
	}
	/* The keeper needs nobody to stand by any more; or it died, and has left this to us. */
	if (error == -EPIPE && held.base[HELD_LISTEN] < 0) {
		if (s.source)
			source_close(s.source);
		return 0;
	}
	if (error && error != -EPIPE) {
		say(ENGINE_ERROR, "what the keeper hands over is nonsense: %s", strerror(-error));
		return STATUS_UNABLE;
	}
	return serve(&s, &held);
}

int server_alone(const struct serve_options *o, struct held *held)
{
	struct server s;
	int status;

	if (begin_server(&s, o, -1) != 0)
		return STATUS_UNABLE;
	held_prune(held);
	status = serve(&s, held);
	socket_remove(held->base[HELD_LISTEN]);
	socket_remove(held->base[HELD_METRICS]);
	return status;
}
