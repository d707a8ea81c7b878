/*
 * io.c - read, write, ioctl, close, dup, fcntl and their kin.
 */
#include "front/calls.h"
#include "front/huge.h"
#include "front/ledger.h"
#include "front/preload.h"

#include <dirent.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "userfault/abi.h"

bool io_hidden(int fd)
{
	return host_owns_fd(fd) || ledger_hides(fd);
}

/* ---- what files of ours do ---------------------------------------------------------------------
 */

long io_read(struct file *f, int fd, void *buf, size_t n)
{
	long off, got;

	switch (f->kind) {
	case FILE_UFFD:
		thread_enter();
		return ufd_read(f, fd, buf, n);
	case FILE_DEV:
	case FILE_EPOLL:
		return -EINVAL;
	case FILE_PAGEMAP:
		break;
	}
	off = SYS(SYS_lseek, fd, 0, SEEK_CUR);
	got = SYS(SYS_read, fd, buf, n);
	if (got > 0)
		pagemap_correct(buf, (size_t)got, (uint64_t)off);
	return got;
}

long io_pread(struct file *f, int fd, void *buf, size_t n, off_t off)
{
	long got;

	switch (f->kind) {
	case FILE_UFFD:
	case FILE_EPOLL:
		return -ESPIPE;
	case FILE_DEV:
		return -EINVAL;
	case FILE_PAGEMAP:
		break;
	}
	got = SYS(SYS_pread64, fd, buf, n, off);
	if (got > 0)
		pagemap_correct(buf, (size_t)got, (uint64_t)off);
	return got;
}

/* Each piece by itself until one is short. */
static long each_iov(struct file *f, int fd, const struct iovec *iov, int n, off_t off)
{
	long done = 0, got;
	int i;

	if (n < 0 || n > IOV_MAX)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		if (off >= 0)
			got = io_pread(f, fd, iov[i].iov_base, iov[i].iov_len, off + done);
		else
			got = io_read(f, fd, iov[i].iov_base, iov[i].iov_len);
		if (got < 0)
			return done ? done : got;
		done += got;
		if ((size_t)got < iov[i].iov_len)
			break;
	}
	return done;
}

long io_readv(struct file *f, int fd, const struct iovec *iov, int n)
{
	if (f->kind == FILE_UFFD)
		return ufd_readv(f, fd, iov, n);
	return each_iov(f, fd, iov, n, -1);
}

long io_preadv(struct file *f, int fd, const struct iovec *iov, int n, off_t off)
{
	if (off == -1)
		return io_readv(f, fd, iov, n);
	if (off < 0)
		return -EINVAL;
	if (f->kind != FILE_PAGEMAP)
		return f->kind == FILE_DEV ? -EINVAL : -ESPIPE;
	return each_iov(f, fd, iov, n, off);
}

long io_write(struct file *f, bool positioned)
{
	if (f->kind == FILE_UFFD)
		return positioned ? -ESPIPE : -EBADF;
	if (f->kind == FILE_PAGEMAP)
		return -EBADF;
	return -EINVAL;
}

/* A userfaultfd may have been opened for this. */
long io_resolve(struct file *f, const void *buf, size_t n)
{
	return f->kind == FILE_UFFD && atomic_load(&f->by_write) ? ufd_write(f, buf, n)
								 : io_write(f, false);
}

long io_resolve_iov(struct file *f, const struct iovec *iov, int n)
{
	long done = 0, ret = n > 0 ? 0 : io_write(f, false);

	for (int i = 0; i < n && ret >= 0; i++) {
		ret = io_resolve(f, iov[i].iov_base, iov[i].iov_len);
		done += ret > 0 ? ret : 0;
		if (ret >= 0 && (size_t)ret < iov[i].iov_len)
			break;
	}
	return done ? done : ret;
}

static bool is_fd_ioctl(unsigned long cmd)
{
	return cmd == FIONBIO || cmd == FIOCLEX || cmd == FIONCLEX;
}

long io_ioctl(struct file *f, int fd, unsigned long cmd, uint64_t arg)
{
	switch (f->kind) {
	case FILE_UFFD:
		thread_enter();
		return ufd_ioctl(f, fd, cmd, arg);
	case FILE_DEV:
		if (cmd == UF_IOC_NEW)
			return ufd_new((int)arg);
		return is_fd_ioctl(cmd) ? SYS(SYS_ioctl, fd, cmd, arg) : -EINVAL;
	case FILE_PAGEMAP:
		if (cmd == PAGEMAP_SCAN_IOCTL && front_managing() && !atomic_load(&f->foreign))
			return pagemap_scan(fd, arg);
		break;
	case FILE_EPOLL:
		break;
	}
	return SYS(SYS_ioctl, fd, cmd, arg);
}

/* new is another descriptor of the same file. */
long io_duplicated(struct file *f, long new)
{
	int err;

	if (new < 0)
		return new;
	err = file_attach((int)new, f);
	if (err) {
		SYS(SYS_close, new);
		return err;
	}
	return new;
}

long io_fcntl(struct file *f, int fd, int cmd, long arg)
{
	long ret = SYS(SYS_fcntl, fd, cmd, arg);

	switch (cmd) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return io_duplicated(f, ret);
	case F_GETFL:
		/* Ours is open for writing, a userfaultfd is not. */
		return ret >= 0 && f->kind == FILE_UFFD ? ret & ~O_ACCMODE : ret;
	case F_SETFL:
		if (ret == 0 && f->kind == FILE_UFFD)
			ufd_refresh(f, fd);
		return ret;
	}
	return ret;
}

/* ---- reading and writing -----------------------------------------------------------------------
 */

/*
 * The kernel refuses to read what a userfaultfd is underneath: one that came from elsewhere is
 * found out by that.
 */
struct file *io_recognise(int fd, long *ret)
{
	struct file *f = NULL;
	int err;

	if (likely(*ret != -EINVAL))
		return NULL;
	err = ufd_recognise(fd, &f);
	if (err)
		*ret = err;
	return f;
}

static ssize_t read_native(int fd, void *buf, size_t n)
{
	long ret = REAL(read)(fd, buf, n);
	FILE_REF struct file *f = NULL;

	if (likely(ret >= 0 || errno != EINVAL))
		return ret;
	ret = -EINVAL;
	f = io_recognise(fd, &ret);
	return sys_errno(f ? io_read(f, fd, buf, n) : ret);
}

EXPORT ssize_t read(int fd, void *buf, size_t n)
{
	FILE_REF struct file *f = file_get(fd);

	if (unlikely(f != NULL))
		return sys_errno(io_read(f, fd, buf, n));
	return likely(!calls_concern(buf, n)) ? read_native(fd, buf, n)
					      : CALLS_POINT(SYS_read, fd, buf, n);
}

EXPORT ssize_t __read_chk(int fd, void *buf, size_t n, size_t size)
{
	return likely(n > size || !atomic_load_explicit(&files_used, memory_order_relaxed))
		       ? REAL(__read_chk)(fd, buf, n, size)
		       : read(fd, buf, n);
}

static ssize_t readv_native(int fd, const struct iovec *iov, int n)
{
	long ret = REAL(readv)(fd, iov, n);
	FILE_REF struct file *f = NULL;

	if (likely(ret >= 0 || errno != EINVAL))
		return ret;
	ret = -EINVAL;
	f = io_recognise(fd, &ret);
	return sys_errno(f ? io_readv(f, fd, iov, n) : ret);
}

EXPORT ssize_t readv(int fd, const struct iovec *iov, int n)
{
	FILE_REF struct file *f = file_get(fd);

	if (unlikely(f != NULL))
		return sys_errno(io_readv(f, fd, iov, n));
	return likely(!front_managing()) ? readv_native(fd, iov, n)
					 : CALLS_POINT(SYS_readv, fd, iov, n);
}

#define PREAD(name, offset)                                                                        \
	EXPORT ssize_t name(int fd, void *buf, size_t n, offset off)                               \
	{                                                                                          \
		FILE_REF struct file *f = file_get(fd);                                            \
                                                                                                   \
		if (unlikely(f != NULL))                                                           \
			return sys_errno(io_pread(f, fd, buf, n, off));                            \
		return likely(!calls_concern(buf, n)) ? REAL(name)(fd, buf, n, off)                \
						      : CALLS_POINT(SYS_pread64, fd, buf, n, off); \
	}
PREAD(pread, off_t)
PREAD(pread64, off64_t)

#define PREAD_CHK(name, plain, offset)                                                             \
	EXPORT ssize_t name(int fd, void *buf, size_t n, offset off, size_t size)                  \
	{                                                                                          \
		return likely(n > size ||                                                          \
			      !atomic_load_explicit(&files_used, memory_order_relaxed))            \
			       ? REAL(name)(fd, buf, n, off, size)                                 \
			       : plain(fd, buf, n, off);                                           \
	}
PREAD_CHK(__pread_chk, pread, off_t)
PREAD_CHK(__pread64_chk, pread64, off64_t)

#define PREADV(name, offset)                                                                       \
	EXPORT ssize_t name(int fd, const struct iovec *iov, int n, offset off)                    \
	{                                                                                          \
		FILE_REF struct file *f = file_get(fd);                                            \
                                                                                                   \
		if (unlikely(f != NULL))                                                           \
			return sys_errno(off < 0 ? -EINVAL : io_preadv(f, fd, iov, n, off));       \
		return likely(!front_managing()) ? REAL(name)(fd, iov, n, off)                     \
						 : CALLS_POINT(SYS_preadv, fd, iov, n, off);       \
	}
PREADV(preadv, off_t)
PREADV(preadv64, off64_t)

/* Here an offset of -1 means the file's position. */
#define PREADV2(name, offset)                                                                      \
	EXPORT ssize_t name(int fd, const struct iovec *iov, int n, offset off, int flags)         \
	{                                                                                          \
		FILE_REF struct file *f = file_get(fd);                                            \
                                                                                                   \
		if (unlikely(f != NULL))                                                           \
			return sys_errno(io_preadv(f, fd, iov, n, off));                           \
		return likely(!front_managing())                                                   \
			       ? REAL(name)(fd, iov, n, off, flags)                                \
			       : CALLS_POINT(SYS_preadv2, fd, iov, n, off, 0, flags);              \
	}
PREADV2(preadv2, off_t)
PREADV2(preadv64v2, off64_t)

EXPORT ssize_t write(int fd, const void *buf, size_t n)
{
	FILE_REF struct file *f = file_get(fd);

	if (unlikely(f != NULL))
		return sys_errno(io_resolve(f, buf, n));
	if (unlikely(huge_file(fd)))
		return sys_errno(-EINVAL);
	return likely(!calls_concern(buf, n)) ? REAL(write)(fd, buf, n)
					      : CALLS_POINT(SYS_write, fd, buf, n);
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int n)
{
	FILE_REF struct file *f = file_get(fd);

	if (unlikely(f != NULL))
		return sys_errno(io_resolve_iov(f, iov, n));
	if (unlikely(huge_file(fd)))
		return sys_errno(-EINVAL);
	return likely(!front_managing()) ? REAL(writev)(fd, iov, n)
					 : CALLS_POINT(SYS_writev, fd, iov, n);
}

#define PWRITE(name, offset)                                                                       \
	EXPORT ssize_t name(int fd, const void *buf, size_t n, offset off)                         \
	{                                                                                          \
		FILE_REF struct file *f = file_get(fd);                                            \
                                                                                                   \
		if (unlikely(f != NULL))                                                           \
			return sys_errno(io_write(f, true));                                       \
		if (unlikely(huge_file(fd)))                                                       \
			return sys_errno(-EINVAL);                                                 \
		return likely(!calls_concern(buf, n))                                              \
			       ? REAL(name)(fd, buf, n, off)                                       \
			       : CALLS_POINT(SYS_pwrite64, fd, buf, n, off);                       \
	}
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define PWRITEV(name, offset)                                                                      \
	EXPORT ssize_t name(int fd, const struct iovec *iov, int n, offset off)                    \
	{                                                                                          \
		FILE_REF struct file *f = file_get(fd);                                            \
                                                                                                   \
		if (unlikely(f != NULL))                                                           \
			return sys_errno(io_write(f, true));                                       \
		if (unlikely(huge_file(fd)))                                                       \
			return sys_errno(-EINVAL);                                                 \
		return likely(!front_managing()) ? REAL(name)(fd, iov, n, off)                     \
						 : CALLS_POINT(SYS_pwritev, fd, iov, n, off);      \
	}
PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

EXPORT int ioctl(int fd, unsigned long cmd, ...)
{
	FILE_REF struct file *f = file_get(fd);
	va_list ap;
	void *arg;
	int err;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (unlikely(!f && _IOC_TYPE(cmd) == UF_API)) {
		err = ufd_recognise(fd, &f);
		if (err)
			return (int)sys_errno(err);
	}
	return likely(!f) ? REAL(ioctl)(fd, cmd, arg)
			  : (int)sys_errno(io_ioctl(f, fd, cmd, (uintptr_t)arg));
}

/* ---- descriptors -------------------------------------------------------------------------------
 */

EXPORT int close(int fd)
{
	int ret;

	if (unlikely(ledger_hides(fd)))
		return (int)sys_errno(-EBADF);
	if (likely(!atomic_load_explicit(&files_used, memory_order_relaxed)))
		return REAL(close)(fd);
	if (io_hidden(fd))
		return (int)sys_errno(-EBADF);
	file_detach(fd);
	ret = REAL(close)(fd);
	files_settle();
	return ret;
}

/* libc closes the descriptor out of our sight. */
EXPORT int fclose(FILE *stream)
{
	int ret;

	if (likely(!atomic_load_explicit(&files_used, memory_order_relaxed)))
		return REAL(fclose)(stream);
	file_detach(fileno(stream));
	ret = REAL(fclose)(stream);
	files_settle();
	return ret;
}

/* Collects the hidden descriptors of [first, last], at most max; returns how many. */
static unsigned hidden_between(unsigned first, unsigned last, unsigned *found, unsigned max)
{
	char buf[2048] __attribute__((aligned(8)));
	long dir = SYS(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned n = 0, fd, i;
	long len, at;

	while (dir >= 0 && (len = SYS(SYS_getdents64, dir, buf, sizeof(buf))) > 0) {
		for (at = 0; at < len; at += ((struct dirent64 *)(buf + at))->d_reclen) {
			const char *name = ((struct dirent64 *)(buf + at))->d_name;

			for (fd = 0; *name >= '0' && *name <= '9'; name++)
				fd = fd * 10 + (unsigned)(*name - '0');
			if (*name || fd < first || fd > last || n == max || !io_hidden((int)fd))
				continue;
			for (i = n++; i > 0 && found[i - 1] > fd; i--)
				found[i] = found[i - 1];
			found[i] = fd;
		}
	}
	if (dir >= 0)
		SYS(SYS_close, dir);
	return n;
}

/* In a process that has nothing else to hide. */
static unsigned session_between(unsigned first, unsigned last, unsigned *found)
{
	int fd = ledger_descriptor();

	*found = (unsigned)fd;
	return fd >= 0 && *found >= first && *found <= last;
}

long io_close_range(unsigned first, unsigned last, int flags)
{
	unsigned hidden[512], n, i;
	long ret = 0;

	if (first > last)
		return -EINVAL;
	if (flags & CLOSE_RANGE_CLOEXEC)
		return SYS(SYS_close_range, first, last, flags);
	n = atomic_load(&files_used) ? hidden_between(first, last, hidden, 512)
				     : session_between(first, last, hidden);
	file_detach_range(first, last);
	for (i = 0; i <= n && ret == 0; i++) {
		unsigned end = i < n ? hidden[i] - 1 : last;

		/* Two hidden ones in a row leave nothing between them. */
		if (i < n ? first < hidden[i] : first <= last)
			ret = SYS(SYS_close_range, first, end, flags);
		if (i < n)
			first = hidden[i] + 1;
	}
	files_settle();
	return ret;
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	return (int)sys_errno(io_close_range(first, last, flags));
}

EXPORT void closefrom(int low)
{
	io_close_range(low < 0 ? 0 : (unsigned)low, UINT_MAX, 0);
}

EXPORT int dup(int fd)
{
	FILE_REF struct file *f = file_get(fd);

	return likely(!f) ? REAL(dup)(fd) : (int)sys_errno(io_duplicated(f, SYS(SYS_dup, fd)));
}

/* The kernel closes `new` on the way: what stood there goes first. */
long io_dup_over(struct file *f, int old, int new, int flags)
{
	long ret;

	if (flags & ~O_CLOEXEC)
		return -EINVAL;
	if (io_hidden(new) || io_hidden(old))
		return -EBADF;
	if (SYS(SYS_fcntl, old, F_GETFD) >= 0)
		file_detach(new);
	ret = SYS(SYS_dup3, old, new, flags);
	files_settle();
	return f ? io_duplicated(f, ret) : ret;
}

EXPORT int dup2(int old, int new)
{
	FILE_REF struct file *f = file_get(old);

	if (likely(!atomic_load_explicit(&files_used, memory_order_relaxed)) || old == new)
		return REAL(dup2)(old, new);
	return (int)sys_errno(io_dup_over(f, old, new, 0));
}

EXPORT int dup3(int old, int new, int flags)
{
	FILE_REF struct file *f = file_get(old);

	if (likely(!atomic_load_explicit(&files_used, memory_order_relaxed)) || old == new)
		return REAL(dup3)(old, new, flags);
	return (int)sys_errno(io_dup_over(f, old, new, flags));
}

#define FCNTL(name)                                                                                \
	EXPORT int name(int fd, int cmd, ...)                                                      \
	{                                                                                          \
		FILE_REF struct file *f = file_get(fd);                                            \
		va_list ap;                                                                        \
		void *arg;                                                                         \
                                                                                                   \
		va_start(ap, cmd);                                                                 \
		arg = va_arg(ap, void *);                                                          \
		va_end(ap);                                                                        \
		return likely(!f) ? REAL(name)(fd, cmd, arg)                                       \
				  : (int)sys_errno(io_fcntl(f, fd, cmd, (long)arg));               \
	}
FCNTL(fcntl)
FCNTL(fcntl64)
