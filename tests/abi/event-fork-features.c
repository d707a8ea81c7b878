/* SPDX-License-Identifier: MIT */
/* The child's descriptor has its parent's features: exact addresses, thread ids, other events. */
#include "procs.h"

#define FEATURES                                                                                   \
	(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMOVE |          \
	 UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_EXACT_ADDRESS)

static char *p, *q;

static int child_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	p[77] = 1;
	EQ(madvise(p, PG, MADV_DONTNEED), 0);
	CHECK(mremap(p, PG, PG, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	EQ(munmap(p + PG, PG), 0);
	return 0;
}

int main(void)
{
	struct forker f;

	start();
	int fd = uffd_open(FEATURES);
	p = map(2);
	q = map(1);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	int child = fork_with_event(fd, &f, child_main, NULL);
	struct uffd_msg msg = next_msg(child);
	fault_at(__FILE__, __LINE__, msg, p + 77, UFFD_PAGEFAULT_FLAG_WRITE);
	EQ(msg.pagefault.ptid, f.peer.pid);
	DONE(zeropage(child, p, PG, 0), PG);
	EVENT(child, UFFD_EVENT_REMOVE, p, p + PG, 0);
	EVENT(child, UFFD_EVENT_REMAP, p, q, PG);
	EVENT(child, UFFD_EVENT_UNMAP, p, p + PG, 0);
	EVENT(child, UFFD_EVENT_UNMAP, p + PG, p + 2 * PG, 0);
	peer_end(&f.peer);
	CHECK(quiet(fd));
	return 0;
}
