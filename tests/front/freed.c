/* SPDX-License-Identifier: MIT */
/* Memory that libc unmaps and maps again between two registrations is fresh each time. */
#include "abi.h"

#include <malloc.h>

#define LEN (8ul << 20)

static char *allocate(void)
{
	char *p = memalign(2ul << 20, LEN);

	CHECK(p != NULL);
	return p;
}

int main(void)
{
	struct thread t;
	char *p, *first = NULL;

	start();
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	mallopt(M_PERTURB, 0);
	for (int round = 0; round < 4; round++) {
		int fd = uffd_open(0);

		p = allocate();
		/* Where it stood before is where it stands again. */
		if (!first)
			first = p;
		EQ(p, first);
		p[0] = 1;
		EQ(reg(fd, p, LEN, MISSING | WP), 0);
		EQ(populated(p), 1);
		EQ(populated(p + PG), 0);
		EQ(protect(fd, p, LEN, UFFDIO_WRITEPROTECT_MODE_WP), 0);
		writer(&t, p, 2);
		FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
		EQ(protect(fd, p, PG, 0), 0);
		join(&t);
		EQ(p[0], 2);
		reader(&t, p + PG);
		FAULT(fd, p + PG, 0);
		DONE(copy(fd, p + PG, page_of(3), PG, 0), PG);
		join(&t);
		EQ(t.byte, 3);
		CHECK(quiet(fd));
		EQ(unreg(fd, p, LEN), 0);
		close(fd);
		free(p);
	}
	return 0;
}
