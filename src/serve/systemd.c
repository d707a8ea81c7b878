/*
 * systemd.c - what is said to systemd, and what it keeps: the listening socket of a socket unit,
 * and descriptors that a restart of the unit hands back.
 */
#include "serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#define PAGER_NAME "userfault-pager"

static const char *const part[HELD_FDS] = {"file", "uffd", "memory", "process", "socket"};

/* "guest-12-uffd" */
static bool parse_name(const char *name, uint32_t *number, int *which)
{
	char what[16];
	int end = 0;

	if (sscanf(name, "guest-%u-%15[a-z]%n", number, what, &end) != 2 || name[end])
		return false;
	for (*which = 0; *which < HELD_FDS; (*which)++)
		if (strcmp(what, part[*which]) == 0)
			return true;
	return false;
}

static void take(struct held *h, const char *name, int fd)
{
	int fds[HELD_FDS] = {-1, -1, -1, -1, -1}, which;
	struct held_guest *g;
	uint32_t number;

	if (parse_name(name, &number, &which)) {
		g = held_find(h, number);
		if (!g && held_put(h, number, fds) == 0)
			g = held_find(h, number);
		if (g && g->fd[which] < 0)
			g->fd[which] = fd;
		else
			close(fd);
	} else if (strcmp(name, PAGER_NAME) == 0) {
		fds[HELD_PAGER] = fd;
		held_put_base(h, fds);
	} else if (strcmp(name, "metrics") == 0 &&
		   sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0) {
		fds[HELD_METRICS] = fd;
		held_put_base(h, fds);
	} else if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0) {
		fds[HELD_LISTEN] = fd;
		held_put_base(h, fds);
	} else {
		say(ENGINE_WARNING, "systemd hands over '%s', which is not known here", name);
		close(fd);
	}
}

void systemd_take(struct held *h)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	for (int i = 0; i < n; i++)
		take(h, names && names[i] ? names[i] : "unknown", SD_LISTEN_FDS_START + i);
	for (int i = 0; names && i < n; i++)
		free(names[i]);
	free(names);
}

void systemd_ready(pid_t main_pid)
{
	sd_notifyf(0, "READY=1\nMAINPID=%d", main_pid);
}

void systemd_status(const char *text)
{
	sd_notifyf(0, "STATUS=%s", text);
}

void systemd_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}

void systemd_reloading(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
		   (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000);
}

void systemd_alive(void)
{
	sd_notify(0, "WATCHDOG=1");
}

unsigned systemd_watchdog_ms(void)
{
	static int known;
	static unsigned ms;
	uint64_t usec = 0;

	if (!known) {
		known = 1;
		if (sd_watchdog_enabled(0, &usec) > 0 && usec / 1000 < UINT32_MAX)
			ms = (unsigned)(usec / 1000);
	}
	return ms;
}

static void store(const char *name, int fd)
{
	char text[128];

	/* systemd would drop what has an event of hanging up or of an error. */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	sd_pid_notify_with_fds(0, 0, text, &fd, 1);
}

void systemd_store(const struct held_guest *g)
{
	char name[64];

	if (!g || g->number & HELD_CONNECTION || !getenv("NOTIFY_SOCKET"))
		return;
	for (int i = 0; i < HELD_FDS; i++) {
		if (g->fd[i] < 0 || i == HELD_SOCKET)
			continue;
		snprintf(name, sizeof(name), "guest-%u-%s", g->number, part[i]);
		store(name, g->fd[i]);
	}
}

void systemd_store_pager(int fd)
{
	if (fd >= 0 && getenv("NOTIFY_SOCKET"))
		store(PAGER_NAME, fd);
}

void systemd_forget(uint32_t number)
{
	if (number & HELD_CONNECTION)
		return;
	for (int i = 0; i < HELD_FDS; i++)
		if (i != HELD_SOCKET)
			sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=guest-%u-%s", number, part[i]);
}
