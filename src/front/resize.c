/*
 * resize.c - calls that take pages out of files: truncation, holes, and their like.
 *
 * The host takes such pages out of all page tables. Out of ours mm does, around the host's call, so
 * that no access in between finds what is no longer in the file.
 */
#include "front/resize.h"

#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "front/huge.h"

#define LAST_PAGE (UINT64_MAX / UF_PAGE_SIZE)

#define PUNCH	 0x02 /* FALLOC_FL_PUNCH_HOLE */
#define COLLAPSE 0x08
#define ZERO	 0x10
#define INSERT	 0x20

/* A system call and what becomes of it. */
struct call {
	long nr, a, b, c, d;
	long ret;
};

static int do_call(void *arg)
{
	struct call *c = arg;

	c->ret = SYS(c->nr, c->a, c->b, c->c, c->d);
	return c->ret < 0 ? (int)c->ret : 0;
}

/* The call, which concerns pages [first, end) of the file. */
static long change(const struct stat *st, uint64_t first, uint64_t end, bool private_too,
		   struct call *c)
{
	struct mach_entry entry;
	int err;

	if (!front_managing() || first >= end) {
		do_call(c);
		return c->ret;
	}
	c->ret = 0;
	mach_enter(&entry);
	if (mm_file_managed(mm_space_self, st->st_dev, st->st_ino))
		err = mm_file_change(mm_space_self, st->st_dev, st->st_ino, first, end - first,
				     private_too, do_call, c);
	else
		err = do_call(c);
	mach_leave(&entry);
	return err ? err : c->ret;
}

static uint64_t pages_up(off64_t bytes)
{
	return ((uint64_t)bytes + UF_PAGE_SIZE - 1) / UF_PAGE_SIZE;
}

/* What lies wholly behind the new end goes; the rest of its page becomes zeroes where it is. */
static long truncate_file(const struct stat *st, off64_t size, struct call *c)
{
	if ((size & ~HUGE_MASK) && huge_in_use() && huge_emulates(st->st_dev, st->st_ino))
		return -EINVAL;
	return change(st, size < 0 ? LAST_PAGE : pages_up(size), LAST_PAGE, true, c);
}

long resize_ftruncate(int fd, off64_t size)
{
	struct call c = {SYS_ftruncate, fd, size, 0, 0, 0};
	struct stat st;

	if (likely(!front_managing() && !huge_in_use()) || SYS(SYS_fstat, fd, &st) != 0)
		return SYS(SYS_ftruncate, fd, size);
	return truncate_file(&st, size, &c);
}

long resize_truncate(const char *path, off64_t size)
{
	struct call c = {SYS_truncate, (long)path, size, 0, 0, 0};
	struct stat st;

	if (likely(!front_managing() && !huge_in_use()) ||
	    SYS(SYS_newfstatat, AT_FDCWD, path, &st, 0) != 0)
		return SYS(SYS_truncate, path, size);
	return truncate_file(&st, size, &c);
}

/* ---- fallocate ---------------------------------------------------------------------------------
 */

/* Has the file anything in [at, at + HUGE_SIZE)? The descriptor's position is nobody else's. */
static bool huge_there(int own, uint64_t at)
{
	long data = SYS(SYS_lseek, own, at, SEEK_DATA);

	return data >= 0 && (uint64_t)data < at + HUGE_SIZE;
}

static int open_again(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return (int)SYS(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
}

/*
 * A huge page of which a part becomes zeroes stays there, also where the host, to which it is many
 * pages, has none of them left. Those that go take private copies along, unlike ordinary pages; in
 * managed memory mm sees to that.
 */
static long punch_huge(const struct stat *st, uint64_t off, uint64_t len, struct call *c)
{
	uint64_t edge[2] = {off & HUGE_MASK, (off + len) & HUGE_MASK};
	uint64_t first = (off + HUGE_SIZE - 1) / HUGE_SIZE * (HUGE_SIZE / UF_PAGE_SIZE);
	bool was[2];
	int own = open_again((int)c->a), i;
	long ret;

	for (i = 0; i < 2; i++)
		was[i] = own >= 0 && ((i ? off + len : off) & ~HUGE_MASK) &&
			 huge_there(own, edge[i]);
	ret = change(st, first, edge[1] / UF_PAGE_SIZE, false, c);
	if (ret == 0)
		huge_drop_copies(st->st_dev, st->st_ino, first, edge[1] / UF_PAGE_SIZE);
	for (i = 0; i < 2; i++)
		if (ret == 0 && was[i] && !huge_there(own, edge[i]))
			SYS(SYS_fallocate, c->a, FALLOC_FL_KEEP_SIZE, edge[i], UF_PAGE_SIZE);
	if (own >= 0)
		SYS(SYS_close, own);
	return ret;
}

/*
 * Pages that fallocate makes on tmpfs do not show as being there, neither to mincore nor to lseek,
 * until somebody has looked at them.
 */
static void look_at(int fd, uint64_t off, uint64_t len)
{
	uint64_t start = off & UF_PAGE_MASK, size = off + len - start;
	long at = SYS(SYS_mmap, 0, size, PROT_READ, MAP_SHARED, fd, start);

	if ((unsigned long)at >= -4095ul)
		return;
	SYS(SYS_madvise, at, size, MADV_POPULATE_READ);
	SYS(SYS_munmap, at, size);
}

static bool shown(const struct stat *st)
{
	struct mach_entry entry;
	bool managed;

	if (!front_managing())
		return false;
	mach_enter(&entry);
	managed = mm_file_managed(mm_space_self, st->st_dev, st->st_ino);
	mach_leave(&entry);
	return managed;
}

/* Whole huge pages come, and the file ends where it would on hugetlbfs. */
static long allocate_huge(uint64_t off, uint64_t len, const struct call *c)
{
	uint64_t start = off & HUGE_MASK, end = (off + len + HUGE_SIZE - 1) & HUGE_MASK;
	long ret = SYS(SYS_fallocate, c->a, FALLOC_FL_KEEP_SIZE, start, end - start);

	if (ret == 0 && !(c->b & FALLOC_FL_KEEP_SIZE))
		ret = SYS(SYS_fallocate, c->a, 0, off, len);
	return ret;
}

static long allocate(const struct stat *st, int mode, off64_t off, off64_t len, struct call *c)
{
	bool huge = huge_in_use() && huge_emulates(st->st_dev, st->st_ino);
	long ret;

	if (off < 0 || len <= 0 || off + len < off)
		return SYS(SYS_fallocate, c->a, c->b, c->c, c->d);
	if (mode & (COLLAPSE | INSERT))
		return change(st, (uint64_t)off / UF_PAGE_SIZE, LAST_PAGE, true, c);
	if (huge && (mode & PUNCH))
		return punch_huge(st, (uint64_t)off, (uint64_t)len, c);
	if (mode & (PUNCH | ZERO))
		return change(st, pages_up(off), (uint64_t)(off + len) / UF_PAGE_SIZE, false, c);
	if (huge && !(mode & ~FALLOC_FL_KEEP_SIZE))
		ret = allocate_huge((uint64_t)off, (uint64_t)len, c);
	else
		ret = SYS(SYS_fallocate, c->a, c->b, c->c, c->d);
	if (ret == 0 && (huge || shown(st)))
		look_at((int)c->a, (uint64_t)off, (uint64_t)len);
	return ret;
}

long resize_fallocate(int fd, int mode, off64_t off, off64_t len)
{
	struct call c = {SYS_fallocate, fd, mode, off, len, 0};
	struct stat st;

	if (likely(!front_managing() && !huge_in_use()) || SYS(SYS_fstat, fd, &st) != 0)
		return SYS(SYS_fallocate, fd, mode, off, len);
	return allocate(&st, mode, off, len, &c);
}

/* ---- open with O_TRUNC -------------------------------------------------------------------------
 */

bool resize_open_slow(int dir, const char *path, int flags, mode_t mode, long *fd)
{
	struct call c = {SYS_openat, dir, (long)path, flags, mode, 0};
	struct stat st;

	if ((flags & O_EXCL) ||
	    SYS(SYS_newfstatat, dir, path, &st, flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0) != 0)
		return false;
	if (!shown(&st))
		return false;
	*fd = change(&st, 0, LAST_PAGE, true, &c);
	return true;
}

void resize_stream(const char *path, const char *mode)
{
	long fd;

	if (mode[0] != 'w' || strchr(mode, 'x'))
		return;
	if (resize_open(AT_FDCWD, path, O_WRONLY | O_TRUNC | O_CLOEXEC, 0, &fd) && fd >= 0)
		SYS(SYS_close, fd);
}

/* ---- wrappers ----------------------------------------------------------------------------------
 */

EXPORT int ftruncate(int fd, off_t size)
{
	return (int)sys_errno(resize_ftruncate(fd, size));
}

EXPORT int ftruncate64(int fd, off64_t size)
{
	return (int)sys_errno(resize_ftruncate(fd, size));
}

EXPORT int truncate(const char *path, off_t size)
{
	PATH_READY(path);
	return (int)sys_errno(resize_truncate(path, size));
}

EXPORT int truncate64(const char *path, off64_t size)
{
	PATH_READY(path);
	return (int)sys_errno(resize_truncate(path, size));
}

EXPORT int fallocate(int fd, int mode, off_t off, off_t len)
{
	return (int)sys_errno(resize_fallocate(fd, mode, off, len));
}

EXPORT int fallocate64(int fd, int mode, off64_t off, off64_t len)
{
	return (int)sys_errno(resize_fallocate(fd, mode, off, len));
}

/* libc's own does what a file system cannot; on memory files it is fallocate. */
static bool by_fallocate(int fd)
{
	struct stat st;

	return SYS(SYS_fstat, fd, &st) == 0 &&
	       ((huge_in_use() && huge_emulates(st.st_dev, st.st_ino)) || shown(&st));
}

#define POSIX_FALLOCATE(name, offset)                                                              \
	EXPORT int name(int fd, offset off, offset len)                                            \
	{                                                                                          \
		long ret = -EOPNOTSUPP;                                                            \
                                                                                                   \
		if (unlikely(front_managing() || huge_in_use()) && by_fallocate(fd))               \
			ret = resize_fallocate(fd, 0, off, len);                                   \
		return ret != -EOPNOTSUPP ? (int)-ret : REAL(name)(fd, off, len);                  \
	}
POSIX_FALLOCATE(posix_fallocate, off_t)
POSIX_FALLOCATE(posix_fallocate64, off64_t)

EXPORT int creat(const char *path, mode_t mode)
{
	return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

EXPORT int creat64(const char *path, mode_t mode)
{
	return open64(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
