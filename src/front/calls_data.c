/*
 * calls_data.c - read, write and their kin on managed memory.
 *
 * Into memory that is not ready, data goes by way of a buffer of ours: a device or a socket may
 * have given it away for good by the time the kernel finds that it cannot be stored. Copying from
 * there takes its faults in order, page by page, for no more bytes than there are. Out of memory it
 * goes directly: what the kernel could not read is still there when the call is made again.
 */
#include "front/calls_data.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SMALL 1024u
#define LARGE ((size_t)1 << 20) /* of a file at a time */

/* ---- Pieces ------------------------------------------------------------------------------------
 */

long pieces_get(struct pieces *p, uint64_t iov, uint64_t n)
{
	if (n > IOV_MAX)
		return -EINVAL;
	if (!calls_room_get(&p->room, p->few, sizeof(p->few), n * sizeof(struct iovec)))
		return -ENOMEM;
	p->iov = p->room.at;
	p->n = n;
	return calls_copy_in(p->iov, iov, n * sizeof(struct iovec));
}

void pieces_one(struct pieces *p, uint64_t addr, uint64_t len)
{
	p->few[0] = (struct iovec){(void *)addr, len};
	p->iov = p->few;
	p->n = 1;
}

uint64_t pieces_size(const struct pieces *p)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < p->n; i++)
		sum += p->iov[i].iov_len;
	return sum;
}

void pieces_skip(struct pieces *p, uint64_t len)
{
	uint64_t part;

	for (; len && p->n; len -= part) {
		part = p->iov->iov_len < len ? p->iov->iov_len : len;
		p->iov->iov_base = (char *)p->iov->iov_base + part;
		p->iov->iov_len -= part;
		if (p->iov->iov_len)
			continue;
		p->iov++;
		p->n--;
	}
}

bool pieces_managed(const struct pieces *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (calls_managed((uintptr_t)p->iov[i].iov_base, p->iov[i].iov_len))
			return true;
	return false;
}

bool pieces_ready(const struct pieces *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (!mem_open(p->iov[i].iov_base, p->iov[i].iov_len, p->write))
			return false;
	return true;
}

enum calls_found pieces_make(const struct pieces *p)
{
	return calls_make_iov(p->iov, p->n, p->write);
}

uint64_t pieces_copy(struct pieces *p, char *buf, uint64_t len)
{
	uint64_t done = 0, part, addr;
	int err = 0;

	while (done < len && p->n) {
		addr = (uintptr_t)p->iov->iov_base;
		part = UF_PAGE_SIZE - (addr & ~UF_PAGE_MASK);
		part = part < p->iov->iov_len ? part : p->iov->iov_len;
		part = part < len - done ? part : len - done;
		if (part)
			err = p->write ? calls_copy_out(addr, buf + done, part)
				       : calls_copy_in(buf + done, addr, part);
		if (err)
			break;
		done += part;
		if (part)
			pieces_skip(p, part);
		else
			p->iov++, p->n--;
	}
	return done;
}

/* ---- In ----------------------------------------------------------------------------------------
 */

bool calls_keeps(int fd, bool *file)
{
	socklen_t len = sizeof(int);
	struct stat st;
	int type;

	*file = false;
	if (SYS(SYS_fstat, fd, &st) != 0)
		return true;
	*file = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
	if (S_ISSOCK(st.st_mode))
		return SYS(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
		       type == SOCK_STREAM;
	return *file || S_ISFIFO(st.st_mode);
}

/* One call into a buffer of ours. */
static long read_into(long nr, const long a[6], uint64_t done, void *buf, size_t n)
{
	struct iovec iov = {buf, n};

	switch (nr) {
	case SYS_pread64:
	case SYS_preadv:
		return GATE_RAW(SYS_pread64, a[0], buf, n, a[3] + (long)done);
	case SYS_preadv2:
		return GATE_RAW(SYS_preadv2, a[0], &iov, 1, a[3] == -1 ? -1 : a[3] + (long)done, 0,
				a[5]);
	}
	return GATE_RAW(SYS_read, a[0], buf, n);
}

/* Does the call read at the file's position? */
static bool moves_on(long nr, const long a[6])
{
	return nr == SYS_read || nr == SYS_readv || (nr == SYS_preadv2 && a[3] == -1);
}

/* What is left to do after `done` bytes. */
static long read_buffered(long nr, const long a[6], struct pieces *p, bool file, uint64_t done)
{
	char small[SMALL] __attribute__((aligned(16)));
	uint64_t all = pieces_size(p) + done, want, put;
	CALLS_ROOM room = {0};
	size_t size = file && all - done > LARGE ? LARGE : all - done;
	long got;

	/* Direct input wants whole pages. */
	if (!calls_room_get(&room, small, file ? 0 : sizeof(small), size) &&
	    !calls_room_get(&room, small, 0, size > LARGE ? LARGE : size))
		return -ENOMEM;
	do {
		want = all - done < room.size ? all - done : room.size;
		got = read_into(nr, a, done, room.at, want);
		if (got <= 0)
			return done ? (long)done : got;
		put = pieces_copy(p, room.at, (uint64_t)got);
		done += put;
		if (put < (uint64_t)got) {
			if (file && moves_on(nr, a))
				SYS(SYS_lseek, a[0], (long)put - got, SEEK_CUR);
			return done ? (long)done : -EFAULT;
		}
	} while (file && (uint64_t)got == want && done < all);
	return (long)done;
}

static long get_pieces(long nr, const long a[6], struct pieces *p)
{
	switch (nr) {
	case SYS_read:
	case SYS_pread64:
	case SYS_write:
	case SYS_pwrite64:
		pieces_one(p, (uint64_t)a[1], (uint64_t)a[2]);
		return 0;
	}
	return pieces_get(p, (uint64_t)a[1], (uint64_t)a[2]);
}

/* Is there nothing near, neither data nor the array that names it? */
static bool far(const long a[6], bool vector)
{
	return !front_managing() || (!vector && !mem_near_managed((void *)a[1], (size_t)a[2]));
}

/*
 * Directly, as long as the memory is ready and nothing is lost by it. False: the rest, after *ret
 * bytes, takes a buffer.
 */
static bool read_directly(long nr, const long a[6], struct pieces *p, bool *file, long *ret)
{
	bool keeps = calls_keeps((int)a[0], file);

	for (unsigned tries = 0; tries < CALLS_TRIES; tries++) {
		*ret = 0;
		if (!pieces_ready(p) || (!keeps && pieces_managed(p)))
			return false;
		*ret = gate_raw(nr, a);
		if (*ret != -EFAULT)
			break;
	}
	if (*ret <= 0 || !*file)
		return true;
	/* Of a file, less than there is room for may be all of it, or what could be stored. */
	pieces_skip(p, (uint64_t)*ret);
	return !pieces_managed(p);
}

long calls_read(long nr, const long a[6])
{
	PIECES p = {.write = true};
	bool file;
	long ret;

	if (likely(far(a, nr != SYS_read && nr != SYS_pread64)))
		return gate_raw(nr, a);
	ret = get_pieces(nr, a, &p);
	if (ret == -EFAULT)
		return ret;
	if (ret || pieces_size(&p) > SSIZE_MAX)
		return gate_raw(nr, a);
	if (read_directly(nr, a, &p, &file, &ret))
		return ret;
	return read_buffered(nr, a, &p, file, (uint64_t)ret);
}

/* ---- Out ---------------------------------------------------------------------------------------
 */

/* The rest of it, after `done` bytes. */
static long write_rest(long nr, const long a[6], uint64_t done, const struct pieces *p)
{
	long off = a[3] + (long)done;

	switch (nr) {
	case SYS_write:
		return GATE_RAW(SYS_write, a[0], p->iov->iov_base, p->iov->iov_len);
	case SYS_pwrite64:
		return GATE_RAW(SYS_pwrite64, a[0], p->iov->iov_base, p->iov->iov_len, off);
	case SYS_writev:
		return GATE_RAW(SYS_writev, a[0], p->iov, p->n);
	case SYS_pwritev:
		return GATE_RAW(SYS_pwritev, a[0], p->iov, p->n, off);
	case SYS_pwritev2:
		return GATE_RAW(SYS_pwritev2, a[0], p->iov, p->n, a[3] == -1 ? -1 : off, 0, a[5]);
	}
	return GATE_RAW(SYS_vmsplice, a[0], p->iov, p->n, a[3]);
}

/*
 * A call that did a part stopped at a page that was not ready, or for a reason of its own. Only the
 * call itself can tell, and is asked again, unless it would wait: what a signal ended has ended.
 */
static bool stopped_at_page(int fd, const struct pieces *rest)
{
	struct pollfd room = {fd, POLLOUT, 0};
	bool file;

	if (!rest->n || !pieces_managed(rest))
		return false;
	if (!pieces_ready(rest))
		return true;
	calls_keeps(fd, &file);
	return file || SYS(SYS_poll, &room, 1, 0) == 1;
}

bool pieces_go_on(struct pieces *p, int fd, long ret, uint64_t *done, unsigned *tries)
{
	if (ret > 0) {
		*done += (uint64_t)ret;
		*tries = 0;
		pieces_skip(p, (uint64_t)ret);
		return stopped_at_page(fd, p);
	}
	if (ret != -EFAULT)
		return false;
	switch (pieces_make(p)) {
	case CALLS_MADE:
		*tries = 0;
		return true;
	case CALLS_READY:
		return ++*tries < CALLS_TRIES;
	case CALLS_BAD:
		break;
	}
	return false;
}

/* vmsplice goes either way. */
static bool reads_pipe(int fd)
{
	return (SYS(SYS_fcntl, fd, F_GETFL) & O_ACCMODE) == O_RDONLY;
}

long calls_write(long nr, const long a[6])
{
	unsigned tries = 0;
	uint64_t done = 0;
	PIECES p = {0};
	long ret;

	if (likely(far(a, nr != SYS_write && nr != SYS_pwrite64)))
		return gate_raw(nr, a);
	ret = get_pieces(nr, a, &p);
	if (ret == -EFAULT)
		return ret;
	if (ret || !pieces_managed(&p))
		return gate_raw(nr, a);
	p.write = nr == SYS_vmsplice && reads_pipe((int)a[0]);
	do {
		ret = write_rest(nr, a, done, &p);
	} while (pieces_go_on(&p, (int)a[0], ret, &done, &tries));
	return done ? (long)done : ret;
}

/* ---- Between processes -------------------------------------------------------------------------
 */

/* Is it this process, or one of its threads? */
static bool is_self(long pid)
{
	return SYS(SYS_tgkill, SYS(SYS_getpid), pid, 0) == 0;
}

/* The remote side is ours to make ready only where it is this process. */
long calls_process_vm(long nr, const long a[6])
{
	bool write = nr == SYS_process_vm_writev, self;
	uint64_t done = 0;
	PIECES local = {.write = !write}, remote = {.write = write};
	enum calls_found found;
	unsigned tries = 0;
	long ret;

	if (likely(!front_managing()))
		return gate_raw(nr, a);
	ret = pieces_get(&local, (uint64_t)a[1], (uint64_t)a[2]);
	if (!ret)
		ret = pieces_get(&remote, (uint64_t)a[3], (uint64_t)a[4]);
	if (ret)
		return ret == -EFAULT ? ret : gate_raw(nr, a);
	self = is_self(a[0]);
	for (;;) {
		ret = GATE_RAW(nr, a[0], local.iov, local.n, remote.iov, remote.n, a[5]);
		if (ret < 0 && ret != -EFAULT)
			break;
		if (ret > 0) {
			done += (uint64_t)ret;
			tries = 0;
			pieces_skip(&local, (uint64_t)ret);
			pieces_skip(&remote, (uint64_t)ret);
		}
		if (!pieces_size(&local) || !pieces_size(&remote))
			break;
		found = pieces_make(&local);
		if (found == CALLS_READY && self)
			found = pieces_make(&remote);
		if (found == CALLS_BAD || (found == CALLS_READY && ++tries == CALLS_TRIES))
			break;
	}
	return done ? (long)done : ret;
}
