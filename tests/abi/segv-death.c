/* SPDX-License-Identifier: MIT */
/* A bad access that nobody handles ends the process with SIGSEGV, also when blocked or ignored. */
#include "abi.h"

#include <sys/wait.h>

enum how {
	PLAIN,
	IGNORED,
	BLOCKED,
	REGISTERED,
	POISONED
};

static void die(enum how how)
{
	struct sigaction act = {.sa_handler = _exit};
	sigset_t set;

	start();
	int fd = uffd_open(0);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	switch (how) {
	case PLAIN:
		break;
	case IGNORED:
		signal(SIGSEGV, SIG_IGN);
		break;
	case BLOCKED:
		EQ(sigaction(SIGSEGV, &act, NULL), 0);
		sigemptyset(&set);
		sigaddset(&set, SIGSEGV);
		EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
		break;
	case REGISTERED:
		EQ(mprotect(p, PG, PROT_NONE), 0);
		(void)*(volatile char *)p;
		_exit(3);
	case POISONED:
		DONE(poison(fd, p, PG, 0), PG);
		(void)*(volatile char *)p;
		_exit(3);
	}
	*at_address(8) = 1;
	_exit(3);
}

int main(void)
{
	start();
	bool poisons = uffd_features() & UFFD_FEATURE_POISON;
	for (enum how how = PLAIN; how <= POISONED; how++) {
		int status;

		if (how == POISONED && !poisons)
			continue;
		pid_t child = fork();
		CHECK(child >= 0);
		if (!child)
			die(how);
		EQ(waitpid(child, &status, 0), child);
		CHECK(WIFSIGNALED(status));
		EQ(WTERMSIG(status), how == POISONED ? SIGBUS : SIGSEGV);
	}
	return 0;
}
