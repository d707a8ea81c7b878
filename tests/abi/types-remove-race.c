/* SPDX-License-Identifier: MIT */
/* Pages are removed from the file again and again while threads touch them: all are asked for. */
#include "kinds.h"

static _Atomic bool stop;
static _Atomic int bad;

static void *look(void *arg)
{
	struct memory *m = arg;

	for (size_t i = 0; !stop; i++) {
		char byte = ((volatile char *)m->p)[i % 4 * m->unit + i % m->unit];
		if (byte < 1 || byte > 100)
			bad++;
	}
	return NULL;
}

static void serve(int fd, struct memory *m, char *src)
{
	struct uffd_msg msg;

	while (read(fd, &msg, sizeof msg) == sizeof msg) {
		void *addr = (void *)(uintptr_t)msg.pagefault.address;
		struct outcome got = copy(fd, addr, src, m->unit, 0);
		if (got.err)
			EQ(got.err, EEXIST);
		EQ(wake(fd, addr, m->unit), 0);
	}
}

static void check(struct memory *m)
{
	struct thread t[2];
	int fd = uffd_open(0);
	size_t u = m->unit;
	int rounds = u == PG ? 2000 : 20;

	stop = false;
	REGISTERS(fd, m, MISSING);
	for (int i = 0; i < 2; i++)
		run(&t[i], look, m);
	for (int i = 0; i < rounds; i++) {
		serve(fd, m, source(m, 1, i % 100 + 1));
		EQ(madvise(m->p + i % 3 * u, 2 * u, MADV_REMOVE), 0);
	}
	stop = true;
	while (!t[0].done || !t[1].done)
		serve(fd, m, source(m, 1, 1));
	for (int i = 0; i < 2; i++)
		join(&t[i]);
	EQ(bad, 0);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(SHMEM_SHARED | HUGE_MEMFD, 4, check);
}
