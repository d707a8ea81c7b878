/*
 * trial.c - would the machine start here? The very code that will start in the program is started
 * in a child that inherits the same limits, so the answer is not a guess.
 */
#include "cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A sentence may come with its full stop; the caller goes on after it. */
static void set_why(struct trial *t, const char *why)
{
	size_t len;

	snprintf(t->why, sizeof(t->why), "%s", why);
	len = strlen(t->why);
	if (len && t->why[len - 1] == '.')
		t->why[len - 1] = 0;
}

static void try_here(enum host_trap_choice choice, struct trial *t)
{
	struct host_config config = {.trap = choice};
	const char *why = NULL;
	uint64_t mappings;
	int error = host_init(&config, &why);

	if (error) {
		set_why(t, why ? why : strerror(-error));
		return;
	}
	t->works = true;
	snprintf(t->trap, sizeof(t->trap), "%s", host_trap_name());
	mach_usage(&mappings, &t->budget);
}

void trial_run(enum host_trap_choice choice, struct trial *out)
{
	int pipefd[2];
	int status;
	pid_t child;

	memset(out, 0, sizeof(*out));
	if (pipe(pipefd) != 0) {
		set_why(out, strerror(errno));
		return;
	}
	child = fork();
	if (child == 0) {
		close(pipefd[0]);
		try_here(choice, out);
		_exit(write(pipefd[1], out, sizeof(*out)) != sizeof(*out));
	}
	close(pipefd[1]);
	if (child < 0)
		set_why(out, strerror(errno));
	else if (read(pipefd[0], out, sizeof(*out)) != sizeof(*out)) {
		memset(out, 0, sizeof(*out));
		set_why(out, "the trial start of the fault machinery died");
	}
	close(pipefd[0]);
	if (child > 0)
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
}
