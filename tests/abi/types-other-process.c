/* SPDX-License-Identifier: MIT */
/* Another process stores into the file: its page is there. It sees what COPY put there. */
#include "kinds.h"

#include <sys/wait.h>

static void check(struct memory *m)
{
	struct thread t;
	int to[2], from[2], status;
	char byte;
	size_t u = m->unit;

	EQ(pipe(to), 0);
	EQ(pipe(from), 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		alarm(20);
		m->view[0] = 3;
		EQ(write(from[1], "x", 1), 1);
		EQ(read(to[0], &byte, 1), 1);
		_exit(m->view[u + 1]);
	}
	int fd = uffd_open(0);
	EQ(read(from[0], &byte, 1), 1);
	REGISTERS(fd, m, MISSING | MINOR);
	reader(&t, m->p);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_MINOR);
	DONE(cont(fd, m->p, u, 0), u);
	join(&t);
	EQ(t.byte, 3);
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, 0), u);
	m->p[u + 1] = 5;
	EQ(write(to[1], "x", 1), 1);
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, (m->kind & SHARED ? 5 : 0) << 8);
	CHECK(quiet(fd));
	close(to[0]);
	close(to[1]);
	close(from[0]);
	close(from[1]);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(VIEWED, 2, check);
}
