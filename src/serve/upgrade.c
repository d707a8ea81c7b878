/*
 * upgrade.c - may the keeper become the program that is installed now? Asked of that program,
 * before anything is given up.
 */
#include "serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define PATIENCE_MS 5000

/* What it says to --handover; len 0: nothing. */
static size_t ask(pid_t pid, int from, char *answer, size_t size)
{
	struct pollfd p = {.fd = from, .events = POLLIN};
	size_t len = 0;
	ssize_t n;

	while (len < size - 1 && poll(&p, 1, PATIENCE_MS) > 0) {
		n = read(from, answer + len, size - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	answer[len] = 0;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return len;
}

bool upgrade_possible(const struct serve_options *o)
{
	char *const argv[] = {"userfault-serve", "--handover", NULL};
	char answer[64], wanted[64];
	posix_spawn_file_actions_t actions;
	int pipes[2], error;
	pid_t pid;

	(void)o;
	if (pipe(pipes) != 0) {
		say(ENGINE_ERROR, "not upgraded: %s", strerror(errno));
		return false;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
	posix_spawn_file_actions_addclose(&actions, pipes[0]);
	error = posix_spawn(&pid, self_path(), &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pipes[1]);
	if (error)
		answer[0] = 0;
	else
		ask(pid, pipes[0], answer, sizeof(answer));
	close(pipes[0]);
	snprintf(wanted, sizeof(wanted), "handover %u.%u\n", HANDOVER_VERSION, SHARED_VERSION);
	if (strcmp(answer, wanted) == 0)
		return true;
	if (error || !answer[0])
		say(ENGINE_ERROR, "not upgraded: '%s' cannot be run%s%s", self_path(),
		    error ? ": " : "", error ? strerror(error) : "");
	else
		say(ENGINE_ERROR,
		    "not upgraded: '%s' is a version that cannot take this one's guests over; it "
		    "will do when they have ended",
		    self_path());
	return false;
}
