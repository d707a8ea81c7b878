/* SPDX-License-Identifier: MIT */
/* Poison stays over unregister, close, mprotect and mremap; MADV_DONTNEED and munmap remove it. */
#include "abi.h"

int main(void)
{
	start();
	need_features(UFFD_FEATURE_POISON);
	int fd = uffd_open(0);
	char *p = map(4), *to = map(4);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	DONE(poison(fd, p, 4 * PG, 0), 4 * PG);
	EQ(pagemap(p) & (PM_SWAP | PM_UFFD_WP | PM_PRESENT), PM_SWAP);
	EQ(mprotect(p, PG, PROT_READ), 0);
	EQ(try_read(p, NULL), SIGBUS);
	EQ(mprotect(p, PG, PROT_READ | PROT_WRITE), 0);
	EQ(unreg(fd, p, PG), 0);
	EQ(try_read(p, NULL), SIGBUS);
	EQ(try_write(p, 1, NULL), SIGBUS);
	close(fd);
	for (int i = 0; i < 4; i++)
		EQ(try_read(p + i * PG, NULL), SIGBUS);
	EQ((intptr_t)mremap(p, 4 * PG, 4 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, to), (intptr_t)to);
	for (int i = 0; i < 4; i++)
		EQ(try_read(to + i * PG, NULL), SIGBUS);

	EQ(madvise(to, PG, MADV_DONTNEED), 0);
	EQ(try_read(to, NULL), 0);
	EQ(to[0], 0);
	EQ(munmap(to + PG, PG), 0);
	EQ(try_read(to + PG, NULL), SIGSEGV);
	EQ((intptr_t)mmap(to + PG, PG, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
	   (intptr_t)(to + PG));
	EQ(try_write(to + PG, 1, NULL), 0);
	EQ(try_read(to + 2 * PG, NULL), SIGBUS);
	return 0;
}
