/* SPDX-License-Identifier: MIT */
/* Two registered mappings of a page are touched at once: COPY shows a whole page to both. */
#include "kinds.h"

#define ROUNDS 60

static int expected;
static _Atomic int bad;

static void *look(void *arg)
{
	struct memory *m = arg;
	size_t u = m->unit;

	for (size_t i = 0; i < m->len / u; i++) {
		char last = ((volatile char *)m->p)[i * u + u - 1];
		char first = ((volatile char *)m->p)[i * u];
		if (first != expected || last != expected)
			bad++;
	}
	return NULL;
}

static void check(struct memory *m)
{
	struct memory other = *m;
	struct thread a, b;
	int fd = uffd_open(0);
	size_t u = m->unit;
	int rounds = u == PG ? ROUNDS : ROUNDS / 10;

	other.p = m->view;
	REGISTERS(fd, m, MISSING);
	REGISTERS(fd, &other, MISSING);
	for (int i = 0; i < rounds; i++) {
		expected = i % 100 + 1;
		char *src = source(m, 1, expected);
		run(&a, look, m);
		run(&b, look, &other);
		while (!a.done || !b.done) {
			struct uffd_msg msg;
			if (read(fd, &msg, sizeof msg) != sizeof msg)
				continue;
			void *addr = (void *)(uintptr_t)msg.pagefault.address;
			struct outcome got = copy(fd, addr, src, u, 0);
			if (got.err)
				EQ(got.err, EEXIST);
			EQ(wake(fd, addr, u), 0);
		}
		join(&a);
		join(&b);
		EQ(bad, 0);
		EQ(madvise(m->p, m->len, MADV_REMOVE), 0);
	}
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(SHMEM_SHARED | HUGE_MEMFD, 3, check);
}
