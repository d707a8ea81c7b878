/*
 * main.c - userfault serve: which of its processes this is.
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pager/order.h"

/* "server:FD" and the like; NULL: the process that the user started. */
static char *role_of(int *fd)
{
	static char role[32];
	const char *value = getenv(ROLE_ENV);

	if (!value || sscanf(value, "%31[a-z]:%d", role, fd) != 2)
		return NULL;
	unsetenv(ROLE_ENV);
	return role;
}

static int run_role(const struct serve_options *o, const char *role, int fd)
{
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (strcmp(role, "server") == 0) {
		log_begin(o, "server");
		return server_main(o, fd);
	}
	log_begin(o, "keeper");
	if (strcmp(role, "keeper") == 0)
		return keeper_from_server(o, fd);
	if (strcmp(role, "again") == 0)
		return keeper_again(o, fd);
	complain("%s names no role: '%s'", ROLE_ENV, role);
	return STATUS_UNABLE;
}

/* What would otherwise fail with every guest is said before the first. */
static int check_order(const struct serve_options *o)
{
	struct order order;
	char why[256];

	if (!o->prefetch)
		return 0;
	if (order_read(o->prefetch, &order, why, sizeof(why)) != 0) {
		complain("--prefetch: %s", why);
		return STATUS_UNABLE;
	}
	order_free(&order);
	return 0;
}

static int listen_all(const struct serve_options *o, struct held *held)
{
	int status = 0;

	systemd_take(held);
	if (held->base[HELD_LISTEN] < 0 && !o->socket) {
		complain("--socket is missing; type 'userfault serve --socket PATH --memory "
			 "SOURCE'");
		return STATUS_USAGE;
	}
	if (held->base[HELD_LISTEN] < 0)
		status = socket_listen(o, &held->base[HELD_LISTEN]);
	if (!status && o->metrics && held->base[HELD_METRICS] < 0)
		status = socket_listen_metrics(o, &held->base[HELD_METRICS]);
	return status;
}

int main(int argc, char **argv)
{
	struct serve_options o;
	struct held held;
	int fd, status;
	char *role = role_of(&fd);

	if (options_parse(argc, argv, &o, &status))
		return status;
	if (role)
		return run_role(&o, role, fd);
	log_begin(&o, o.keeper ? "keeper" : "server");
	privileges_raise_limits();
	held_begin(&held);
	if ((status = listen_all(&o, &held)) == 0 && (status = privileges_drop(&o)) == 0 &&
	    (status = check_order(&o)) == 0)
		return o.keeper ? keeper_main(&o, &held) : server_alone(&o, &held);
	socket_remove(held.base[HELD_LISTEN]);
	socket_remove(held.base[HELD_METRICS]);
	return status;
}
