/* SPDX-License-Identifier: MIT */
/* uf_mmap and its kin on memory under management, and on any other. */
#include "lib.h"

static struct uf_handler *handler;
static volatile int calls;

static int fill(const struct uf_fault *fault, void *arg)
{
	char contents[PG];

	(void)arg;
	memset(contents, ++calls, PG);
	return uf_fill_copy(handler, (void *)fault->page, contents, PG) == PG ? 0 : -EIO;
}

static void unmanaged(void)
{
	int error = 1;
	char *p = uf_mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0,
			  &error);

	EQ(error, 0);
	p[PG] = 3;
	EQ(uf_madvise(p, 2 * PG, MADV_DONTNEED), 0);
	EQ(p[PG], 0);
	EQ(uf_mprotect(p, PG, PROT_NONE), 0);
	EQ(try_read(p), SIGSEGV);
	EQ(uf_munmap(p, 2 * PG), 0);
	CHECK(uf_mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &error) ==
	      MAP_FAILED);
	EQ(error, -EINVAL);
	EQ(uf_munmap((char *)PG + 1, PG), -EINVAL);
}

int main(void)
{
	struct sigaction act = {.sa_handler = jump}, old;
	int error;
	volatile char *p, *q, *around;

	start();
	EQ(uf_sigaction(SIGSEGV, &act, NULL), 0);
	unmanaged();

	/* Unmanaged on either side: calls cover all of it. */
	around = map(6);
	p = around + PG;
	memset((void *)around, 50, 6 * PG);
	EQ(uf_munmap((void *)p, 4 * PG), 0);
	CHECK(uf_mmap((void *)p, 4 * PG, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, &error) == p);
	EQ(uf_handle((void *)p, 4 * PG, UF_REGISTER_MODE_MISSING, fill, NULL, &handler), 0);
	EQ(p[0], 1);
	EQ(p[PG], 2);
	EQ(uf_sigaction(SIGSEGV, NULL, &old), 0);
	CHECK(old.sa_handler == jump);

	EQ(uf_mprotect((void *)around, 6 * PG, PROT_NONE), 0);
	EQ(try_read(around), SIGSEGV);
	EQ(try_read(p), SIGSEGV);
	EQ(try_read(p + 2 * PG), SIGSEGV);
	EQ(try_read(around + 5 * PG), SIGSEGV);
	EQ(uf_mprotect((void *)around, 6 * PG, PROT_READ | PROT_WRITE), 0);
	EQ(p[5], 1);
	EQ(calls, 2);

	EQ(uf_madvise((void *)around, 3 * PG, MADV_DONTNEED), 0);
	EQ(around[0], 0);
	EQ(p[0], 3);
	EQ(p[PG], 4);
	EQ(around[5 * PG], 50);

	q = uf_mremap((void *)p, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, map(2), &error);
	EQ(error, 0);
	EQ(q[1], 3);
	EQ(q[PG + 1], 4);
	EQ(try_read(p), SIGSEGV);

	EQ(uf_munmap((void *)around, 6 * PG), 0);
	EQ(try_read(p + 2 * PG), SIGSEGV);
	EQ(try_read(around), SIGSEGV);
	EQ(uf_unhandle(handler), 0);
	EQ(q[1], 3);
	return 0;
}
