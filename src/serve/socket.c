/*
 * socket.c - the sockets that are listened on: guests', and the metrics'.
 */
#include "serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* "/path", or "@name" in the abstract namespace. */
static bool unix_address(const char *path, struct sockaddr_un *a, socklen_t *len)
{
	size_t n = strlen(path);

	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (n == 0 || n >= sizeof(a->sun_path))
		return false;
	memcpy(a->sun_path, path, n);
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	if (path[0] == '@') {
		a->sun_path[0] = 0;
		*len -= 1;
	}
	return true;
}

/* A socket that nobody listens on any more is in the way of a new one. 0 or the exit status. */
static int clear_stale(const char *option, const char *path, const struct sockaddr_un *a,
		       socklen_t len)
{
	struct stat st;
	int fd, error;

	if (path[0] == '@' || lstat(path, &st) != 0)
		return 0;
	if (!S_ISSOCK(st.st_mode)) {
		complain("%s: '%s' is there and is no socket; name another path", option, path);
		return STATUS_UNABLE;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	error = fd >= 0 && connect(fd, (const struct sockaddr *)a, len) != 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	if (error == ECONNREFUSED && unlink(path) == 0)
		return 0;
	if (error == ECONNREFUSED)
		complain("%s: '%s' was left behind and cannot be removed: %s", option, path,
			 strerror(errno));
	else
		complain("%s: another server listens on '%s'", option, path);
	return STATUS_UNABLE;
}

/* USER[:GROUP], :GROUP. */
static bool parse_owner(const char *text, uid_t *uid, gid_t *gid)
{
	char name[128], *colon, *end;
	struct passwd *user;
	struct group *group;

	*uid = (uid_t)-1;
	*gid = (gid_t)-1;
	if (snprintf(name, sizeof(name), "%s", text) >= (int)sizeof(name))
		return false;
	colon = strchr(name, ':');
	if (colon)
		*colon = 0;
	if (name[0]) {
		user = getpwnam(name);
		*uid = user ? user->pw_uid : (uid_t)strtoul(name, &end, 10);
		if (!user && *end)
			return false;
		if (user)
			*gid = user->pw_gid;
	}
	if (colon && colon[1]) {
		group = getgrnam(colon + 1);
		*gid = group ? group->gr_gid : (gid_t)strtoul(colon + 1, &end, 10);
		if (!group && *end)
			return false;
	}
	return true;
}

static int listen_unix(const struct serve_options *o, const char *option, const char *path,
		       int *out)
{
	struct sockaddr_un a;
	uid_t uid = (uid_t)-1;
	gid_t gid = (gid_t)-1;
	socklen_t len;
	mode_t before;
	int fd, error, status;

	if (!unix_address(path, &a, &len)) {
		complain("%s: '%s' is %s; a socket's path has at most %zu bytes", option, path,
			 *path ? "too long" : "no path", sizeof(a.sun_path) - 1);
		return STATUS_USAGE;
	}
	if (o->owner && !parse_owner(o->owner, &uid, &gid)) {
		complain("--owner: there is no such user or group: '%s'", o->owner);
		return STATUS_USAGE;
	}
	status = clear_stale(option, path, &a, len);
	if (status)
		return status;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* It must never be there with more permissions than it is to have. */
	before = umask(~o->mode & 0777);
	error = fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0 ? errno : 0;
	umask(before);
	if (!error && o->owner && path[0] != '@' && chown(path, uid, gid) != 0)
		error = errno;
	if (!error && listen(fd, 1024) != 0)
		error = errno;
	if (error) {
		complain("%s: cannot listen on '%s': %s", option, path, strerror(error));
		if (fd >= 0)
			close(fd);
		return STATUS_UNABLE;
	}
	*out = fd;
	return 0;
}

int socket_listen(const struct serve_options *o, int *fd)
{
	return listen_unix(o, "--socket", o->socket, fd);
}

/* [ADDRESS:]PORT, of this machine alone. */
static bool parse_port(const char *text, struct sockaddr_storage *out, socklen_t *len)
{
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	unsigned long port;
	char *end;

	memset(out, 0, sizeof(*out));
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*len = sizeof(*in);
	if (strncmp(text, "127.0.0.1:", 10) == 0) {
		text += 10;
	} else if (strncmp(text, "localhost:", 10) == 0) {
		text += 10;
	} else if (strncmp(text, "[::1]:", 6) == 0) {
		text += 6;
		in6->sin6_family = AF_INET6;
		in6->sin6_addr = in6addr_loopback;
		*len = sizeof(*in6);
	}
	if (*text < '0' || *text > '9')
		return false;
	port = strtoul(text, &end, 10);
	if (*end || port > 65535)
		return false;
	/* At the same place in both. */
	in->sin_port = htons((uint16_t)port);
	return true;
}

int socket_listen_metrics(const struct serve_options *o, int *out)
{
	struct sockaddr_storage a;
	socklen_t len;
	int fd, error = 0;

	if (strncmp(o->metrics, "unix:", 5) == 0)
		return listen_unix(o, "--metrics", o->metrics + 5, out);
	if (!parse_port(o->metrics, &a, &len)) {
		complain(
			"--metrics: '%s' is neither PORT, 127.0.0.1:PORT, [::1]:PORT nor unix:PATH "
			"(metrics are for this machine; a proxy can show them to others)",
			o->metrics);
		return STATUS_USAGE;
	}
	fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) != 0 ||
	    bind(fd, (struct sockaddr *)&a, len) != 0 || listen(fd, 32) != 0)
		error = errno;
	if (error) {
		complain("--metrics: cannot listen on '%s': %s", o->metrics, strerror(error));
		if (fd >= 0)
			close(fd);
		return STATUS_UNABLE;
	}
	*out = fd;
	return 0;
}

void socket_name(int fd, char *name, size_t size)
{
	struct sockaddr_storage a = {0};
	struct sockaddr_un *un = (struct sockaddr_un *)&a;
	socklen_t len = sizeof(a);
	char text[INET6_ADDRSTRLEN];

	snprintf(name, size, "?");
	if (getsockname(fd, (struct sockaddr *)&a, &len) != 0)
		return;
	if (a.ss_family == AF_UNIX && len > offsetof(struct sockaddr_un, sun_path))
		snprintf(name, size, "%s%.*s", un->sun_path[0] ? "" : "@",
			 (int)(len - offsetof(struct sockaddr_un, sun_path)) - !un->sun_path[0],
			 un->sun_path + !un->sun_path[0]);
	else if (a.ss_family == AF_INET)
		snprintf(name, size, "%s:%u",
			 inet_ntop(AF_INET, &((struct sockaddr_in *)&a)->sin_addr, text,
				   sizeof(text)),
			 ntohs(((struct sockaddr_in *)&a)->sin_port));
	else if (a.ss_family == AF_INET6)
		snprintf(name, size, "[%s]:%u",
			 inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&a)->sin6_addr, text,
				   sizeof(text)),
			 ntohs(((struct sockaddr_in6 *)&a)->sin6_port));
}

void socket_remove(int fd)
{
	char name[128];

	if (fd < 0)
		return;
	socket_name(fd, name, sizeof(name));
	if (name[0] == '/' || (name[0] != '@' && !strchr(name, ':')))
		unlink(name);
}
