/* SPDX-License-Identifier: MIT */
/* PAGEMAP_SCAN on file memory: the categories of present, protected, empty and marked pages. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct scan_region r[8];
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);
	size_t u = m->unit;

	memset(m->p, 1, 2 * u);
	(void)*(volatile char *)(m->p + 2 * u);
	EQ(madvise(m->p + 3 * u, 3 * u, MADV_DONTNEED), 0);
	REGISTERS(fd, m, WP);
	EQ(protect(fd, m->p + u, u, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(protect(fd, m->p + 4 * u, u, UFFDIO_WRITEPROTECT_MODE_WP), 0);

	uint64_t huge = u == PG ? CAT_WPALLOWED : CAT_WPALLOWED | CAT_HUGE;
	/* A private page is the mapping's own once it was written; huge ones are at once. */
	uint64_t file = m->kind & SHARED ? CAT_FILE : 0;
	uint64_t read = u == PG && m->kind != ZERO_PRIVATE ? CAT_FILE : file;
	/* An empty huge page does not count as written. */
	uint64_t empty = u == PG ? CAT_WRITTEN : 0;
	uint64_t want[6] = {
		huge | CAT_PRESENT | CAT_WRITTEN | file,
		huge | CAT_PRESENT | file,
		huge | CAT_PRESENT | CAT_WRITTEN | read,
		huge | empty,
		huge | CAT_SWAPPED,
		huge | empty,
	};
	struct scan_arg arg = {
		.start = (uintptr_t)m->p,
		.end = (uintptr_t)m->p + m->len,
		.vec = (uintptr_t)r,
		.vec_len = 8,
		.return_mask = CAT_WPALLOWED | CAT_WRITTEN | CAT_FILE | CAT_PRESENT | CAT_SWAPPED |
			       CAT_HUGE,
	};
	EQ(scan(&arg), 6);
	for (int i = 0; i < 6; i++) {
		EQ(r[i].start, (uintptr_t)m->p + i * u);
		EQ(r[i].end, (uintptr_t)m->p + (i + 1) * u);
		EQ(r[i].categories, want[i]);
	}
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_ASYNC);
	return each(SHMEM | HUGE | SYSV | REGULAR | ZERO_PRIVATE, 6, check);
}
