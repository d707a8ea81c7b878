/*
 * join.c - userfault join: become a program that is a member of a session which is there already.
 *
 * A member has the session's ledger open, under a number that the environment names. So the ledger
 * is opened by way of a process that has it, and kept open across the exec.
 */
#include "cmd.h"
#include "sessions.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct join {
	const char *session; /* NULL: the only one there is */
	char **program;
	bool verbose;
	bool hosted;	     /* PROGRAM is static */
	char host[PATH_MAX]; /* the program that such run in, "" if it is not there */
};

static const char help_text[] =
	"Usage: userfault join [OPTION]... [SESSION|PID] -- PROGRAM [ARGUMENT]...\n"
	"\n"
	"Runs PROGRAM as a member of a session: it can use the userfaultfds of the session's\n"
	"processes that it is sent or finds. 'userfault ps' lists the sessions; SESSION is the\n"
	"beginning of a name, PID any process of one. Neither is needed if there is one session.\n"
	"\n"
	"  --verbose   say on stderr which session is joined\n"
	"  --help      this text\n"
	"\n"
	"Exit status: PROGRAM's; or 2 for a wrong command line, 125 if there is no such session "
	"or\n"
	"Userfault cannot start here, 126 if PROGRAM cannot be run on it, 127 if there is none.\n";

/* ---- the command line --------------------------------------------------------------------------
 */

static int missing_program(void)
{
	complain("PROGRAM is missing; type 'userfault join [SESSION|PID] -- PROGRAM "
		 "[ARGUMENT]...'");
	return STATUS_USAGE;
}

/* What getopt_long left over. "--" in front of it belongs to it, too. */
static int parse_rest(int argc, char **argv, struct join *join)
{
	bool ended = strcmp(argv[optind - 1], "--") == 0;
	int at = optind;

	if (!ended && at < argc)
		join->session = argv[at++];
	if (!ended && at < argc) {
		if (strcmp(argv[at], "--") != 0) {
			complain("'--' is missing before PROGRAM; type 'userfault join %s -- %s'",
				 join->session, argv[at]);
			return STATUS_USAGE;
		}
		at++;
	}
	if (at >= argc)
		return missing_program();
	join->program = argv + at;
	return 0;
}

/* 0: go on; otherwise *status is the answer. */
static int parse(int argc, char **argv, struct join *join, int *status)
{
	static const char *const long_names[] = {"verbose", "help", NULL};
	static const struct option options[] = {
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	*status = 0;
	while ((option = getopt_long(argc, argv, "+:h", options, NULL)) != -1) {
		switch (option) {
		case 'v':
			join->verbose = true;
			break;
		case 'h':
			fputs(help_text, stdout);
			return 1;
		default:
			*status = bad_option(option, argv, long_names, "'userfault join --help'");
			return 1;
		}
	}
	*status = parse_rest(argc, argv, join);
	return *status != 0;
}

/* ---- the session -------------------------------------------------------------------------------
 */

/* Of a process that has several, the one that was begun last. */
static const struct session *of_process(const struct sessions *all, pid_t pid)
{
	const struct session *found = NULL;

	for (size_t i = 0; i < all->n; i++)
		for (size_t j = 0; j < all->session[i].nholders; j++)
			if (all->session[i].holder[j].pid == pid)
				found = &all->session[i];
	return found;
}

static const struct session *named(const struct sessions *all, const char *text)
{
	const struct session *found = NULL;
	unsigned n = 0;

	for (size_t i = 0; i < all->n; i++) {
		if (session_named(&all->session[i], text)) {
			found = &all->session[i];
			n++;
		}
	}
	if (n == 0)
		complain("there is no session '%s'; 'userfault ps' lists those there are", text);
	else if (n > 1)
		complain("'%s' begins the names of %u sessions; type more of it", text, n);
	return n == 1 ? found : NULL;
}

static const struct session *only(const struct sessions *all)
{
	const struct session *found = NULL;
	unsigned n = 0;

	for (size_t i = 0; i < all->n; i++) {
		if (all->session[i].check == SESSION_FOREIGN)
			continue;
		found = &all->session[i];
		n++;
	}
	if (n == 0)
		complain("there is no session; 'userfault run' begins one");
	else if (n > 1)
		complain("there are %u sessions; say which, 'userfault ps' lists them", n);
	return n == 1 ? found : NULL;
}

/* A pid has at most 7 digits, a whole name 16. */
static const struct session *choose(const struct sessions *all, const char *text)
{
	const struct session *s;

	if (!text)
		return only(all);
	if (strlen(text) > 7 || !*text || strspn(text, "0123456789") != strlen(text))
		return named(all, text);
	s = of_process(all, (pid_t)atol(text));
	if (!s && kill((pid_t)atol(text), 0) != 0 && errno == ESRCH)
		complain("there is no process %s", text);
	else if (!s)
		complain("process %s is in no session that this user can join; 'userfault ps' "
			 "lists them",
			 text);
	return s;
}

/* Where programs do not look for descriptors, and open in PROGRAM. */
static int move_up(int fd)
{
	int high = -1;

	for (int floor = host_fd_floor(); high < 0 && floor > STDERR_FILENO; floor /= 2)
		high = fcntl(fd, F_DUPFD, floor);
	close(fd);
	return high;
}

static int enter(const struct session *s)
{
	char value[64];
	int fd;

	if (s->check != SESSION_GOOD) {
		complain("the session of process %d was begun by another version of Userfault; "
			 "use that one's command",
			 s->holder[0].pid);
		return STATUS_UNABLE;
	}
	fd = session_open(s, O_RDWR);
	if (fd < 0) {
		complain("session %016" PRIx64 " cannot be joined: %s", s->id,
			 errno == ESRCH ? "it has ended" : strerror(errno));
		return STATUS_UNABLE;
	}
	fd = move_up(fd);
	if (fd < 0) {
		complain("session %016" PRIx64 " cannot be joined: no descriptor is free; "
			 "'ulimit -n' raises the limit",
			 s->id);
		return STATUS_UNABLE;
	}
	snprintf(value, sizeof(value), "%d:%ju", fd, (uintmax_t)s->ino);
	if (setenv(SESSION_ENV, value, 1) != 0) {
		complain("there is no room in the environment: %s", strerror(errno));
		return STATUS_UNABLE;
	}
	return 0;
}

static int enter_chosen(const struct join *join)
{
	const struct session *s;
	struct sessions all;
	int status;

	if (!sessions_find(&all, false)) {
		complain("the processes of this machine cannot be listed; is /proc mounted?");
		return STATUS_UNABLE;
	}
	s = choose(&all, join->session);
	status = s ? enter(s) : STATUS_UNABLE;
	if (status == 0 && join->verbose)
		complain("joining session %016" PRIx64 " of %s", s->id, s->program);
	sessions_free(&all);
	return status;
}

static int prepare_environment(const struct join *join, const char *preload, const char *path)
{
	int error = preload_set(preload);

	if (join->host[0])
		error |= setenv("USERFAULT_HOST", join->host, 1);
	if (join->hosted)
		error |= setenv("USERFAULT_HOSTED", path, 1);
	if (join->verbose)
		error |= setenv("USERFAULT_VERBOSE", "1", 1);
	return error;
}

int join_main(int argc, char **argv)
{
	char path[PATH_MAX], preload[PATH_MAX];
	struct join join = {0};
	struct trial trial;
	int status;

	if (parse(argc, argv, &join, &status))
		return status;
	if (!host_find(join.host))
		join.host[0] = 0;
	if ((status = program_find(join.program[0], path)) ||
	    (status = program_check(join.program[0], path, &join.hosted)) ||
	    (status = preload_find(preload)))
		return status;
	trial_run(HOST_TRAP_AUTO, &trial);
	if (!trial.works) {
		complain("Userfault cannot start here: %s; 'userfault doctor' tells more",
			 trial.why);
		return STATUS_UNABLE;
	}
	if ((status = enter_chosen(&join)))
		return status;
	if (prepare_environment(&join, preload, path)) {
		complain("there is no room in the environment: %s", strerror(errno));
		return STATUS_UNABLE;
	}
	execv(join.hosted ? join.host : path, join.program);
	return program_exec_failed(join.program[0], errno);
}
