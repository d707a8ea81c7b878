/* SPDX-License-Identifier: MIT */
/* exec while threads wait for pages: the new program runs. */
#include "abi.h"

#include <sys/wait.h>

static void child_main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	reader(&t, p);
	FAULT(fd, p, 0);
	writer(&t, p + PG, 1);
	CHECK(blocked(&t));
	execl("/bin/sh", "sh", "-c", "exit 9", NULL);
	_exit(3);
}

int main(void)
{
	int status;

	start();
	uffd_features();
	pid_t child = fork();
	CHECK(child >= 0);
	if (!child)
		child_main();
	EQ(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status));
	EQ(WEXITSTATUS(status), 9);
	return 0;
}
