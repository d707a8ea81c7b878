/* SPDX-License-Identifier: MIT */
/* MOVE of whole huge pages, aligned alike and not. */
#include "abi.h"

#define SIZE (2ul << 20)

static char *huge_pages(size_t n)
{
	char *area = map((n + 1) * SIZE / PG);
	char *p = (char *)(((uintptr_t)area + SIZE - 1) & -SIZE);

	madvise(p, n * SIZE, MADV_HUGEPAGE);
	return p;
}

static void stamp(char *p, size_t n)
{
	for (size_t i = 0; i < n * SIZE / PG; i++)
		memset(p + i * PG, i * 11, PG);
}

static void verify(const char *p, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		CHECK(all(p + i * PG, PG, (from + i) * 11));
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MOVE);
	int fd = uffd_open(0);
	char *src = huge_pages(2), *dst = huge_pages(3);
	stamp(src, 2);
	EQ(reg(fd, dst, 3 * SIZE, MISSING), 0);
	DONE(move(fd, dst, src, SIZE, 0), SIZE);
	verify(dst, 0, SIZE / PG);
	CHECK(!populated(src));
	/* Out of step with the huge page: it falls apart. */
	DONE(move(fd, dst + SIZE + 3 * PG, src + SIZE, SIZE, 0), SIZE);
	verify(dst + SIZE + 3 * PG, SIZE / PG, SIZE / PG);
	CHECK(!populated(dst + SIZE + 2 * PG));
	CHECK(all(src, 2 * SIZE, 0));
	CHECK(quiet(fd));
	return 0;
}
