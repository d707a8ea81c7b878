/*
 * keeper.c - the keeper: holds what guests cannot do without, and sees to it that there is a
 * server.
 *
 * A server's death is the end of its channel, which the kernel closes with its other descriptors.
 * Then the standby gets everything. Nothing here depends on what a guest wrote, there is no thread
 * and no library beyond the C library's and systemd's, so that the keeper has little to die of.
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* A server that died sooner than this after it was given everything made no progress. */
#define PROGRESS_MS 2000
/* So many such in a row are replaced at once; then ever later, up to LATEST_MS. */
#define AT_ONCE	  20
#define FIRST_MS  50
#define LATEST_MS 1000
/* A first server that never was ready. */
#define TRIES 5
/* The next standby is started when the server has had time for those who waited: not later, as
 * without one the death of keeper and server together takes the guests along. */
#define STANDBY_MS 5
/* A signal that came to keeper and server is one. */
#define SECOND_MS 1000
#define NEVER	  UINT64_MAX

struct child {
	pid_t pid;
	bool mine; /* we are its parent */
	int pidfd; /* if we are not; 0: none */
	int channel;
	bool loaded, given, ready;
	uint64_t given_at;
};

struct keeper {
	const struct serve_options *o;
	struct held held;
	struct child server, standby;
	uint64_t start_at; /* a standby */
	uint64_t give_at;  /* what is held to the standby, when there is no server */
	uint64_t died_at;
	unsigned deaths;   /* in a row, without progress */
	unsigned failures; /* of standbys, in a row */
	bool ever_ready, ending, replacing, done;
	uint64_t end_asked_at;
	uint64_t alive_at, watchdog_at;
	int signals;
	int status;
};

/* ---- starting one of ourselves
 */

const char *self_path(void)
{
	static char path[PATH_MAX];
	static const char gone[] = " (deleted)";
	ssize_t n;

	if (path[0])
		return path;
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = 0;
	if (n > (ssize_t)strlen(gone) && strcmp(path + n - strlen(gone), gone) == 0)
		path[n - (ssize_t)strlen(gone)] = 0;
	return path;
}

/* The environment with our variable in place of another of that name. */
static char **environment_with(const char *variable)
{
	size_t n = 0, name = strlen(ROLE_ENV) + 1, to = 0;
	char **copy;

	while (environ[n])
		n++;
	copy = calloc(n + 2, sizeof(*copy));
	if (!copy)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], ROLE_ENV "=", name) != 0)
			copy[to++] = environ[i];
	copy[to] = (char *)variable;
	return copy;
}

int start_self(const struct serve_options *o, const char *role, bool same, pid_t *pid, int *channel)
{
	char variable[64], name[64], *argv0 = o->argv[0];
	posix_spawn_file_actions_t actions;
	int pair[2], error;
	char **env;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return -errno;
	snprintf(variable, sizeof(variable), "%s=%s:%d", ROLE_ENV, role, pair[1]);
	snprintf(name, sizeof(name), "userfault-serve (%s)", role);
	env = environment_with(variable);
	posix_spawn_file_actions_init(&actions);
	/* To itself: so it is open in the new program. */
	posix_spawn_file_actions_adddup2(&actions, pair[1], pair[1]);
	o->argv[0] = name;
	error = !env   ? ENOMEM
		: same ? ENOENT
		       : posix_spawn(pid, self_path(), &actions, NULL, o->argv, env);
	if (error == ENOENT) /* also when its file is gone */
		error = posix_spawn(pid, "/proc/self/exe", &actions, NULL, o->argv, env);
	o->argv[0] = argv0;
	posix_spawn_file_actions_destroy(&actions);
	free(env);
	close(pair[1]);
	if (error) {
		close(pair[0]);
		return -error;
	}
	*channel = pair[0];
	return 0;
}

static void forget_child(struct child *c)
{
	if (c->channel >= 0)
		close(c->channel);
	if (c->pidfd > 0)
		close(c->pidfd);
	*c = (struct child){.channel = -1};
}

static void start_standby(struct keeper *k)
{
	struct timeval patience = {.tv_sec = 10};
	int error;

	k->start_at = NEVER;
	/* What is installed now may be something that does not work. */
	error = start_self(k->o, "server", k->failures >= 2 && !k->replacing, &k->standby.pid,
			   &k->standby.channel);
	if (error) {
		say_often(ENGINE_ERROR, "a server cannot be started: %s", strerror(-error));
		k->start_at = now_ms() + 1000;
		return;
	}
	k->standby.mine = true;
	setsockopt(k->standby.channel, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

/* Two servers must never serve one guest: it is dead when this returns. */
static int end_child(struct child *c)
{
	int status = 0;

	if (c->mine) {
		kill(c->pid, SIGKILL);
		while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
			;
	} else if (c->pidfd > 0) {
		struct pollfd gone = {.fd = c->pidfd, .events = POLLIN};

		syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0);
		while (poll(&gone, 1, -1) < 0 && errno == EINTR)
			;
	}
	forget_child(c);
	return status;
}

/* ---- a server takes over
 */

static void tell(struct keeper *k, enum word_kind kind)
{
	struct word w;

	word_begin(&w, kind);
	if (k->server.channel >= 0)
		word_send(k->server.channel, &w, NULL);
}

static void promote(struct keeper *k)
{
	int error;

	k->give_at = NEVER;
	k->server = k->standby;
	k->standby = (struct child){.channel = -1};
	k->server.given = true;
	k->server.given_at = now_ms();
	k->alive_at = k->server.given_at;
	held_prune(&k->held);
	error = held_send(k->server.channel, &k->held);
	if (error && error != -EPIPE) {
		say(ENGINE_ERROR, "the server (pid %d) does not take the guests over: %s",
		    k->server.pid, strerror(-error));
		kill(k->server.pid, SIGKILL);
	}
	if (k->ending)
		tell(k, WORD_END);
}

static void describe(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(text, size, "was killed by signal %d (%s)", WTERMSIG(status),
			 sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status)) : "?");
	else
		snprintf(text, size, "ended with status %d", WEXITSTATUS(status));
}

/* Was that the first one, which could not begin at all? Then neither can another one. */
static bool hopeless(struct keeper *k, int status)
{
	if (k->ever_ready || k->held.n > 0)
		return false;
	return (WIFEXITED(status) && WEXITSTATUS(status) != 0) || k->deaths >= TRIES;
}

static void lost_server(struct keeper *k)
{
	pid_t pid = k->server.pid;
	bool mine = k->server.mine;
	bool progress = k->server.ready && now_ms() - k->server.given_at >= PROGRESS_MS;
	int status = end_child(&k->server);
	char how[64] = "is gone";

	if (mine)
		describe(status, how, sizeof(how));
	if (k->done)
		return;
	k->died_at = now_ms();
	k->deaths = progress ? 0 : k->deaths + 1;
	if (hopeless(k, status)) {
		k->status = WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_UNABLE;
		k->done = true;
		if (WIFSIGNALED(status))
			say(ENGINE_ERROR, "the server (pid %d) %s before it could serve", pid, how);
		return;
	}
	if (k->ending && k->held.n == 0) {
		k->done = true;
		return;
	}
	if (k->replacing)
		say(ENGINE_INFO, "the server (pid %d) has left for its successor", pid);
	else
		say(ENGINE_WARNING, "the server (pid %d) %s; another one takes over %zu guest%s",
		    pid, how, k->held.n, k->held.n == 1 ? "" : "s");
	k->give_at = k->died_at;
	if (k->deaths > AT_ONCE && !k->replacing) {
		unsigned shift = k->deaths - AT_ONCE - 1;
		uint64_t delay = shift < 4 ? (uint64_t)FIRST_MS << shift : LATEST_MS;

		k->give_at += delay;
		say(ENGINE_ERROR,
		    "the server has died %u times in a row; the next one begins in %ju ms",
		    k->deaths, (uintmax_t)delay);
	}
	k->replacing = false;
	if (k->standby.channel < 0)
		k->start_at = k->died_at;
}

static void lost_standby(struct keeper *k)
{
	char how[64] = "is gone";
	int status = end_child(&k->standby);

	describe(status, how, sizeof(how));
	k->failures++;
	if (k->server.channel < 0 && hopeless(k, status)) {
		k->status = WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_UNABLE;
		k->done = true;
		return;
	}
	if (k->server.channel < 0 && k->failures >= TRIES && k->held.n == 0 && !k->ever_ready) {
		k->status = STATUS_UNABLE;
		k->done = true;
		return;
	}
	say_often(ENGINE_WARNING, "the server that stood by %s", how);
	if (k->replacing && k->failures >= TRIES) {
		say(ENGINE_ERROR, "the new server cannot be started; the old one goes on");
		k->replacing = false;
	}
	k->start_at = now_ms() + (k->failures < 3 ? 20 : 1000);
}

/* ---- what servers say
 */

static void server_ready(struct keeper *k, const struct word *w)
{
	if (k->ever_ready && k->died_at)
		say(ENGINE_INFO, "server (pid %d) has taken over %zu guest%s, %ju ms later", w->pid,
		    k->held.n, k->held.n == 1 ? "" : "s", (uintmax_t)(now_ms() - k->died_at));
	k->server.ready = true;
	k->ever_ready = true;
	k->died_at = 0;
	if (k->standby.channel < 0)
		k->start_at = now_ms() + STANDBY_MS;
	systemd_ready(getpid());
}

static void asked_to_end(struct keeper *k, int signal)
{
	uint64_t now = now_ms();

	if (k->ending && now - k->end_asked_at < SECOND_MS)
		return;
	k->end_asked_at = now;
	if (k->ending) {
		say(ENGINE_WARNING, "ends now");
		tell(k, WORD_END_NOW);
		return;
	}
	k->ending = true;
	say(ENGINE_DEBUG, "was sent signal %d", signal);
	systemd_stopping();
	/* A server that is on its way is told when it gets the guests. */
	tell(k, WORD_END);
	if (k->server.channel < 0 && k->held.n == 0)
		k->done = true;
}

static void hear_server(struct keeper *k)
{
	int fd[HELD_FDS];
	struct word w;
	int error = word_receive(k->server.channel, &w, fd);

	if (error == -EAGAIN)
		return;
	if (error) {
		if (error != -EPIPE)
			say(ENGINE_ERROR, "the server (pid %d) says nonsense", k->server.pid);
		lost_server(k);
		return;
	}
	switch (w.kind) {
	case WORD_READY:
		server_ready(k, &w);
		break;
	case WORD_STATUS:
		systemd_status(w.text);
		break;
	case WORD_ALIVE:
		k->alive_at = now_ms();
		break;
	case WORD_SIGNAL:
		asked_to_end(k, (int)w.number);
		break;
	case WORD_DONE:
		k->done = true;
		k->status = (int)w.number;
		break;
	case WORD_BASE:
	case WORD_GUEST:
	case WORD_GONE:
		error = held_apply(&k->held, &w, fd);
		if (error)
			say(ENGINE_ERROR, "guest %u cannot be kept: %s", w.number,
			    strerror(-error));
		else if (w.kind == WORD_BASE)
			systemd_store_pager(k->held.base[HELD_PAGER]);
		else if (w.kind == WORD_GUEST)
			systemd_store(held_find(&k->held, w.number));
		else
			systemd_forget(w.number);
		break;
	default:
		held_close(fd);
	}
}

static void hear_standby(struct keeper *k)
{
	int fd[HELD_FDS];
	struct word w;
	int error = word_receive(k->standby.channel, &w, fd);

	held_close(fd);
	if (error == -EAGAIN)
		return;
	if (error) {
		lost_standby(k);
		return;
	}
	if (w.kind != WORD_LOADED)
		return;
	k->standby.loaded = true;
	k->failures = 0;
	if (k->replacing)
		tell(k, WORD_LEAVE);
}

/* ---- becoming the program that is installed now
 */

static void upgrade(struct keeper *k)
{
	int64_t extra[MANIFEST_EXTRA] = {k->server.pid, k->server.channel, k->ending,
					 k->server.mine, k->ever_ready};
	char variable[64], **env;
	int fd, error;

	if (k->ending || !k->server.ready || !upgrade_possible(k->o))
		return;
	systemd_reloading();
	say(ENGINE_INFO, "upgrades to what is now %s", self_path());
	if (k->standby.channel >= 0)
		end_child(&k->standby);
	fd = manifest_write(&k->held, extra, true);
	error = fd < 0 ? -fd : 0;
	if (fd >= 0) {
		snprintf(variable, sizeof(variable), ROLE_ENV "=again:%d", fd);
		env = environment_with(variable);
		fcntl(k->server.channel, F_SETFD, 0);
		if (env)
			execve(self_path(), k->o->argv, env);
		error = errno;
		fcntl(k->server.channel, F_SETFD, FD_CLOEXEC);
		free(env);
		close(fd);
	}
	manifest_write(&k->held, extra, false);
	say(ENGINE_ERROR, "cannot become '%s': %s; goes on as it is", self_path(), strerror(error));
	k->start_at = now_ms();
	systemd_ready(getpid());
}

/* ---- the loop
 */

static int block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void hear_signal(struct keeper *k)
{
	struct signalfd_siginfo info;

	if (read(k->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP)
		upgrade(k);
	else
		asked_to_end(k, (int)info.ssi_signo);
}

static void watchdog(struct keeper *k)
{
	unsigned period = systemd_watchdog_ms();
	uint64_t now = now_ms();

	if (!period || now < k->watchdog_at)
		return;
	k->watchdog_at = now + period / 4;
	if (now - k->alive_at < period / 2)
		systemd_alive();
}

static int until(const struct keeper *k)
{
	uint64_t now = now_ms(), next = NEVER;

	if (k->start_at < next)
		next = k->start_at;
	if (k->server.channel < 0 && k->standby.loaded && k->give_at < next)
		next = k->give_at;
	if (systemd_watchdog_ms() && k->watchdog_at < next)
		next = k->watchdog_at;
	if (next == NEVER)
		return -1;
	return next <= now ? 0 : (int)(next - now);
}

static void wait_and_hear(struct keeper *k)
{
	struct pollfd p[] = {{.fd = k->signals, .events = POLLIN},
			     {.fd = k->server.channel, .events = POLLIN},
			     {.fd = k->standby.channel, .events = POLLIN}};

	if (poll(p, 3, until(k)) < 0)
		return;
	if (p[0].revents)
		hear_signal(k);
	if (p[1].revents && k->server.channel == p[1].fd)
		hear_server(k);
	if (p[2].revents && k->standby.channel == p[2].fd)
		hear_standby(k);
}

static int keep(struct keeper *k)
{
	prctl(PR_SET_NAME, "uf-serve-keeper");
	k->signals = block_signals();
	if (k->signals < 0) {
		complain("no signals can be received: %s", strerror(errno));
		return STATUS_UNABLE;
	}
	while (!k->done) {
		if (now_ms() >= k->start_at)
			start_standby(k);
		if (k->server.channel < 0 && k->standby.loaded && now_ms() >= k->give_at)
			promote(k);
		watchdog(k);
		wait_and_hear(k);
	}
	if (k->standby.channel >= 0)
		end_child(&k->standby);
	if (k->server.channel >= 0 && k->server.mine) {
		/* It has said that it is done. */
		close(k->server.channel);
		while (waitpid(k->server.pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	socket_remove(k->held.base[HELD_LISTEN]);
	socket_remove(k->held.base[HELD_METRICS]);
	held_free(&k->held);
	return k->status;
}

static void begin(struct keeper *k, const struct serve_options *o)
{
	*k = (struct keeper){.o = o,
			     .server = {.channel = -1},
			     .standby = {.channel = -1},
			     .start_at = NEVER,
			     .give_at = NEVER,
			     .alive_at = now_ms()};
	held_begin(&k->held);
	self_path();
}

int keeper_main(const struct serve_options *o, struct held *held)
{
	struct keeper k;

	begin(&k, o);
	k.held = *held;
	k.start_at = k.give_at = 0;
	return keep(&k);
}

/* That we are not the parent of. It lives: it has just spoken. */
static void know_server(struct child *c, pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	c->pid = pid;
	c->pidfd = fd > 0 ? fd : 0;
	if (fd > 0)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int keeper_from_server(const struct serve_options *o, int channel)
{
	int fd[HELD_FDS], error;
	struct keeper k;
	struct word w;

	begin(&k, o);
	k.server = (struct child){.channel = channel,
				  .loaded = true,
				  .given = true,
				  .ready = true,
				  .given_at = now_ms()};
	do {
		error = word_receive(channel, &w, fd);
		if (!error && w.kind == WORD_BASE)
			know_server(&k.server, w.pid);
		if (!error && w.kind != WORD_ALL)
			error = held_apply(&k.held, &w, fd);
	} while (!error && w.kind != WORD_ALL);
	/* A server that died before it has said everything is one that has died. */
	if (error && error != -EPIPE)
		say(ENGINE_ERROR, "what the server hands over is nonsense: %s", strerror(-error));
	if (error && k.held.n == 0 && k.held.base[HELD_LISTEN] < 0)
		return STATUS_UNABLE;
	k.ever_ready = true;
	k.start_at = now_ms() + STANDBY_MS;
	say(ENGINE_INFO, "new keeper (pid %d) of %zu guest%s", getpid(), k.held.n,
	    k.held.n == 1 ? "" : "s");
	systemd_ready(getpid());
	return keep(&k);
}

int keeper_again(const struct serve_options *o, int manifest)
{
	int64_t extra[MANIFEST_EXTRA];
	struct keeper k;
	int error;

	begin(&k, o);
	error = manifest_read(manifest, &k.held, extra);
	if (error || fcntl((int)extra[1], F_SETFD, FD_CLOEXEC) != 0) {
		say(ENGINE_ERROR, "what the keeper had cannot be taken over: %s",
		    strerror(error ? -error : errno));
		return STATUS_UNABLE;
	}
	k.server = (struct child){.pid = (pid_t)extra[0],
				  .channel = (int)extra[1],
				  .mine = extra[3],
				  .loaded = true,
				  .given = true,
				  .ready = true,
				  .given_at = now_ms()};
	if (!k.server.mine)
		know_server(&k.server, k.server.pid);
	k.ending = extra[2];
	k.ever_ready = extra[4];
	k.replacing = true;
	k.start_at = 0;
	return keep(&k);
}
