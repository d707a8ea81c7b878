/*
 * tell-signals: says "ready", then the name of each signal that comes; TERM ends it.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	sigset_t all;
	int sig;

	sigfillset(&all);
	sigdelset(&all, SIGTERM);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(60);
	/* The test's own SIGALRM comes from a process, the alarm from the kernel. */
	for (puts("ready");;) {
		siginfo_t info;

		sig = sigwaitinfo(&all, &info);
		if (sig < 0)
			continue;
		if (sig == SIGALRM && info.si_code == SI_KERNEL)
			return 1;
		puts(sig == SIGRTMIN ? "RTMIN" : sigabbrev_np(sig));
	}
}
