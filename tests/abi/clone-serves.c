/* SPDX-License-Identifier: MIT */
/* The child of clone(CLONE_VM) reads the messages and fills the pages; the parent faults. */
#include "abi.h"

#include <sys/wait.h>

#define PAGES 64

static int fd;
static char *p, *src;
static _Alignas(16) char stack[65536];

static int child_main(void *arg)
{
	(void)arg;
	for (int i = 0; i < PAGES; i++) {
		struct uffd_msg msg;
		ssize_t n;

		do
			n = read(fd, &msg, sizeof msg);
		while (n < 0);
		if (msg.event != UFFD_EVENT_PAGEFAULT)
			return 1;
		if (copy(fd, (char *)msg.pagefault.address, src, PG, 0).out != (int64_t)PG)
			return 2;
	}
	return 0;
}

int main(void)
{
	int status;

	start();
	fd = uffd_new(O_CLOEXEC);
	EQ(uffd_api(fd, 0), 0);
	p = map(PAGES);
	src = page_of(0x31);
	EQ(reg(fd, p, PAGES * PG, MISSING), 0);
	pid_t child = clone(child_main, stack + sizeof stack,
			    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | SIGCHLD, NULL);
	CHECK(child > 0);
	CHECK(all(p, PAGES * PG, 0x31));
	EQ(waitpid(child, &status, 0), child);
	EQ(status, 0);
	return 0;
}
