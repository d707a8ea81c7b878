/* SPDX-License-Identifier: MIT */
/* Memory in huge pages without userfaultfd: aligned, zero, shared or not with a child. */
#include "kinds.h"

#include <sys/wait.h>

static void check(struct memory *m)
{
	int shared = m->kind & SHARED ? MAP_SHARED : MAP_PRIVATE, status;
	int flags = shared | (m->file < 0 ? MAP_HUGETLB | MAP_ANONYMOUS : 0);
	char *p = mmap(NULL, 2 * HUGE_PG, PROT_READ | PROT_WRITE, flags, m->file, 0);

	if (p == MAP_FAILED)
		skip("no free huge pages");
	EQ((uintptr_t)p % HUGE_PG, 0);
	CHECK(all(p, 2 * HUGE_PG, 0));
	p[0] = p[2 * HUGE_PG - 1] = 1;
	need_spare(m->kind, 2);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		p[HUGE_PG] = 2;
		_exit(p[0] == 1 ? 3 : 4);
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 3 << 8);
	EQ(p[HUGE_PG], m->kind & SHARED ? 2 : 0);
	/* Unmapped in whole pages only. */
	ERR(munmap(p + PG, HUGE_PG), EINVAL);
	EQ(munmap(p, HUGE_PG), 0);
	EQ(p[2 * HUGE_PG - 1], 1);
	EQ(try_read(p, NULL), SIGSEGV);
	EQ(munmap(p + HUGE_PG, HUGE_PG), 0);
}

int main(void)
{
	start();
	return each(HUGE, 2, check);
}
