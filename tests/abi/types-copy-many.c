/* SPDX-License-Identifier: MIT */
/* COPY and CONTINUE of 2 MiB of small pages in one call, starting anywhere. */
#include "kinds.h"

#define PAGES (HUGE_PG / PG)

static void check(struct memory *m)
{
	struct memory src;
	int fd = uffd_open(0);
	char *p = m->p + 3 * PG;

	CHECK(memory_map(&src, ANON, PAGES));
	for (size_t i = 0; i < PAGES; i++)
		memset(src.p + i * PG, i % 100 + 1, PG);
	REGISTERS(fd, m, MISSING | MINOR);
	DONE(copy(fd, p, src.p, HUGE_PG, 0), HUGE_PG);
	for (size_t i = 0; i < PAGES; i++)
		CHECK(all(p + i * PG, PG, i % 100 + 1));
	EQ(state(m->p + 2 * PG), 0);
	EQ(state(p + HUGE_PG), 0);

	EQ(madvise(m->p, m->len, MADV_DONTNEED), 0);
	if (!(m->kind & SHARED))
		memcpy(m->view + 3 * PG, src.p, HUGE_PG);
	DONE(cont(fd, p, HUGE_PG, 0), HUGE_PG);
	for (size_t i = 0; i < PAGES; i++)
		CHECK(all(p + i * PG, PG, i % 100 + 1));
	CHECK(quiet(fd));
	close(fd);
	memory_unmap(&src);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM);
	return each(SHMEM, PAGES + 8, check);
}
