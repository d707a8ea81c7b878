/* SPDX-License-Identifier: MIT */
/* MREMAP_DONTUNMAP: both places stay registered; the old one has only what the file has. */
#include "kinds.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static void check(struct memory *m)
{
	struct thread t;
	struct call c;
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMAP);
	char *to = memory_place(m);

	REGISTERS(fd, m, MISSING | MINOR);
	DONE(copy(fd, m->p, page_of(3), PG, 0), PG);
	call_mremap(&c, m->p, m->len, m->len, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to);
	EVENT(fd, UFFD_EVENT_REMAP, m->p, to, m->len);
	EQ(returned(&c), (long)to);
	CHECK(all(to, PG, 3));
	CHECK(quiet(fd));
	reader(&t, m->p);
	if (m->kind & SHARED) {
		FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_MINOR);
		DONE(cont(fd, m->p, PG, 0), PG);
	} else {
		FAULT(fd, m->p, 0);
		DONE(copy(fd, m->p, page_of(4), PG, 0), PG);
	}
	join(&t);
	EQ(t.byte, m->kind & SHARED ? 3 : 4);
	reader(&t, to + PG);
	FAULT(fd, to + PG, 0);
	DONE(copy(fd, to + PG, page_of(5), PG, 0), PG);
	join(&t);
	EQ(t.byte, 5);
	CHECK(quiet(fd));
	close(fd);
	EQ(munmap(to, m->len), 0);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_EVENT_REMAP);
	return each(SHMEM, 2, check);
}
