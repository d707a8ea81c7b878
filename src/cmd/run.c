/*
 * run.c - userfault run: check, prepare the environment, become PROGRAM.
 *
 * Usually the command execs PROGRAM, so everything about the process is PROGRAM's own. With
 * --stats,
 * --record-faults or --trace it stays behind as a parent that is in nobody's way: it passes signals
 * on, holds no descriptor but stderr and the statistics, and ends as PROGRAM ended.
 */
#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uffd/uffd.h"

struct run {
	enum host_trap_choice trap;
	const char *profile; /* NULL: all */
	struct limits limits;
	struct run_trace trace;
	const char *inject; /* NULL: nothing */
	bool file_faults, move_any, fork_events, no_raw_calls;
	bool stats, verbose;
	bool hosted;	     /* PROGRAM is static */
	char host[PATH_MAX]; /* the program that such run in, "" if it is not there */
	char **program;	     /* PROGRAM and its arguments, NULL at the end */
};

static const char help_text[] =
	"Usage: userfault run [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
	"\n"
	"Runs PROGRAM, and all that it starts, with Userfault's userfaultfd in place of the\n"
	"kernel's. Input, output, signals and the exit status are PROGRAM's own.\n"
	"\n"
	"  --trap=auto|guard|mprotect  how accesses are trapped (auto: the best that works here)\n"
	"  --profile=NAME              offer what the userfaultfd of a certain kernel offers:\n"
	"                              linux-4.11 to linux-7.2, or all (the default)\n"
	"  --memory-limit=SIZE         keep at most so much registered memory in memory: cold "
	"pages\n"
	"                              leave to swap and come back when touched (K, M, G, T)\n"
	"  --swap=WHERE[:SIZE]         a directory, a new file, 'zstd' (compressed, in memory) or\n"
	"                              'none' (with a limit: $TMPDIR, /var/tmp)\n"
	"  --policy=NAME               which pages leave: clock (the default), 2q, random\n"
	"  --record-faults=FILE        record the faults, for 'userfault replay'\n"
	"  --trace=FILE                write a trace of faults and what is done about them, for\n"
	"                              'userfault trace'\n"
	"  --trace-size=SIZE           at most so large (1G)\n"
	"  --inject=WHAT[,WHAT]...     let go wrong what a kernel may let go wrong, for who tests "
	"a\n"
	"                              handler: copy:EAGAIN:1%, delay:p99=5ms, spurious-wake,\n"
	"                              partial-copy, dup-message, event-storm, seed=7, ... (see\n"
	"                              userfault-run(1))\n"
	"  --file-faults               regular files can be registered for all kinds of faults\n"
	"  --move-any                  UFFDIO_MOVE between all types of memory that can\n"
	"  --fork-events               EVENT_FORK also without CAP_SYS_PTRACE\n"
	"  --no-raw-calls              leave alone what a dynamic program does without libc\n"
	"  --stats                     at the end, print statistics of all processes to stderr\n"
	"  --verbose                   say on stderr what is going on\n"
	"  --help                      this text\n"
	"\n"
	"Exit status: PROGRAM's; or 2 for a wrong command line, 125 if Userfault cannot start\n"
	"here, 126 if PROGRAM cannot be run on it, 127 if there is no such PROGRAM.\n";

static const char *const long_names[] = {
	"trap",		"profile",    "memory-limit", "swap",	     "policy",	 "record-faults",
	"trace",	"trace-size", "inject",	      "file-faults", "move-any", "fork-events",
	"no-raw-calls", "stats",      "verbose",      "help",	     NULL};
static const char *const trap_names[] = {
	[HOST_TRAP_AUTO] = "auto",
	[HOST_TRAP_GUARD] = "guard",
	[HOST_TRAP_MPROTECT] = "mprotect",
	NULL,
};

static int set_trap(struct run *run, const char *name)
{
	const char *meant;

	for (unsigned i = 0; trap_names[i]; i++) {
		if (strcmp(name, trap_names[i]) == 0) {
			run->trap = i;
			return 0;
		}
	}
	meant = nearest_word(name, trap_names);
	if (meant)
		complain("unknown trap '%s', did you mean '%s'?", name, meant);
	else
		complain("unknown trap '%s'; there are auto, guard and mprotect", name);
	return STATUS_USAGE;
}

static int set_profile(struct run *run, const char *name)
{
	const struct uffd_profile *known;
	char list[512] = "";
	size_t len = 0;

	if (uffd_profile_find(name)) {
		run->profile = name;
		return 0;
	}
	for (unsigned i = 1; (known = uffd_profile_at(i)) && len < sizeof(list); i++) {
		const char *version = strchr(known->name, '-');

		if (version)
			len += snprintf(list + len, sizeof(list) - len, "%s%s", i > 1 ? ", " : "",
					version + 1);
	}
	complain("unknown profile '%s'; there are 'all' and linux-4.11 to linux-7.2, among them "
		 "those that brought something new: %s",
		 name, list);
	return STATUS_USAGE;
}

/* 0: go on; otherwise *status is the answer. */
static int parse(int argc, char **argv, struct run *run, int *status)
{
	static const struct option options[] = {
		{"trap", required_argument, NULL, 't'},
		{"profile", required_argument, NULL, 'p'},
		{"memory-limit", required_argument, NULL, 'm'},
		{"swap", required_argument, NULL, 'w'},
		{"policy", required_argument, NULL, 'P'},
		{"record-faults", required_argument, NULL, 'r'},
		{"trace", required_argument, NULL, 'T'},
		{"trace-size", required_argument, NULL, 'S'},
		{"inject", required_argument, NULL, 'i'},
		{"file-faults", no_argument, NULL, 'f'},
		{"move-any", no_argument, NULL, 'M'},
		{"fork-events", no_argument, NULL, 'F'},
		{"no-raw-calls", no_argument, NULL, 'R'},
		{"stats", no_argument, NULL, 's'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	*status = 0;
	while ((option = getopt_long(argc, argv, "+:h", options, NULL)) != -1) {
		switch (option) {
		case 't':
			*status = set_trap(run, optarg);
			break;
		case 'p':
			*status = set_profile(run, optarg);
			break;
		case 'm':
			*status = limits_set_memory(&run->limits, optarg);
			break;
		case 'w':
			*status = limits_set_swap(&run->limits, optarg);
			break;
		case 'P':
			*status = limits_set_policy(&run->limits, optarg);
			break;
		case 'r':
			run->limits.record_name = optarg;
			break;
		case 'T':
			run->trace.name = optarg;
			break;
		case 'S':
			*status = run_trace_set_size(&run->trace, optarg);
			break;
		case 'i':
			run->inject = optarg;
			*status = inject_check(optarg);
			break;
		case 'f':
			run->file_faults = true;
			break;
		case 'M':
			run->move_any = true;
			break;
		case 'F':
			run->fork_events = true;
			break;
		case 'R':
			run->no_raw_calls = true;
			break;
		case 's':
			run->stats = true;
			break;
		case 'v':
			run->verbose = true;
			break;
		case 'h':
			fputs(help_text, stdout);
			return 1;
		default:
			*status = bad_option(option, argv, long_names, "'userfault run --help'");
		}
		if (*status)
			return 1;
	}
	if (optind == argc) {
		complain("PROGRAM is missing; type 'userfault run -- PROGRAM [ARGUMENT]...'");
		*status = STATUS_USAGE;
		return 1;
	}
	run->program = argv + optind;
	return 0;
}

/* What could help, when it does not start here. */
static const char *way_out(const struct run *run)
{
	struct rlimit space;

	if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
		return "the address space is limited, 'ulimit -v' raises that";
	if (run->trap != HOST_TRAP_AUTO)
		return "--trap=auto chooses what works";
	return "'userfault doctor' tells more";
}

/* Would Userfault start here? 0 or the exit status after a complaint. */
static int check_machine(const struct run *run, struct trial *trial)
{
	trial_run(run->trap, trial);
	if (trial->works)
		return 0;
	complain("Userfault cannot start here: %s; %s", trial->why, way_out(run));
	return STATUS_UNABLE;
}

static int prepare_environment(const struct run *run, const char *preload)
{
	int error = preload_set(preload);

	error |= setenv("USERFAULT_TRAP", trap_names[run->trap], 1);
	error |= setenv("USERFAULT_PROFILE", run->profile ? run->profile : "all", 1);
	error |= limits_environment(&run->limits);
	if (run->trace.path[0])
		error |= setenv("USERFAULT_TRACE", run->trace.path, 1);
	if (run->inject)
		error |= setenv("USERFAULT_INJECT", run->inject, 1);
	if (run->file_faults)
		error |= setenv("USERFAULT_FILE_FAULTS", "1", 1);
	if (run->fork_events)
		error |= setenv("USERFAULT_FORK_EVENTS", "1", 1);
	if (run->move_any)
		error |= setenv("USERFAULT_MOVE_ANY", "1", 1);
	if (run->no_raw_calls)
		error |= setenv("USERFAULT_RAW_CALLS", "0", 1);
	if (run->host[0])
		error |= setenv("USERFAULT_HOST", run->host, 1);
	if (run->verbose)
		error |= setenv("USERFAULT_VERBOSE", "1", 1);
	if (error) {
		complain("there is no room in the environment: %s", strerror(errno));
		return STATUS_UNABLE;
	}
	return 0;
}

static int become(const struct run *run, const char *path)
{
	if (run->hosted && setenv("USERFAULT_HOSTED", path, 1) == 0)
		execv(run->host, run->program);
	else
		execv(path, run->program);
	return program_exec_failed(run->program[0], errno);
}

/* ---- The parent that stays behind --------------------------------------------------------------
 */

/* Not the parent's to pass on: its own mistakes, and what the terminal wants of each process. */
static const int own_signals[] = {SIGSEGV, SIGBUS,  SIGILL,  SIGFPE,  SIGTRAP, SIGSYS,
				  SIGTTIN, SIGTTOU, SIGPIPE, SIGXCPU, SIGXFSZ};

static void forwarded_signals(sigset_t *set)
{
	sigfillset(set);
	for (unsigned i = 0; i < sizeof(own_signals) / sizeof(own_signals[0]); i++)
		sigdelset(set, own_signals[i]);
}

/* A key of the terminal reaches PROGRAM without our help, as it is in the same process group. */
static bool from_terminal(const siginfo_t *info)
{
	switch (info->si_signo) {
	case SIGINT:
	case SIGQUIT:
	case SIGTSTP:
	case SIGCONT:
	case SIGWINCH:
		return info->si_code == SI_KERNEL;
	default:
		return false;
	}
}

static void pass_on(pid_t child, const siginfo_t *info)
{
	if (!from_terminal(info)) {
		if (info->si_code == SI_QUEUE)
			sigqueue(child, info->si_signo, info->si_value);
		else
			kill(child, info->si_signo);
	}
	/* A stopped job is one whose every process is stopped. */
	if (info->si_signo == SIGTSTP)
		raise(SIGSTOP);
}

static int wait_for(pid_t child, const sigset_t *signals)
{
	siginfo_t info;
	int status;

	for (;;) {
		if (sigwaitinfo(signals, &info) < 0)
			continue;
		if (info.si_signo != SIGCHLD)
			pass_on(child, &info);
		else if (waitpid(child, &status, WNOHANG) == child)
			return status;
	}
}

/*
 * PROGRAM's pipes must close when PROGRAM closes them. The session stays: processes that have
 * closed it find it here.
 */
static void let_go_of_files(int session)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	if (session > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, session - 1, 0);
	close_range(session + 1, ~0u, 0);
}

static int end_like(int status)
{
	sigset_t one;
	int sig;

	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	sig = WTERMSIG(status);
	/* The core of this process would overwrite PROGRAM's. */
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	signal(sig, SIG_DFL);
	sigemptyset(&one);
	sigaddset(&one, sig);
	raise(sig);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	return 128 + sig;
}

static void finish_files(const struct run *run)
{
	limits_finish(&run->limits);
	run_trace_finish(&run->trace);
}

static int run_and_stay(const struct run *run, const char *path, int session)
{
	const struct session_header *ledger = run->stats ? session_map(session) : NULL;
	struct sigaction default_child = {.sa_handler = SIG_DFL}, old_child;
	sigset_t signals, old_mask;
	pid_t parent = getpid();
	pid_t child;
	int started[2];
	int status;

	if (run->stats && !ledger) {
		complain("there is no room for the statistics (%s); run without --stats",
			 strerror(errno));
		return STATUS_UNABLE;
	}
	forwarded_signals(&signals);
	sigprocmask(SIG_BLOCK, &signals, &old_mask);
	/* Were it ignored, there would be nothing to wait for. */
	sigaction(SIGCHLD, &default_child, &old_child);

	child = pipe2(started, O_CLOEXEC) == 0 ? fork() : -1;
	if (child < 0) {
		complain("cannot start another process: %s", strerror(errno));
		return STATUS_UNABLE;
	}
	if (child == 0) {
		close(started[0]);
		/* Who kills this command means PROGRAM. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(STATUS_UNABLE);
		sigaction(SIGCHLD, &old_child, NULL);
		sigprocmask(SIG_SETMASK, &old_mask, NULL);
		status = become(run, path);
		_exit(write(started[1], &status, sizeof(status)) == sizeof(status) ? status
										   : STATUS_UNABLE);
	}

	close(started[1]);
	/* Closed by the exec. Without one there is nothing to report. */
	if (read(started[0], &status, sizeof(status)) == sizeof(status)) {
		finish_files(run);
		return status;
	}
	let_go_of_files(session);
	status = wait_for(child, &signals);
	finish_files(run);
	if (ledger)
		report_print(ledger, run->inject != NULL);
	return end_like(status);
}

int run_main(int argc, char **argv)
{
	struct run run = {.trap = HOST_TRAP_AUTO};
	char path[PATH_MAX], preload[PATH_MAX];
	struct trial trial;
	int status, session;

	if (parse(argc, argv, &run, &status))
		return status;
	if (!host_find(run.host))
		run.host[0] = 0;
	if ((status = program_find(run.program[0], path)) ||
	    (status = program_check(run.program[0], path, &run.hosted)) ||
	    (status = preload_find(preload)) || (status = check_machine(&run, &trial)) ||
	    (status = limits_begin(&run.limits)) ||
	    (status = run_trace_begin(&run.trace, run.program)) ||
	    (status = prepare_environment(&run, preload)))
		return status;

	if (run.verbose)
		complain("running %s with %s, %s trap, profile %s", path, preload, trial.trap,
			 run.profile ? run.profile : "all");
	session = session_make(path);
	if (session < 0)
		return STATUS_UNABLE;
	return run.stats || run.limits.record_name || run.trace.name
		       ? run_and_stay(&run, path, session)
		       : become(&run, path);
}
