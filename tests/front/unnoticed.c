/* SPDX-License-Identifier: MIT */
/*
 * Says what a program can see of itself without touching userfaultfd: descriptors, signal actions,
 * masks, alternate stack, threads. The test compares what it says alone and under Userfault.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int count(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static void descriptors(void)
{
	char path[32], name[256];
	ssize_t len;
	int fd;

	for (fd = 3; fd < 20000; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		len = readlink(path, name, sizeof(name) - 1);
		printf("descriptor %d: %.*s\n", fd, (int)len, name);
	}
	fd = open("/dev/null", O_RDWR);
	printf("next descriptor %d, duplicate %d, %d\n", fd, dup(fd), fcntl(fd, F_DUPFD, 100));
	printf("closed: %d\n", close_range(3, ~0u, 0));
	printf("close of a closed one: %d, %s\n", close(3), strerror(errno));
}

static void *signals(void *who)
{
	struct sigaction act;
	sigset_t mask;
	stack_t stack;
	int sig;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	sigaltstack(NULL, &stack);
	printf("%s: alternate stack %p, %zu, %d\n", (const char *)who, stack.ss_sp, stack.ss_size,
	       stack.ss_flags);
	for (sig = 1; sig < 65; sig++) {
		if (sigaction(sig, NULL, &act) < 0)
			printf("%d: %s\n", sig, strerror(errno));
		else
			printf("%d: %s %#x %d, blocked %d\n", sig,
			       act.sa_handler == SIG_DFL   ? "default"
			       : act.sa_handler == SIG_IGN ? "ignored"
							   : "handled",
			       act.sa_flags, sigismember(&act.sa_mask, SIGSEGV),
			       sigismember(&mask, sig));
	}
	return NULL;
}

static void handler(int sig)
{
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	printf("in the handler of %d: SIGSEGV %d, SIGUSR2 %d\n", sig, sigismember(&mask, SIGSEGV),
	       sigismember(&mask, SIGUSR2));
}

static void masks(void)
{
	struct sigaction act = {.sa_handler = handler};
	sigset_t all, old;

	sigfillset(&act.sa_mask);
	sigaction(SIGUSR1, &act, NULL);
	sigaction(SIGSEGV, &act, NULL);
	raise(SIGUSR1);
	raise(SIGSEGV);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	raise(SIGSEGV);
	printf("blocked\n");
	signals("all blocked");
	sigemptyset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	printf("was blocked: %d\n", sigismember(&old, SIGSEGV));
	signal(SIGUSR1, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
}

static void child(void)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		signals("child");
		fflush(stdout);
		raise(SIGSEGV);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	printf("child: signal %d\n", WTERMSIG(status));
}

int main(void)
{
	const struct rlimit none = {0};
	pthread_t thread;

	setrlimit(RLIMIT_CORE, &none);
	descriptors();
	signals("main");
	pthread_create(&thread, NULL, signals, "thread");
	pthread_join(thread, NULL);
	masks();
	child();
	printf("threads: %d\n", count("/proc/self/task"));
	return 0;
}
