/*
 * gate_files.c - system calls on descriptors and paths.
 */
#include "front/gate.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "front/huge_fd.h"
#include "front/pass.h"
#include "front/resize.h"
#include "userfault/abi.h"

#define MESSAGES_MOST 1024u /* that sendmmsg takes */

/* ---- files of ours -----------------------------------------------------------------------------
 */

/* A vector can be looked at; or an error. */
static long vector_ready(const long a[6])
{
	int n = (int)a[2];

	return n < 0 || n > IOV_MAX ? -EINVAL
				    : gate_touch((void *)a[1], (size_t)n * sizeof(struct iovec));
}

static long call_vector(struct file *f, long nr, const long a[6])
{
	const struct iovec *iov = (const struct iovec *)a[1];
	int fd = (int)a[0], n = (int)a[2];
	long err = vector_ready(a);

	if (err)
		return err;
	if (nr == SYS_writev)
		return io_resolve_iov(f, iov, n);
	return nr == SYS_readv ? io_readv(f, fd, iov, n) : io_preadv(f, fd, iov, n, a[3]);
}

/* f is a file of ours; false: the call is like any other's. */
static bool call_ours(struct file *f, long nr, const long a[6], long *ret)
{
	int fd = (int)a[0];

	switch (nr) {
	case SYS_read:
		*ret = io_read(f, fd, (void *)a[1], (size_t)a[2]);
		return true;
	case SYS_pread64:
		*ret = a[3] < 0 ? -EINVAL : io_pread(f, fd, (void *)a[1], (size_t)a[2], a[3]);
		return true;
	case SYS_preadv:
		*ret = a[3] < 0 ? -EINVAL : call_vector(f, nr, a);
		return true;
	case SYS_readv:
	case SYS_preadv2:
	case SYS_writev:
		*ret = call_vector(f, nr, a);
		return true;
	case SYS_write:
		*ret = io_resolve(f, (const void *)a[1], (size_t)a[2]);
		return true;
	case SYS_pwrite64:
	case SYS_pwritev:
	case SYS_pwritev2:
		*ret = io_write(f, true);
		return true;
	case SYS_ioctl:
		*ret = io_ioctl(f, fd, (unsigned long)a[1], (uint64_t)a[2]);
		return true;
	case SYS_fcntl:
		*ret = io_fcntl(f, fd, (int)a[1], a[2]);
		return true;
	case SYS_dup:
		*ret = io_duplicated(f, SYS(SYS_dup, fd));
		return true;
	}
	return false;
}

static bool is_write(long nr)
{
	return nr == SYS_write || nr == SYS_writev || nr == SYS_pwrite64 || nr == SYS_pwritev ||
	       nr == SYS_pwritev2;
}

static long call_close(int fd)
{
	long ret;

	if (io_hidden(fd))
		return -EBADF;
	if (!atomic_load_explicit(&files_used, memory_order_relaxed))
		return GATE_RAW(SYS_close, fd);
	file_detach(fd);
	ret = GATE_RAW(SYS_close, fd);
	files_settle();
	return ret;
}

static long call_dup_over(int old, int new, int flags, const long a[6])
{
	FILE_REF struct file *f = file_get(old);

	if (!atomic_load_explicit(&files_used, memory_order_relaxed) || old == new)
		return flags ? SYS(SYS_dup3, a[0], a[1], a[2]) : SYS(SYS_dup2, a[0], a[1]);
	return io_dup_over(f, old, new, flags);
}

/* Those that messages carry are about to have more users. */
static void messages_leave(uint64_t at, unsigned n)
{
	if (!atomic_load_explicit(&files_used, memory_order_relaxed))
		return;
	for (n = n < MESSAGES_MOST ? n : MESSAGES_MOST; n; n--, at += sizeof(struct mmsghdr))
		pass_sent(at);
}

void gate_strange_file(long nr, const long a[6], long *ret)
{
	FILE_REF struct file *f = io_recognise((int)a[0], ret);

	if (f)
		call_ours(f, nr, a, ret);
}

/* An ioctl of userfaultfds. */
static bool call_strange(const long a[6], long *ret)
{
	FILE_REF struct file *f = NULL;

	if (_IOC_TYPE((unsigned long)a[1]) != UF_API)
		return false;
	*ret = ufd_recognise((int)a[0], &f);
	return *ret || (f && call_ours(f, SYS_ioctl, a, ret));
}

bool gate_files(long nr, const long a[6], long *ret)
{
	FILE_REF struct file *f = NULL;

	switch (nr) {
	case SYS_close:
		*ret = call_close((int)a[0]);
		return true;
	case SYS_close_range:
		*ret = io_close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]);
		return true;
	case SYS_dup2:
		*ret = call_dup_over((int)a[0], (int)a[1], 0, a);
		return true;
	case SYS_dup3:
		*ret = (int)a[0] == (int)a[1] ? -EINVAL
					      : call_dup_over((int)a[0], (int)a[1], (int)a[2], a);
		return true;
	case SYS_sendmsg:
		messages_leave((uint64_t)a[1], 1);
		return false;
	case SYS_sendmmsg:
		messages_leave((uint64_t)a[1], (unsigned)a[2]);
		return false;
	case SYS_pidfd_getfd:
		*ret = SYS(SYS_pidfd_getfd, a[0], a[1], a[2]);
		if (*ret >= 0 && pass_concerns())
			pass_arrived((int)*ret);
		return true;
	case SYS_read:
	case SYS_readv:
	case SYS_pread64:
	case SYS_preadv:
	case SYS_preadv2:
	case SYS_write:
	case SYS_writev:
	case SYS_pwrite64:
	case SYS_pwritev:
	case SYS_pwritev2:
	case SYS_ioctl:
	case SYS_fcntl:
	case SYS_dup:
		f = file_get((int)a[0]);
		if (unlikely(f != NULL))
			return call_ours(f, nr, a, ret);
		if (nr == SYS_ioctl)
			return call_strange(a, ret);
		if (is_write(nr) && unlikely(huge_file((int)a[0]))) {
			*ret = -EINVAL;
			return true;
		}
		return false;
	}
	return false;
}

/* ---- paths -------------------------------------------------------------------------------------
 */

/* The path goes into room, of PATH_MAX bytes, where it can be looked at. */
static long take_path(const char **path, char *room)
{
	int err = gate_string(room, *path);

	*path = room;
	return err;
}

static long call_open(long nr, const long a[6], int dir, const char *path, int flags, mode_t mode)
{
	char room[PATH_MAX];
	long ret = take_path(&path, room);
	long b[6];

	if (ret || open_special(dir, path, flags, &ret) ||
	    resize_open(dir, path, flags, mode, &ret))
		return ret;
	memcpy(b, a, sizeof(b));
	b[nr == SYS_openat || nr == SYS_openat2] = (long)path;
	return gate_others(nr, b);
}

/* struct open_how begins with flags and mode. */
static long call_openat2(const long a[6])
{
	uint64_t how[2];

	if ((size_t)a[3] < sizeof(how) || gate_fetch(how, (void *)a[2], sizeof(how)) < 0)
		return gate_others(SYS_openat2, a);
	return call_open(SYS_openat2, a, (int)a[0], (const char *)a[1], (int)how[0],
			 (mode_t)how[1]);
}

static long call_readlink(long nr, const long a[6], const char *path, void *buf, size_t n)
{
	char room[PATH_MAX];
	const char *name;
	long err = take_path(&path, room);

	if (err)
		return err;
	name = open_link_name(path);
	if (!name)
		return gate_others(nr, a);
	if (n == 0)
		return -EINVAL;
	n = n < strlen(name) ? n : strlen(name);
	err = gate_give(buf, name, n);
	return err ? err : (long)n;
}

static long call_truncate(const long a[6])
{
	char room[PATH_MAX];
	const char *path = (const char *)a[0];
	long err = take_path(&path, room);

	return err ? err : resize_truncate(path, a[1]);
}

static long call_memfd_create(const long a[6])
{
	char room[PATH_MAX];
	const char *name = (const char *)a[0];
	long err = take_path(&name, room);

	return err ? err : huge_memfd_create(name, (unsigned)a[1]);
}

static long call_fstat(int fd, void *to)
{
	struct stat st;
	long ret = huge_fstat(fd, &st);

	return ret ? ret : gate_give(to, &st, sizeof(st));
}

static long call_fstatfs(int fd, void *to)
{
	struct statfs fs;
	long ret = huge_fstatfs(fd, &fs);

	return ret ? ret : gate_give(to, &fs, sizeof(fs));
}

/* libc's fstat is one of these. */
static bool names_descriptor(const long a[6])
{
	char first;

	return a[3] == AT_EMPTY_PATH && a[0] >= 0 && a[1] &&
	       gate_fetch(&first, (void *)a[1], 1) == 0 && !first;
}

static long call_getrusage(int who, void *to)
{
	struct rusage usage;
	long ret = usage_look(who, &usage);

	return ret ? ret : gate_give(to, &usage, sizeof(usage));
}

bool gate_paths(long nr, const long a[6], long *ret)
{
	switch (nr) {
	case SYS_open:
		*ret = call_open(nr, a, AT_FDCWD, (const char *)a[0], (int)a[1], (mode_t)a[2]);
		return true;
	case SYS_openat:
		*ret = call_open(nr, a, (int)a[0], (const char *)a[1], (int)a[2], (mode_t)a[3]);
		return true;
	case SYS_openat2:
		*ret = call_openat2(a);
		return true;
	case SYS_creat:
		*ret = call_open(nr, a, AT_FDCWD, (const char *)a[0], O_CREAT | O_WRONLY | O_TRUNC,
				 (mode_t)a[1]);
		return true;
	case SYS_readlink:
		*ret = call_readlink(nr, a, (const char *)a[0], (void *)a[1], (size_t)a[2]);
		return true;
	case SYS_readlinkat:
		*ret = call_readlink(nr, a, (const char *)a[1], (void *)a[2], (size_t)a[3]);
		return true;
	case SYS_truncate:
		*ret = call_truncate(a);
		return true;
	case SYS_ftruncate:
		*ret = resize_ftruncate((int)a[0], a[1]);
		return true;
	case SYS_fallocate:
		*ret = resize_fallocate((int)a[0], (int)a[1], a[2], a[3]);
		return true;
	case SYS_memfd_create:
		*ret = call_memfd_create(a);
		return true;
	case SYS_fstat:
		*ret = call_fstat((int)a[0], (void *)a[1]);
		return true;
	case SYS_newfstatat:
		if (!huge_in_use() || !names_descriptor(a))
			return false;
		*ret = call_fstat((int)a[0], (void *)a[2]);
		return true;
	case SYS_fstatfs:
		*ret = call_fstatfs((int)a[0], (void *)a[1]);
		return true;
	case SYS_getrusage:
		*ret = call_getrusage((int)a[0], (void *)a[1]);
		return true;
	}
	return false;
}
