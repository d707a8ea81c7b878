/* SPDX-License-Identifier: MIT */
/*
 * What system calls answer about huge pages: the same on the host's own and on those that Userfault
 * emulates.
 */
#include "abi.h"

#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#define H (2ul << 20)

static bool aligned(const void *p)
{
	return ((uintptr_t)p & (H - 1)) == 0;
}

static char *map_huge(size_t len, int flags)
{
	char *p =
		mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_HUGETLB | flags, -1, 0);

	if (p == MAP_FAILED && (errno == ENOMEM || errno == EINVAL))
		skip_host("no huge pages");
	CHECK(p != MAP_FAILED);
	CHECK(aligned(p));
	return p;
}

/* Room for a mapping at a multiple of H, with nothing around it. */
static char *room(size_t len)
{
	char *p = mmap(NULL, len + 2 * H, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return (char *)(((uintptr_t)p + H) & ~(H - 1));
}

static void *map_at(void *at, size_t len, int flags, int fd, off_t off)
{
	return mmap(at, len, PROT_READ | PROT_WRITE, flags, fd, off);
}

static void changes(char *p)
{
	p[0] = 1;
	ERR(mprotect(p, PG, PROT_READ), EINVAL);
	ERR(mprotect(p + PG, H, PROT_READ), EINVAL);
	EQ(mprotect(p, H, PROT_READ), 0);
	EQ(try_write(p, 2, NULL), SIGSEGV);
	EQ(mprotect(p, 2 * H, PROT_READ | PROT_WRITE), 0);
	EQ(p[0], 1);
	ERR(madvise(p + PG, H, MADV_DONTNEED), EINVAL);
	EQ(madvise(p, PG, MADV_DONTNEED), 0);
	EQ(p[0], 1);
	ERR(madvise(p, H, MADV_FREE), EINVAL);
	ERR(madvise(p, H, MADV_COLD), EINVAL);
	ERR(madvise(p, H, MADV_PAGEOUT), EINVAL);
	ERR(madvise(p, H, MADV_WIPEONFORK), EINVAL);
	ERR(madvise(p, PG, MADV_DONTFORK), EINVAL);
	EQ(madvise(p, H, MADV_WILLNEED), 0);
	EQ(madvise(p, H, MADV_HUGEPAGE), 0);
	EQ(mlock(p, PG), 0);
	EQ(munlock(p, PG), 0);
	ERR(munmap(p, PG), EINVAL);
	ERR(munmap(p + PG, H), EINVAL);
	ERR(munmap(p + H, H - PG), EINVAL);
	EQ(map_at(p + PG, PG, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), MAP_FAILED);
	EQ(errno, EINVAL);
	EQ(p[0], 1);
}

static void moves(char *p)
{
	char *to = room(4 * H);

	EQ(mremap(p, H, 2 * H, MREMAP_MAYMOVE), MAP_FAILED);
	EQ(errno, EINVAL);
	EQ(mremap(p, 0, H, MREMAP_MAYMOVE), MAP_FAILED);
	EQ(errno, EINVAL);
	EQ(mremap(p + PG, H, H, MREMAP_MAYMOVE), MAP_FAILED);
	EQ(errno, EINVAL);
	EQ(mremap(p, H, H, MREMAP_MAYMOVE | MREMAP_FIXED, to + PG), MAP_FAILED);
	EQ(errno, EINVAL);
	EQ(mremap(p, PG, PG, MREMAP_MAYMOVE | MREMAP_FIXED, to), to);
	EQ(to[0], 1);
	EQ(try_read(p, NULL), SIGSEGV);
	ERR(munmap(to, PG), EINVAL);
	EQ(munmap(to, H), 0);
	EQ(mremap(p + H, H, PG, 0), p + H);
	EQ(munmap(p + H, H), 0);
}

static void anonymous(void)
{
	char *p, *at = room(2 * H);
	int status;
	pid_t pid;

	EQ(map_at(NULL, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0), MAP_FAILED);
	EQ(errno, EINVAL);
	EQ(map_at(at + PG, H, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED, -1, 0),
	   MAP_FAILED);
	EQ(errno, EINVAL);
	p = map_huge(PG, MAP_PRIVATE);
	ERR(munmap(p, PG), EINVAL);
	CHECK(all(p, H, 0));
	ERR(madvise(p, H, MADV_REMOVE), EACCES);
	EQ(munmap(p, H), 0);
	p = map_huge(2 * H, MAP_PRIVATE);
	changes(p);
	moves(p);
	EQ(map_at(at, H, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED | (21 << 26), -1, 0),
	   at);
	at[H - 1] = 4;
	EQ(munmap(at, H), 0);
	p = map_huge(2 * H, MAP_SHARED);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		p[H] = 9;
		_exit(0);
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
	EQ(p[H], 9);
	changes(p);
	EQ(madvise(p, H, MADV_REMOVE), 0);
	EQ(p[0], 0);
	p[0] = 1;
	moves(p);
}

static void identity(int fd)
{
	struct statfs fs;
	struct stat st;

	EQ(fstat(fd, &st), 0);
	EQ(st.st_blksize, H);
	EQ(st.st_size, 0);
	EQ(fstatfs(fd, &fs), 0);
	EQ(fs.f_type, 0x958458f6);
	EQ(fs.f_bsize, H);
}

static void size_of(int fd, off_t size)
{
	struct stat st;

	EQ(syscall(SYS_fstat, fd, &st), 0);
	EQ(st.st_blksize, H);
	EQ(st.st_size, size);
}

static void file(void)
{
	struct iovec iov = {"a", 1};
	char *p, *q, *at = room(2 * H), byte;
	int fd = memfd_create("huge", MFD_HUGETLB);

	CHECK(fd >= 0);
	identity(fd);
	ERR(ftruncate(fd, PG), EINVAL);
	ERR(syscall(SYS_ftruncate, fd, H + 1), EINVAL);
	ERR(write(fd, "a", 1), EINVAL);
	ERR(pwrite(fd, "a", 1, 0), EINVAL);
	ERR(writev(fd, &iov, 1), EINVAL);
	ERR(pwritev(fd, &iov, 1, 0), EINVAL);
	ERR(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, H), EOPNOTSUPP);
	EQ(ftruncate(fd, 2 * H), 0);
	EQ(map_at(NULL, H, MAP_SHARED, fd, PG), MAP_FAILED);
	EQ(errno, EINVAL);
	EQ(map_at(at + PG, H, MAP_SHARED | MAP_FIXED, fd, 0), MAP_FAILED);
	EQ(errno, EINVAL);
	p = map_at(NULL, 2 * H, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED && errno == ENOMEM)
		skip_host("no huge pages");
	CHECK(aligned(p));
	q = map_at(at, PG, MAP_SHARED | MAP_FIXED, fd, H);
	EQ(q, at);
	p[H + 5] = 7;
	EQ(q[5], 7);
	EQ(pread(fd, &byte, 1, H + 5), 1);
	EQ(byte, 7);
	EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, H, PG), 0);
	EQ(q[5], 0);
	p[5] = 3;
	p[H + 5] = 7;
	EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PG, 2 * H - PG), 0);
	EQ(p[5], 3);
	EQ(q[5], 0);
	EQ(munmap(q, H), 0);
	EQ(ftruncate(fd, H), 0);
	EQ(try_read(p + H, NULL), SIGBUS);
	EQ(munmap(p, 2 * H), 0);
	EQ(ftruncate(fd, 0), 0);
	EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, PG), 0);
	size_of(fd, 0);
	EQ(posix_fallocate(fd, 0, H), 0);
	size_of(fd, H);
	p = map_at(NULL, PG, MAP_PRIVATE, fd, H);
	CHECK(p != MAP_FAILED);
	size_of(fd, 2 * H);
	EQ(p[H - 1], 0);
	EQ(munmap(p, H), 0);
	close(fd);
}

/* A hole takes private copies along, as a truncation does. */
static void hole_in_copies(void)
{
	int fd = memfd_create("huge", MFD_HUGETLB);
	char *p;

	CHECK(fd >= 0);
	EQ(ftruncate(fd, 3 * H), 0);
	p = map_at(NULL, 2 * H, MAP_PRIVATE, fd, H);
	if (p == MAP_FAILED && errno == ENOMEM)
		skip_host("no huge pages");
	p[0] = 1;
	p[H] = 2;
	EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, H + PG, 2 * H - PG), 0);
	EQ(p[0], 1);
	EQ(p[H], 0);
	EQ(munmap(p, 2 * H), 0);
	close(fd);
}

static void segment(void)
{
	int id = shmget(IPC_PRIVATE, PG, IPC_CREAT | SHM_HUGETLB | 0600);
	char *p, *at = room(2 * H);

	if (id < 0 && (errno == ENOMEM || errno == EPERM))
		skip_host("no huge pages");
	CHECK(id >= 0);
	EQ(shmat(id, at + PG, SHM_REMAP), (void *)-1);
	EQ(errno, EINVAL);
	EQ(shmat(id, at, SHM_REMAP), at);
	p = shmat(id, NULL, 0);
	CHECK(aligned(p));
	p[H - 1] = 5;
	EQ(at[H - 1], 5);
	ERR(munmap(p, PG), EINVAL);
	ERR(shmdt(p + PG), EINVAL);
	EQ(shmdt(p), 0);
	ERR(shmdt(p), EINVAL);
	EQ(at[H - 1], 5);
	EQ(shmctl(id, IPC_RMID, NULL), 0);
	EQ(shmdt(at), 0);
}

int main(void)
{
	start();
	anonymous();
	file();
	hole_in_copies();
	segment();
	return 0;
}
