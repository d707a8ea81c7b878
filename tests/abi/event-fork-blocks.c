/* SPDX-License-Identifier: MIT */
/* fork returns, on either side, only when its event has been read; a signal does not end the wait.
 */
#include "procs.h"

static atomic_int handled;
static int pipes[2];

static void on_usr1(int sig)
{
	(void)sig;
	handled++;
}

static int child_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	EQ(write(pipes[1], "c", 1), 1);
	return 0;
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_usr1};
	struct forker f;
	char byte;

	start();
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	EQ(pipe2(pipes, O_NONBLOCK), 0);
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	fork_start(&f, child_main, NULL);
	while (!f.thread.tid || task_state(f.thread.tid) != 'D')
		sched_yield();
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	EQ(poll(&ready, 1, -1), 1);
	EQ(ready.revents, POLLIN);
	EQ(pthread_kill(f.thread.id, SIGUSR1), 0);
	for (int i = 0; i < 2000; i++)
		sched_yield();
	EQ(task_state(f.thread.tid), 'D');
	EQ(handled, 0);
	CHECK(!f.thread.done);
	/* The child has not run yet. */
	ERR(read(pipes[0], &byte, 1), EAGAIN);
	int child = next_fork(fd);
	fork_join(&f);
	EQ(handled, 1);
	peer_end(&f.peer);
	EQ(read(pipes[0], &byte, 1), 1);
	EQ(byte, 'c');
	close(child);
	return 0;
}
