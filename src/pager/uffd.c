/*
 * uffd.c - the two userfaultfds behind one table: the kernel's, which is also the interposer's in
 * a program under `userfault run` or `join`, and Userfault's through its library, for memory of
 * this process.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <userfault/userfault.h>

#include "pager/internal.h"

static int kernel_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) ? -errno : 0;
}

static ssize_t kernel_read(int fd, void *buf, size_t count)
{
	ssize_t n = read(fd, buf, count);

	return n < 0 ? -errno : n;
}

static int kernel_close(int fd)
{
	return close(fd) ? -errno : 0;
}

static void *kernel_mmap(size_t len, int prot, void *hint, int *error)
{
	void *p = mmap(hint, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	*error = p == MAP_FAILED ? -errno : 0;
	return p;
}

static int kernel_munmap(void *addr, size_t len)
{
	return munmap(addr, len) ? -errno : 0;
}

static int kernel_madvise(void *addr, size_t len, int advice)
{
	return madvise(addr, len, advice) ? -errno : 0;
}

/* Through /proc/self/mem: a page that is missing is an error there, not a fault. */
static int kernel_peek(void *addr, void *buf, size_t len)
{
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = pread(fd, buf, len, (off_t)(uintptr_t)addr);
	n = n < 0 ? -errno : n;
	close(fd);
	return n == (ssize_t)len ? 0 : n < 0 ? (int)n : -EIO;
}

const struct uffd_ops uffd_kernel = {
	.ioctl = kernel_ioctl,
	.read = kernel_read,
	.close = kernel_close,
	.mmap = kernel_mmap,
	.munmap = kernel_munmap,
	.madvise = kernel_madvise,
	.peek = kernel_peek,
};

static int own_ioctl(int fd, unsigned long request, void *arg)
{
	return uf_ioctl(fd, request, arg);
}

static void *own_mmap(size_t len, int prot, void *hint, int *error)
{
	return uf_mmap(hint, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, error);
}

static int own_peek(void *addr, void *buf, size_t len)
{
	memcpy(buf, addr, len);
	return 0;
}

const struct uffd_ops uffd_own = {
	.ioctl = own_ioctl,
	.read = uf_read,
	.close = uf_close,
	.mmap = own_mmap,
	.munmap = uf_munmap,
	.madvise = uf_madvise,
	.peek = own_peek,
};

static int open_fd(const struct uffd_ops *ops)
{
	int fd, dev;

	if (ops == &uffd_own)
		return uf_open(O_CLOEXEC | O_NONBLOCK);
	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 || errno != EPERM)
		return fd >= 0 ? fd : -errno;
	/* Whoever may open the device may have faults of system calls delivered, too. */
	dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (dev < 0)
		return -EPERM;
	fd = ioctl(dev, UF_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		fd = -errno;
	close(dev);
	return fd;
}

int uffd_open(const struct uffd_ops *ops, uint64_t *features)
{
	struct uf_api api = {.api = UF_API};
	int fd = open_fd(ops), probe, err;

	if (fd < 0)
		return fd;
	/* Which there are can only be asked of one that is then used up. */
	probe = open_fd(ops);
	err = probe < 0 ? probe : ops->ioctl(probe, UF_IO_API, &api);
	if (probe >= 0)
		ops->close(probe);
	if (!err) {
		*features &= api.features;
		api = (struct uf_api){.api = UF_API, .features = *features};
		err = ops->ioctl(fd, UF_IO_API, &api);
	}
	if (err) {
		ops->close(fd);
		return err;
	}
	return fd;
}
