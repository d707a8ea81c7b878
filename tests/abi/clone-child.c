/* SPDX-License-Identifier: MIT */
/* A child of clone(CLONE_VM) faults like a thread, although it is a process with a pid of its own.
 */
#include "abi.h"

#include <sys/wait.h>

#define FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | SIGCHLD)

static volatile char *p;
static _Alignas(16) char stack[65536];

/* It shares even its parent's thread-local memory, so it only touches and leaves. */
static int child_main(void *arg)
{
	(void)arg;
	char first = p[0];
	p[PG] = first + 1;
	return first + p[2 * PG];
}

int main(void)
{
	int status;

	start();
	bool with_id = uffd_features() & UFFD_FEATURE_THREAD_ID;
	int fd = uffd_open(with_id ? UFFD_FEATURE_THREAD_ID : 0);
	p = map(3);
	EQ(reg(fd, (void *)p, 3 * PG, MISSING), 0);
	pid_t child = clone(child_main, stack + sizeof stack, FLAGS, NULL);
	CHECK(child > 0);
	for (int i = 0; i < 3; i++) {
		struct uffd_msg msg = next_msg(fd);
		char *page = (char *)p + i * PG;
		fault_at(__FILE__, __LINE__, msg, page, i == 1 ? UFFD_PAGEFAULT_FLAG_WRITE : 0);
		EQ(msg.pagefault.ptid, with_id ? child : 0);
		DONE(copy(fd, page, page_of(10 + i), PG, 0), PG);
	}
	EQ(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status));
	EQ(WEXITSTATUS(status), 22);
	EQ(p[PG], 11);
	CHECK(quiet(fd));

	/* Its end did not end the parent's userfaultfd. */
	struct thread t;
	EQ(madvise((void *)p, PG, MADV_DONTNEED), 0);
	reader(&t, (void *)p);
	FAULT(fd, (void *)p, 0);
	DONE(zeropage(fd, (void *)p, PG, 0), PG);
	join(&t);
	return 0;
}
