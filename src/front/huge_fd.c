/*
 * huge_fd.c - what files with emulated huge pages answer differently from the ordinary files that
 * they are: as files on hugetlbfs, of which memfd_create(MFD_HUGETLB) makes one.
 */
#include "front/huge_fd.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#ifndef HUGETLBFS_MAGIC
#define HUGETLBFS_MAGIC 0x958458f6
#endif
#define STAT_VERSION 1	  /* the kernel's structure */
#define VALID_FLAG   0x20 /* ST_VALID of f_flags, which says that they are there */

/* 0, and fd is noted as a file with emulated huge pages. */
static long note(long fd)
{
	struct huge_file f = {.emulated = true, .named = true};
	struct stat st;
	long err = SYS(SYS_fstat, fd, &st);

	if (!err) {
		f.dev = st.st_dev;
		f.ino = st.st_ino;
		err = huge_file_add(&f, -1);
	}
	return err;
}

long huge_memfd_create(const char *name, unsigned flags)
{
	long fd, err;

	if (!(flags & MFD_HUGETLB) || !huge_size_ours(flags) ||
	    (!huge_always_emulated && huge_available() > 0)) {
		fd = SYS(SYS_memfd_create, name, flags);
		/* Mappings of it are to be looked at. */
		if (fd >= 0 && (flags & MFD_HUGETLB))
			atomic_store(&huge_used, true);
		return fd;
	}
	fd = SYS(SYS_memfd_create, name, flags & ~(MFD_HUGETLB | HUGE_FLAG_MASK));
	err = fd < 0 ? fd : note(fd);
	if (fd >= 0 && err)
		SYS(SYS_close, fd);
	return err ? err : fd;
}

EXPORT int memfd_create(const char *name, unsigned flags)
{
	PATH_READY(name);
	return (int)sys_errno(huge_memfd_create(name, flags));
}

/* ---- what the file is --------------------------------------------------------------------------
 */

#define BLOCKS (HUGE_SIZE / 512) /* of st_blocks, in a huge page */

/* Whole huge pages that there is anything in. */
static long blocks_of(int fd, long size)
{
	char path[64];
	long own, at, count = 0;

	/* A position of our own. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = SYS(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return 0;
	for (at = 0; at < size && (at = SYS(SYS_lseek, own, at, SEEK_DATA)) >= 0; count++)
		at = (at & (long)HUGE_MASK) + (long)HUGE_SIZE;
	SYS(SYS_close, own);
	return count * (long)BLOCKS;
}

long huge_fstat(int fd, struct stat *st)
{
	long ret = SYS(SYS_fstat, fd, st);

	if (ret == 0 && huge_in_use() && huge_emulates(st->st_dev, st->st_ino)) {
		st->st_blksize = HUGE_SIZE;
		st->st_blocks = blocks_of(fd, st->st_size);
	}
	return ret;
}

long huge_fstatfs(int fd, struct statfs *fs)
{
	long ret = SYS(SYS_fstatfs, fd, fs);

	if (ret == 0 && huge_file(fd)) {
		fs->f_type = HUGETLBFS_MAGIC;
		fs->f_bsize = fs->f_frsize = HUGE_SIZE;
		fs->f_blocks = fs->f_bfree = fs->f_bavail = 0;
		fs->f_files = fs->f_ffree = 0;
		fs->f_flags = VALID_FLAG;
	}
	return ret;
}

_Static_assert(sizeof(struct stat64) == sizeof(struct stat), "one structure");
_Static_assert(sizeof(struct statfs64) == sizeof(struct statfs), "one structure");

#define FSTAT(name, type)                                                                          \
	EXPORT int name(int fd, struct type *st)                                                   \
	{                                                                                          \
		if (likely(!huge_in_use()))                                                        \
			return REAL(name)(fd, st);                                                 \
		return (int)sys_errno(huge_fstat(fd, (struct stat *)st));                          \
	}
FSTAT(fstat, stat)
FSTAT(fstat64, stat64)

/* What fstat was in programs built before it was a function. */
#define FXSTAT(name, type)                                                                         \
	EXPORT int name(int version, int fd, struct type *st)                                      \
	{                                                                                          \
		if (likely(!huge_in_use() || version != STAT_VERSION))                             \
			return REAL(name)(version, fd, st);                                        \
		return (int)sys_errno(huge_fstat(fd, (struct stat *)st));                          \
	}
FXSTAT(__fxstat, stat)
FXSTAT(__fxstat64, stat64)

EXPORT int fstatfs(int fd, struct statfs *fs)
{
	return likely(!huge_in_use()) ? REAL(fstatfs)(fd, fs)
				      : (int)sys_errno(huge_fstatfs(fd, fs));
}

EXPORT int fstatfs64(int fd, struct statfs64 *fs)
{
	return likely(!huge_in_use()) ? REAL(fstatfs64)(fd, fs)
				      : (int)sys_errno(huge_fstatfs(fd, (struct statfs *)fs));
}
