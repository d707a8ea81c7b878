/* SPDX-License-Identifier: MIT */
/* Calls on registered shared memory: a second mapping by mremap, mincore, getrusage, msync. */
#include "abi.h"

#include <sys/resource.h>

static char *shared_of(size_t pages)
{
	char *p = mmap(NULL, pages * PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

/* mremap of nothing: the same pages once more, registered with nobody. */
static void duplicates(void)
{
	int fd = uffd_open(0), other = uffd_open(0);
	char *p = shared_of(4), *q, *at = map(4), *anon = map(2);
	struct thread t;

	EQ(reg(fd, p, 4 * PG, MISSING | WP), 0);
	DONE(copy(fd, p, page_of(3), PG, UFFDIO_COPY_MODE_WP), PG);
	q = mremap(p, 0, 4 * PG, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED);
	EQ(q[0], 3);
	q[0] = 4;
	EQ(p[0], 4);
	q[PG] = 5;
	EQ(p[PG], 5);
	CHECK(quiet(fd));
	EQ(reg(other, q, 4 * PG, MISSING), 0);
	reader(&t, q + 2 * PG);
	FAULT(other, q + 2 * PG, 0);
	DONE(copy(other, q + 2 * PG, page_of(6), PG, 0), PG);
	join(&t);
	EQ(t.byte, 6);
	EQ(p[2 * PG], 6);
	EQ(mremap(p + PG, 0, 3 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, at), at);
	EQ(at[0], 5);
	EQ(reg(fd, at, 3 * PG, MISSING), 0);
	EQ(mremap(p, 0, 3 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, at), at);
	EQ(at[PG], 5);
	EQ(munmap(at, 3 * PG), 0);
	EQ(mremap(p, 0, PG, 0), MAP_FAILED);
	EQ(errno, ENOMEM);
	EQ(reg(fd, anon, 2 * PG, MISSING), 0);
	EQ(mremap(anon, 0, PG, MREMAP_MAYMOVE), MAP_FAILED);
	EQ(errno, EINVAL);
	EQ(mprotect(p, 4 * PG, PROT_READ), 0);
	q = mremap(p, 0, PG, MREMAP_MAYMOVE);
	EQ(q[0], 4);
	EQ(try_write(q, 1, NULL), SIGSEGV);
	close(fd);
	close(other);
	EQ(munmap(p, 4 * PG), 0);
	EQ(munmap(anon, 2 * PG), 0);
}

static void incore(void)
{
	unsigned char *there = (unsigned char *)map(1);
	int fd = uffd_open(0);
	char *p = map(4), *q = shared_of(4);

	p[0] = 1;
	q[0] = 1;
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	EQ(reg(fd, q, 4 * PG, MISSING), 0);
	EQ(reg(fd, there, PG, WP), 0);
	DONE(copy(fd, p + 2 * PG, page_of(1), PG, 0), PG);
	DONE(copy(fd, q + 2 * PG, page_of(1), PG, 0), PG);
	EQ(mincore(p, 4 * PG, there), 0);
	EQ(syscall(SYS_mincore, q, 4 * PG, there + 4), 0);
	for (int i = 0; i < 8; i++)
		EQ(there[i] & 1, i % 2 == 0);
	EQ(madvise(p, 4 * PG, MADV_DONTNEED), 0);
	EQ(madvise(q, 4 * PG, MADV_DONTNEED), 0);
	EQ(mincore(p, 3 * PG, there), 0);
	EQ(mincore(q, 3 * PG, there + 4), 0);
	for (int i = 0; i < 8; i++)
		EQ(there[i] & 1, i == 4 || i == 6);
	ERR(mincore(p + 1, PG, there), EINVAL);
	ERR(mincore(p, 6 * PG, there), ENOMEM);
	EQ(msync(q, 4 * PG, MS_SYNC), 0);
	EQ(msync(p, 4 * PG, MS_ASYNC), 0);
	CHECK(quiet(fd));
	close(fd);
}

static long faults(int who)
{
	struct rusage usage;

	EQ(getrusage(who, &usage), 0);
	return usage.ru_minflt;
}

static void counted(void)
{
	long thread = faults(RUSAGE_THREAD), process = faults(RUSAGE_SELF);
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);
	char *p = map(64);

	memset(p, 1, 64 * PG);
	EQ(reg(fd, p, 64 * PG, WP), 0);
	EQ(protect(fd, p, 64 * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	thread = faults(RUSAGE_THREAD);
	process = faults(RUSAGE_SELF);
	for (int i = 0; i < 64; i++)
		p[i * PG] = 2;
	CHECK(faults(RUSAGE_THREAD) >= thread + 64);
	CHECK(faults(RUSAGE_SELF) >= process + 64);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	duplicates();
	incore();
	counted();
	return 0;
}
