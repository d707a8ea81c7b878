/* SPDX-License-Identifier: MIT */
/* process_vm_readv and _writev with missing pages on this side, on the other, and on both. */
#include "served.h"

#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

static struct iovec *one(void *p, size_t len)
{
	struct iovec iov = {p, len};

	return lend(&iov, sizeof iov);
}

int main(void)
{
	char text[2 * PG], back[2 * PG], *a, *b;
	int pipes[2];

	memset(text, 'r', sizeof text);
	serve();
	pid_t self = getpid();
	EQ(SYS(SYS_process_vm_readv, self, one(back, PG), 1, one(lend(text, PG), PG), 1, 0), PG);
	ASKED(3);
	CHECK(all(back, PG, 'r'));
	a = lend_over(NULL, PG);
	b = lend_over(text, PG);
	EQ(SYS(SYS_process_vm_readv, self, one(a, PG), 1, one(b, PG), 1, 0), PG);
	ASKED(6);
	CHECK(all(a, PG, 'r'));
	a = lend_over(NULL, PG);
	EQ(SYS(SYS_process_vm_writev, self, one(lend_over(text, PG), PG), 1, one(a, PG), 1, 0), PG);
	ASKED(6);
	CHECK(all(a, PG, 'r'));

	/* Another process. */
	EQ(pipe(pipes), 0);
	char *there =
		mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(there, 'c', 2 * PG);
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pipes[1]);
		if (read(pipes[0], back, 1) != 0)
			_exit(1);
		_exit(there[PG] == 'r' && there[2 * PG - 1] == 'r' && there[0] == 'c' ? 0 : 2);
	}
	CHECK(child > 0);
	a = lend_over(NULL, 2 * PG);
	EQ(SYS(SYS_process_vm_readv, child, one(a, 2 * PG), 1, one(there, 2 * PG), 1, 0), 2 * PG);
	ASKED(5);
	CHECK(all(a, 2 * PG, 'c'));
	b = lend_over(text, PG);
	EQ(SYS(SYS_process_vm_writev, child, one(b, PG), 1, one(there + PG, PG), 1, 0), PG);
	ASKED(4);
	int status;
	close(pipes[1]);
	EQ(waitpid(child, &status, 0), child);
	EQ(status, 0);
	return 0;
}
