/*
 * transfer.c - system calls that move data between files and managed memory.
 *
 * The kernel knows nothing of our page tables: it would fail with EFAULT on a page that a handler
 * is to give, and a datagram that it had taken off its queue by then would be lost. So, unless all
 * pages are there, the data goes by way of a buffer of ours. Copying between that and the program's
 * memory takes its faults in order, page by page, for no more bytes than there are, and as a system
 * call does: a userfaultfd with UFFD_USER_MODE_ONLY refuses them.
 */
#include "front/transfer.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SMALL 2048u
#define LARGE (1u << 20)

/* A place in a list of pieces of the program's memory. */
struct cursor {
	const struct iovec *iov;
	int n;
	size_t into; /* the first of them */
};

/* Copy up to len bytes, in or out, as far as the memory can be accessed. */
static size_t copy(struct cursor *c, char *buf, size_t len, bool in)
{
	struct mach_entry entry;
	size_t done = 0, part, left;
	uint64_t addr;
	int err = 0;

	while (done < len && c->n > 0) {
		left = c->iov->iov_len - c->into;
		if (left == 0) {
			c->iov++;
			c->n--;
			c->into = 0;
			continue;
		}
		addr = (uintptr_t)c->iov->iov_base + c->into;
		part = UF_PAGE_SIZE - (addr & ~UF_PAGE_MASK);
		part = part < left ? part : left;
		part = part < len - done ? part : len - done;
		mach_enter(&entry);
		err = in ? mach_copy_in(buf + done, addr, part)
			 : mach_copy_out(addr, buf + done, part);
		mach_leave(&entry);
		if (err)
			break;
		c->into += part;
		done += part;
	}
	return done;
}

static bool regular(int fd)
{
	struct stat st;

	return SYS(SYS_fstat, fd, &st) == 0 && S_ISREG(st.st_mode);
}

static size_t total(const struct iovec *iov, int n)
{
	size_t sum = 0;
	int i;

	for (i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* The buffer: small ones on the caller's stack. */
struct buffer {
	char *at;
	size_t size;
	void *mapped;
};

static void buffer_free(struct buffer *b)
{
	if (b->mapped)
		SYS(SYS_munmap, b->mapped, b->size);
}

static bool buffer_get(struct buffer *b, char *small, size_t want)
{
	long map;

	b->at = small;
	b->size = SMALL;
	if (want <= SMALL)
		return true;
	b->size = want < LARGE ? want : LARGE;
	map = SYS(SYS_mmap, 0, b->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map < 0)
		return false;
	b->mapped = b->at = (char *)map;
	return true;
}

long transfer_in(struct transfer *t, const struct iovec *iov, int n)
{
	char small[SMALL];
	struct buffer b __attribute__((cleanup(buffer_free))) = {0};
	struct cursor c = {.iov = iov, .n = n};
	size_t all = total(iov, n), done = 0, want, put;
	long got;

	if (!buffer_get(&b, small, all))
		return -ENOMEM;
	do {
		want = all - done < b.size ? all - done : b.size;
		got = t->call(t, b.at, want);
		if (got < 0)
			return done ? (long)done : got;
		put = copy(&c, b.at, (size_t)got < want ? (size_t)got : want, false);
		if (put < want && put < (size_t)got)
			return done + put ? (long)(done + put) : -EFAULT;
		/* A datagram that was cut off may be longer. */
		done += (size_t)got;
		t->off += got;
	} while ((size_t)got == want && done < all && regular(t->fd));
	return (long)done;
}

long transfer_out(struct transfer *t, const struct iovec *iov, int n)
{
	char small[SMALL];
	struct buffer b __attribute__((cleanup(buffer_free))) = {0};
	struct cursor c = {.iov = iov, .n = n};
	size_t all = total(iov, n), done = 0, want, have;
	long put;

	if (!buffer_get(&b, small, all))
		return -ENOMEM;
	do {
		want = all - done < b.size ? all - done : b.size;
		have = copy(&c, b.at, want, true);
		if (have < want && (have == 0 || t->message))
			return done ? (long)done : -EFAULT;
		put = t->call(t, b.at, have);
		if (put < 0)
			return done ? (long)done : put;
		done += (size_t)put;
		t->off += put;
	} while ((size_t)put == have && have == want && done < all);
	return (long)done;
}

long transfer_in_one(struct transfer *t, void *buf, size_t n)
{
	struct iovec iov = {buf, n};

	return transfer_in(t, &iov, 1);
}

long transfer_out_one(struct transfer *t, const void *buf, size_t n)
{
	struct iovec iov = {(void *)buf, n};

	return transfer_out(t, &iov, 1);
}

/* ---- the calls underneath ----------------------------------------------------------------------
 */

static long result(ssize_t ret)
{
	return ret < 0 ? -errno : ret;
}

long transfer_call_read(struct transfer *t, void *buf, size_t n)
{
	return result(REAL(read)(t->fd, buf, n));
}

long transfer_call_pread(struct transfer *t, void *buf, size_t n)
{
	return result(REAL(pread64)(t->fd, buf, n, t->off));
}

long transfer_call_write(struct transfer *t, void *buf, size_t n)
{
	return result(REAL(write)(t->fd, buf, n));
}

long transfer_call_pwrite(struct transfer *t, void *buf, size_t n)
{
	return result(REAL(pwrite64)(t->fd, buf, n, t->off));
}
