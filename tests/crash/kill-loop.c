/* SPDX-License-Identifier: MIT */
/*
 * kill-loop.c - the conductor: makes the crew, kills, looks whether the others go on.
 *
 *     kill-loop [--kills N] [--seconds T] [--seed S] [--members M] [--pages P] [--patience T]
 *               [--no-fork-events]
 *
 * Kills one process of the crew after another, at a moment of no choice: after a random spin, or
 * after a random number of single steps of one of its threads. After each, every other member must
 * get on with its work, and a member that died is replaced. Exits 0 when that went well and nothing
 * is left behind.
 */
#include "crash.h"

#include <dirent.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SPIN_NS	   3000000 /* at most, before a kill */
#define STEPS	   400	   /* at most, of a traced thread */
#define PATIENCE_S 60

struct crew *crew;

static struct {
	uint64_t random;
	unsigned long kills, wanted;
	unsigned long stepped, others; /* kills after single steps; of helpers and children */
	uint64_t end_ns;	       /* 0: by count alone */
	uint64_t patience_ns;
	pid_t pid[MEMBERS];
} loop;

/* ---- The crew ---- */

static void start_member(unsigned i)
{
	pid_t parent = getpid(), pid;
	uint64_t seed = any(&loop.random);

	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		member_run(i, seed);
	}
	MUST(pid > 0);
	loop.pid[i] = pid;
	atomic_store(&crew->member[i].pid[0], (int)pid);
}

static void make_crew(unsigned members, size_t pages, bool fork_events)
{
	crew = mmap(NULL, sizeof(*crew), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(crew != MAP_FAILED);
	crew->members = members;
	crew->pages = pages;
	crew->fork_events = fork_events;
	for (unsigned i = 0; i < members; i++)
		MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, crew->member[i].inbox) ==
		     0);
	for (unsigned i = 0; i < members; i++)
		start_member(i);
}

/* The member is dead: what it left behind goes with it, and another takes its place. */
static void replace(unsigned i)
{
	struct member *m = &crew->member[i];

	for (unsigned k = 0; k < PROCESSES; k++)
		atomic_store(&m->pid[k], 0);
	atomic_fetch_add(&m->epoch, 1);
	start_member(i);
}

/* ---- Reports ---- */

/* The first line of a file below /proc/PID that begins with `with`. */
static void show_line(int pid, const char *below_it, const char *name, const char *file,
		      const char *with)
{
	char path[320], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s/%s%s", pid, below_it, name, file);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, with, strlen(with)) != 0)
			continue;
		line[strcspn(line, "\n")] = 0;
		fprintf(stderr, "  %s", line);
		break;
	}
	if (f)
		fclose(f);
}

static void show_descriptor(int pid, const char *name)
{
	char path[320], target[64];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid, name);
	len = readlink(path, target, sizeof(target) - 1);
	if (len <= 0)
		return;
	target[len] = 0;
	if (!strstr(target, "userfaultfd") && !strstr(target, "eventpoll"))
		return;
	fprintf(stderr, "    descriptor %s", name);
	show_line(pid, "fdinfo", name, "", "pending");
	show_line(pid, "fdinfo", name, "", "total");
	show_line(pid, "fdinfo", name, "", "tfd");
	fprintf(stderr, "\n");
}

static void show_thread(int pid, const char *name)
{
	fprintf(stderr, "    thread %s", name);
	show_line(pid, "task", name, "/status", "State");
	show_line(pid, "task", name, "/status", "TracerPid");
	show_line(pid, "task", name, "/syscall", "");
	show_line(pid, "task", name, "/stack", "");
	fprintf(stderr, "\n");
}

static void show_each(int pid, const char *what, void (*show)(int pid, const char *name))
{
	struct dirent *entry;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, what);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			show(pid, entry->d_name);
	}
	if (dir)
		closedir(dir);
}

static void show_process(unsigned member, unsigned place, int pid)
{
	static const char *const what[PROCESSES] = {"itself", "helper", "child"};

	fprintf(stderr, "  member %u, %s: process %d, doing %d\n", member, what[place], pid,
		atomic_load(&crew->member[member].doing));
	show_each(pid, "task", show_thread);
	show_each(pid, "fd", show_descriptor);
}

/* With CRASH_KEEP in the environment the stuck crew stays as it is, for a debugger. */
_Noreturn static void stuck(unsigned i)
{
	fprintf(stderr, "kill-loop: after %lu kills member %u (process %d) does not go on\n",
		loop.kills, i, (int)loop.pid[i]);
	for (unsigned k = 0; k < crew->members; k++) {
		for (unsigned p = 0; p < PROCESSES; p++) {
			if (atomic_load(&crew->member[k].pid[p]) > 0)
				show_process(k, p, atomic_load(&crew->member[k].pid[p]));
		}
	}
	if (getenv("CRASH_KEEP"))
		raise(SIGSTOP);
	exit(1);
}

/* ---- Killing ---- */

static void spin(uint64_t ns)
{
	uint64_t end = now_ns() + ns;

	while (now_ns() < end)
		;
}

static int random_thread(int pid)
{
	int chosen = pid, seen = 0;
	struct dirent *entry;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.' && below(&loop.random, (uint64_t)++seen) == 0)
			chosen = atoi(entry->d_name);
	}
	if (dir)
		closedir(dir);
	return chosen;
}

/* Goes on until the thread has stopped; false when it ended. */
static bool stopped(int tid, int *status)
{
	return waitpid(tid, status, __WALL) == tid && WIFSTOPPED(*status);
}

/* Brings one thread of the process a few instructions on from wherever it was. */
static void single_steps(int pid)
{
	int tid = random_thread(pid), status;
	uint64_t steps = below(&loop.random, STEPS);

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) || ptrace(PTRACE_INTERRUPT, tid, NULL, NULL))
		return;
	for (; steps > 0 && stopped(tid, &status); steps--) {
		long sig = WSTOPSIG(status);
		siginfo_t info;

		/* The stops that are no signal's. */
		if (sig == SIGTRAP || status >> 16 != 0 ||
		    ptrace(PTRACE_GETSIGINFO, tid, NULL, &info))
			sig = 0;
		/* One that sleeps would not come back from a step. */
		if (ptrace(PTRACE_SINGLESTEP, tid, NULL, sig))
			break;
		if (steps % 16 == 0 && below(&loop.random, 64) == 0)
			break;
	}
	loop.stepped++;
}

/*
 * One that has ended, or stopped. A member other than `killed` has no reason to end.
 */
static void note_end(int pid, int status, int killed)
{
	for (unsigned i = 0; i < crew->members; i++) {
		if (pid != loop.pid[i] || pid == killed || WIFSTOPPED(status))
			continue;
		fprintf(stderr, "kill-loop: member %u ended by itself: status %#x\n", i,
			(unsigned)status);
		exit(1);
	}
}

/* The ends of traced threads are told to us first, also of those that are no children of ours. */
static void wait_for_end(int killed, bool child)
{
	int status, pid;

	do {
		pid = waitpid(-1, &status, __WALL | (child ? 0 : WNOHANG));
		if (pid > 0)
			note_end(pid, status, killed);
	} while (pid > 0 && !(child && pid == killed && !WIFSTOPPED(status)));
}

/*
 * A forked child leaves its number behind only when it has taken it back: as long as it stands
 * there after the descriptor was opened, that is the process meant.
 */
static void kill_one(void)
{
	unsigned i = (unsigned)below(&loop.random, crew->members);
	struct member *m = &crew->member[i];
	unsigned place = 0;
	int pid, fd;

	if (below(&loop.random, 10))
		spin(below(&loop.random, 2) ? below(&loop.random, SPIN_NS)
					    : below(&loop.random, 20000));
	if (below(&loop.random, 2))
		place = atomic_load(&m->pid[2]) > 0 ? 2 : 1;
	if (atomic_load(&m->pid[place]) <= 0)
		place = 0;
	pid = atomic_load(&m->pid[place]);
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pid <= 0 || fd < 0 || atomic_load(&m->pid[place]) != pid) {
		if (fd >= 0)
			close(fd);
		return;
	}
	if (below(&loop.random, 8) == 0)
		single_steps(pid);
	if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0)
		loop.kills++;
	close(fd);
	if (place) {
		loop.others++;
		atomic_compare_exchange_strong(&m->pid[place], &pid, 0);
	}
	wait_for_end(pid, place == 0);
	if (place == 0)
		replace(i);
}

/* Every member's counter moves. */
static void others_go_on(void)
{
	uint64_t begin = now_ns(), steps[MEMBERS];

	for (unsigned i = 0; i < crew->members; i++)
		steps[i] = atomic_load(&crew->member[i].steps);
	for (unsigned i = 0; i < crew->members; i++) {
		while (atomic_load(&crew->member[i].steps) == steps[i]) {
			if (atomic_load(&crew->failed))
				exit(1);
			if (now_ns() - begin > loop.patience_ns)
				stuck(i);
			/* A traced process has not ended for its parent until it has for us. */
			wait_for_end(0, false);
			sched_yield();
		}
	}
	wait_for_end(0, false);
}

static void end_crew(void)
{
	uint64_t begin = now_ns();

	for (unsigned i = 0; i < crew->members; i++)
		kill(loop.pid[i], SIGKILL);
	/* Their children come to us, and end with them. */
	while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR) {
		if (now_ns() - begin > loop.patience_ns)
			broken("processes are left", 0, 0);
	}
	for (unsigned i = 0; i < crew->members; i++) {
		close(crew->member[i].inbox[0]);
		close(crew->member[i].inbox[1]);
	}
}

/* ---- The run ---- */

static void on_alarm(int signo)
{
	(void)signo;
	stuck(0);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (*text == 0 || *end != 0) {
		fprintf(stderr, "kill-loop: '%s' is no number\n", text);
		exit(2);
	}
	return value;
}

static void parse(int argc, char **argv, unsigned *members, size_t *pages, bool *events)
{
	static const struct option options[] = {
		{"kills", required_argument, NULL, 'k'},
		{"seconds", required_argument, NULL, 't'},
		{"seed", required_argument, NULL, 's'},
		{"members", required_argument, NULL, 'm'},
		{"pages", required_argument, NULL, 'p'},
		{"patience", required_argument, NULL, 'w'},
		{"no-fork-events", no_argument, NULL, 'n'},
		{0},
	};
	int c;

	loop.wanted = 100;
	loop.random = now_ns() | 1;
	loop.patience_ns = PATIENCE_S * 1000000000ull;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'k')
			loop.wanted = number(optarg);
		else if (c == 't')
			loop.end_ns = now_ns() + number(optarg) * 1000000000ull;
		else if (c == 's')
			loop.random = number(optarg) * 2 + 1;
		else if (c == 'm')
			*members = (unsigned)number(optarg);
		else if (c == 'p')
			*pages = number(optarg);
		else if (c == 'w')
			loop.patience_ns = number(optarg) * 1000000000ull;
		else if (c == 'n')
			*events = false;
		else
			exit(2);
	}
	if (*members < 1 || *members > MEMBERS || *pages < 2) {
		fprintf(stderr, "kill-loop: 1 to %d members, and 2 pages at least\n", MEMBERS);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct leftovers before;
	uint64_t steps = 0, served = 0;
	unsigned members = 4;
	size_t pages = 48;
	bool events = true;
	int probe;

	parse(argc, argv, &members, &pages, &events);
	probe = uffd_make(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	if (probe < 0) {
		fprintf(stderr, "kill-loop: userfaultfd is refused: %s\n", strerror(errno));
		return getenv("CRASH_NO_SKIP") ? 1 : EXIT_SKIP;
	}
	close(probe);
	if (events) {
		probe = uffd_make(FEATURES);
		events = probe >= 0;
		if (probe >= 0)
			close(probe);
		else
			printf("without fork events: %s\n", strerror(errno));
	}
	leftovers_note(&before);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGALRM, on_alarm);
	make_crew(members, pages, events);
	others_go_on();
	while (loop.kills < loop.wanted && (!loop.end_ns || now_ns() < loop.end_ns)) {
		kill_one();
		others_go_on();
	}
	end_crew();
	for (unsigned i = 0; i < members; i++) {
		steps += atomic_load(&crew->member[i].steps);
		served += atomic_load(&crew->member[i].served);
	}
	if (atomic_load(&crew->failed))
		return 1;
	munmap(crew, sizeof(*crew));
	crew = NULL;
	leftovers_check(&before);
	printf("%lu kills (%lu of helpers and children, %lu after single steps), %llu steps, "
	       "%llu times another served\n",
	       loop.kills, loop.others, loop.stepped, (unsigned long long)steps,
	       (unsigned long long)served);
	if (members > 1 && served == 0) {
		fprintf(stderr, "kill-loop: nobody has served another\n");
		return 1;
	}
	return 0;
}
