/*
 * process.c - the constructor, fork, exec.
 *
 * Children run under Userfault too: an environment without us gets us back at exec.
 */
#include "front/dispatch.h"
#include "front/hosted.h"
#include "front/gate.h"
#include "front/huge.h"
#include "front/patch.h"
#include "front/preload.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

/* What every child's environment must have, as it stood at the start. */
static const char *const kept_names[] = {
	"USERFAULT_TRAP=",	"USERFAULT_PROFILE=",	  "USERFAULT_SESSION=",
	"USERFAULT_VERBOSE=",	"USERFAULT_HUGE=",	  "USERFAULT_FILE_FAULTS=",
	"USERFAULT_MOVE_ANY=",	"USERFAULT_SWAP=",	  "USERFAULT_MEMORY_LIMIT=",
	"USERFAULT_POLICY=",	"USERFAULT_RECORD=",	  HOSTED_HOST "=",
	"USERFAULT_RAW_CALLS=", "USERFAULT_FORK_EVENTS=", "USERFAULT_TRACE=",
	"USERFAULT_INJECT="};
#define KEPT (sizeof(kept_names) / sizeof(kept_names[0]))
static char *kept[KEPT];
static char own_path[PATH_MAX];

/*
 * A fork by libc: its handlers of pthread_atfork run around it, its locks are held for it, malloc's
 * among them. Where the system call itself comes to the gate, that is early enough, and the memory
 * is not held while libc waits for its locks: who has one may be waiting for a page.
 */
static __thread enum {
	FORK_OTHER,
	FORK_LIBC,  /* libc's is under way */
	FORK_GATED, /* and has been to the gate */
} forking __attribute__((tls_model("initial-exec")));

void process_fork_begin(bool shares_files)
{
	front_fork_begin(shares_files);
}

void process_forked_parent(void)
{
	if (forking == FORK_LIBC)
		forking = FORK_GATED;
	front_fork_parent();
}

void process_forked_child(void)
{
	front_fork_child();
	/* It frees memory. */
	if (forking == FORK_LIBC)
		forking = FORK_GATED;
	else
		epoll_child();
	dispatch_child();
}

static bool begins(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* The path under which we were preloaded, as LD_PRELOAD has it. */
static void find_own_path(void)
{
	Dl_info info;

	if (dladdr((void *)find_own_path, &info) && info.dli_fname &&
	    strlen(info.dli_fname) < sizeof(own_path))
		strcpy(own_path, info.dli_fname);
}

static void keep_environment(void)
{
	unsigned i;
	char **e;

	for (e = environ; e && *e; e++)
		for (i = 0; i < KEPT; i++)
			if (begins(*e, kept_names[i]) && !kept[i])
				kept[i] = strdup(*e);
}

static void begin_fork(void)
{
	forking = FORK_LIBC;
	if (!patch_forks)
		front_fork_begin(false);
}

static void end_fork(void)
{
	if (forking != FORK_GATED)
		front_fork_parent();
	forking = FORK_OTHER;
}

static void begin_child(void)
{
	if (forking != FORK_GATED) {
		front_fork_child();
		dispatch_child();
	}
	epoll_child();
	forking = FORK_OTHER;
}

__attribute__((constructor(101))) static void preload_start(void)
{
	front_environment();
	signals_init();
	find_own_path();
	keep_environment();
	hosted_exec_init();
	pthread_atfork(begin_fork, end_fork, begin_child);
}

/* libc's own runs no handlers of pthread_atfork. */
EXPORT pid_t _Fork(void)
{
	pid_t pid;

	begin_fork();
	pid = REAL(_Fork)();
	if (pid == 0)
		begin_child();
	else
		end_fork();
	return pid;
}

/* ---- the environment of a child ----------------------------------------------------------------
 */

/* Is own_path one of the words of LD_PRELOAD? */
static bool names_us(const char *list)
{
	size_t len = strlen(own_path), word;

	for (; *list; list += word + (list[word] != 0)) {
		word = strcspn(list, ": ");
		if (word == len && strncmp(list, own_path, len) == 0)
			return true;
	}
	return false;
}

static bool complete(char *const *envp)
{
	bool preload = !own_path[0];
	unsigned found = 0, wanted = 0, i;

	for (i = 0; i < KEPT; i++)
		wanted += kept[i] != NULL;
	for (; envp && *envp; envp++) {
		if (begins(*envp, "LD_PRELOAD="))
			preload = preload || names_us(*envp + strlen("LD_PRELOAD="));
		for (i = 0; i < KEPT; i++)
			found += kept[i] && begins(*envp, kept_names[i]);
	}
	return preload && found >= wanted;
}

static size_t entries(char *const *envp)
{
	size_t n = 0;

	while (envp && envp[n])
		n++;
	return n;
}

/* Room for the line that build makes. */
static size_t line_size(char *const *envp)
{
	size_t size = strlen("LD_PRELOAD=") + strlen(own_path) + 2;

	for (; envp && *envp; envp++)
		if (begins(*envp, "LD_PRELOAD="))
			size += strlen(*envp);
	return size;
}

/* hosted: one line more, or NULL. */
static char *const *build(char *const *envp, char **list, char *line, char *hosted)
{
	const char *others = "";
	bool have[KEPT] = {false};
	size_t n = 0;
	unsigned i;

	for (; envp && *envp; envp++) {
		if (begins(*envp, "LD_PRELOAD=")) {
			others = *envp + strlen("LD_PRELOAD=");
			continue;
		}
		for (i = 0; i < KEPT; i++)
			have[i] = have[i] || begins(*envp, kept_names[i]);
		list[n++] = *envp;
	}
	for (i = 0; i < KEPT; i++)
		if (kept[i] && !have[i])
			list[n++] = kept[i];
	strcpy(stpcpy(line, "LD_PRELOAD="), names_us(others) ? others : own_path);
	if (*others && !names_us(others))
		strcat(strcat(line, ":"), others);
	list[n++] = line;
	list[n] = hosted;
	list[n + (hosted != NULL)] = NULL;
	return list;
}

/*
 * Calls with the environment that keeps us in place of `envp`, and with its host in place of a
 * static program, if `found` says so. On the stack, because this may be the child of a vfork.
 */
#define WITH_ENVIRONMENT(found, path, envp, call)                                                  \
	do {                                                                                       \
		char *list_[entries(envp) + KEPT + 3], line_[line_size(envp)];                     \
		struct hosted_exec hosted;                                                         \
		bool is_hosted = found;                                                            \
                                                                                                   \
		if (is_hosted)                                                                     \
			path = hosted.host;                                                        \
		if (is_hosted || !complete(envp))                                                  \
			envp = build(envp, list_, line_, is_hosted ? hosted.line : NULL);          \
		return call;                                                                       \
	} while (0)

/* ---- exec --------------------------------------------------------------------------------------
 */

/* The path and the strings may be in managed memory. */
static long enter(long nr, long a, const void *b, const void *c, const void *d, int flags)
{
	const long args[6] = {a, (long)b, (long)c, (long)d, flags};

	return gate_others(nr, args);
}

long process_execve(const char *path, char *const *argv, char *const *envp)
{
	WITH_ENVIRONMENT(hosted_exec(path, &hosted), path, envp,
			 enter(SYS_execve, (long)path, argv, envp, NULL, 0));
}

long process_execveat(int dir, const char *path, char *const *argv, char *const *envp, int flags)
{
	WITH_ENVIRONMENT(hosted_exec_at(dir, path, flags, &hosted), path, envp,
			 is_hosted ? enter(SYS_execve, (long)path, argv, envp, NULL, 0)
				   : enter(SYS_execveat, dir, path, argv, envp, flags));
}

EXPORT int execve(const char *path, char *const *argv, char *const *envp)
{
	WITH_ENVIRONMENT(hosted_exec(path, &hosted), path, envp, REAL(execve)(path, argv, envp));
}

EXPORT int execveat(int dir, const char *path, char *const *argv, char *const *envp, int flags)
{
	WITH_ENVIRONMENT(hosted_exec_at(dir, path, flags, &hosted), path, envp,
			 is_hosted ? REAL(execve)(path, argv, envp)
				   : REAL(execveat)(dir, path, argv, envp, flags));
}

EXPORT int fexecve(int fd, char *const *argv, char *const *envp)
{
	const char *path = "";

	WITH_ENVIRONMENT(hosted_exec_at(fd, path, AT_EMPTY_PATH, &hosted), path, envp,
			 is_hosted ? REAL(execve)(path, argv, envp)
				   : REAL(fexecve)(fd, argv, envp));
}

EXPORT int execvpe(const char *file, char *const *argv, char *const *envp)
{
	WITH_ENVIRONMENT(hosted_exec_search(file, &hosted), file, envp,
			 REAL(execvpe)(file, argv, envp));
}

EXPORT int execv(const char *path, char *const *argv)
{
	return execve(path, argv, environ);
}

EXPORT int execvp(const char *file, char *const *argv)
{
	return execvpe(file, argv, environ);
}

/* How many arguments follow `first`, the NULL included. */
static size_t count_arguments(const char *first, va_list ap)
{
	size_t n = 1;

	for (; first; first = va_arg(ap, const char *))
		n++;
	return n;
}

static void copy_arguments(char **argv, const char *first, va_list ap)
{
	for (; first; first = va_arg(ap, const char *))
		*argv++ = (char *)first;
	*argv = NULL;
}

#define EXECL(name, call)                                                                          \
	EXPORT int name(const char *path, const char *first, ...)                                  \
	{                                                                                          \
		va_list ap;                                                                        \
		size_t n;                                                                          \
                                                                                                   \
		va_start(ap, first);                                                               \
		n = count_arguments(first, ap);                                                    \
		va_end(ap);                                                                        \
		char *argv[n];                                                                     \
		va_start(ap, first);                                                               \
		copy_arguments(argv, first, ap);                                                   \
		va_end(ap);                                                                        \
		return call(path, argv, environ);                                                  \
	}
EXECL(execl, execve)
EXECL(execlp, execvpe)

EXPORT int execle(const char *path, const char *first, ...)
{
	char *const *envp;
	va_list ap;
	size_t n, i;

	va_start(ap, first);
	n = count_arguments(first, ap);
	envp = va_arg(ap, char *const *);
	va_end(ap);

	char *argv[n];

	va_start(ap, first);
	for (i = 0; i + 1 < n; i++)
		argv[i] = i ? va_arg(ap, char *) : (char *)first;
	argv[i] = NULL;
	va_end(ap);
	return execve(path, argv, envp);
}

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attr, char *const *argv, char *const *envp)
{
	WITH_ENVIRONMENT(hosted_exec(path, &hosted), path, envp,
			 REAL(posix_spawn)(pid, path, actions, attr, argv, envp));
}

EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
			const posix_spawnattr_t *attr, char *const *argv, char *const *envp)
{
	WITH_ENVIRONMENT(hosted_exec_search(file, &hosted), file, envp,
			 REAL(posix_spawnp)(pid, file, actions, attr, argv, envp));
}
