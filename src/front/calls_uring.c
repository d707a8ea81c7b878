/*
 * calls_uring.c - requests that are queued: io_uring, io_submit.
 *
 * The kernel may serve them at any time from here on, and on a thread of its own. So what the
 * requests point to is made ready when they are handed over: all of it, where the kernel would ask
 * only for what it comes to use.
 */
#include "front/calls_data.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Since Linux 6.5 and 6.6. */
#define SETUP_NO_MMAP	 (1u << 14)
#define SETUP_NO_SQARRAY (1u << 16)

#define CHUNK (64 * UF_PAGE_SIZE)

/* ---- Making ready ------------------------------------------------------------------------------
 * What cannot be is left to the kernel, which answers EFAULT for it in its own way.
 */

static void settle(uint64_t addr, uint64_t len, bool write)
{
	uint64_t end = addr + len, stop;

	if (end < addr)
		return;
	for (; addr < end; addr = stop) {
		stop = (addr & ~(CHUNK - 1)) + CHUNK;
		stop = stop < end ? stop : end;
		while (calls_make(addr, stop - addr, write) == CALLS_MADE)
			;
	}
}

static void settle_string(uint64_t addr)
{
	while (addr && calls_make_string(addr) == CALLS_MADE)
		;
}

static void settle_iov(uint64_t iov, uint64_t n, bool write)
{
	PIECES p = {0};

	if (pieces_get(&p, iov, n) != 0)
		return;
	for (size_t i = 0; i < p.n; i++)
		settle((uintptr_t)p.iov[i].iov_base, p.iov[i].iov_len, write);
}

static void settle_message(uint64_t at, bool write)
{
	struct msghdr msg;

	if (write)
		settle(at, sizeof(msg), true);
	if (calls_copy_in(&msg, at, sizeof(msg)) != 0)
		return;
	settle((uintptr_t)msg.msg_name, msg.msg_name ? msg.msg_namelen : 0, write);
	settle((uintptr_t)msg.msg_control, msg.msg_control ? msg.msg_controllen : 0, write);
	settle_iov((uintptr_t)msg.msg_iov, msg.msg_iovlen, write);
}

static void settle_accept(uint64_t addr, uint64_t len_at)
{
	uint32_t len;

	if (!addr || calls_copy_in(&len, len_at, sizeof(len)) != 0)
		return;
	settle(len_at, sizeof(len), true);
	settle(addr, len < 128 ? len : 128, true);
}

static void settle_data(const struct io_uring_sqe *sqe)
{
	bool select = sqe->flags & IOSQE_BUFFER_SELECT;

	switch (sqe->opcode) {
	case IORING_OP_READV:
		settle_iov(sqe->addr, sqe->len, true);
		break;
	case IORING_OP_WRITEV:
		settle_iov(sqe->addr, sqe->len, false);
		break;
	case IORING_OP_READ:
	case IORING_OP_RECV:
		settle(sqe->addr, select ? 0 : sqe->len, true);
		break;
	case IORING_OP_WRITE:
	case IORING_OP_SEND:
		settle(sqe->addr, select ? 0 : sqe->len, false);
		break;
	case IORING_OP_SEND_ZC:
		settle(sqe->addr2, sqe->addr2 ? sqe->addr_len : 0, false);
		settle(sqe->addr, sqe->len, false);
		break;
	case IORING_OP_RECVMSG:
		settle_message(sqe->addr, true);
		break;
	case IORING_OP_SENDMSG:
	case IORING_OP_SENDMSG_ZC:
		settle_message(sqe->addr, false);
		break;
	case IORING_OP_PROVIDE_BUFFERS:
		settle(sqe->addr, (uint64_t)sqe->len * (uint32_t)sqe->fd, true);
		break;
	}
}

static void settle_arguments(const struct io_uring_sqe *sqe)
{
	switch (sqe->opcode) {
	case IORING_OP_ACCEPT:
		settle_accept(sqe->addr, sqe->addr2);
		break;
	case IORING_OP_CONNECT:
		settle(sqe->addr, sqe->off, false);
		break;
	case IORING_OP_TIMEOUT:
	case IORING_OP_LINK_TIMEOUT:
		settle(sqe->addr, sizeof(struct timespec), false);
		break;
	case IORING_OP_TIMEOUT_REMOVE:
		settle(sqe->addr2, sqe->addr2 ? sizeof(struct timespec) : 0, false);
		break;
	case IORING_OP_EPOLL_CTL:
		settle(sqe->addr, sqe->addr ? sizeof(struct epoll_event) : 0, false);
		break;
	case IORING_OP_FILES_UPDATE:
		settle(sqe->addr, (uint64_t)sqe->len * sizeof(int), true);
		break;
	case IORING_OP_OPENAT2:
		settle(sqe->addr2, sqe->len, false);
		settle_string(sqe->addr);
		break;
	case IORING_OP_STATX:
		settle(sqe->addr2, sizeof(struct statx), true);
		settle_string(sqe->addr);
		break;
	case IORING_OP_RENAMEAT:
	case IORING_OP_SYMLINKAT:
	case IORING_OP_LINKAT:
		settle_string(sqe->addr2);
		settle_string(sqe->addr);
		break;
	case IORING_OP_OPENAT:
	case IORING_OP_UNLINKAT:
	case IORING_OP_MKDIRAT:
		settle_string(sqe->addr);
		break;
	}
}

/* ---- Rings -------------------------------------------------------------------------------------
 */

#define RINGS 256

/* What a ring's maker was told. A slot is found by its descriptor; a newer ring takes it over. */
static struct ring {
	_Atomic int fd; /* plus one */
	struct io_uring_params params;
} rings[RINGS];

static void remember(int fd, const struct io_uring_params *params)
{
	struct ring *r = NULL;
	int none;

	for (unsigned i = 0; i < RINGS && !r; i++)
		if (atomic_load(&rings[i].fd) == fd + 1)
			r = &rings[i];
	for (unsigned i = 0; i < RINGS && !r; i++) {
		none = 0;
		if (atomic_compare_exchange_strong(&rings[i].fd, &none, -1))
			r = &rings[i];
	}
	if (!r)
		return;
	r->params = *params;
	atomic_store(&r->fd, fd + 1);
}

static struct ring *ring_of(int fd)
{
	for (unsigned i = 0; i < RINGS; i++)
		if (atomic_load(&rings[i].fd) == fd + 1)
			return &rings[i];
	return NULL;
}

long calls_uring_setup(long nr, const long a[6])
{
	struct calls_row row = {
		.arg[1] = {CALLS_FIXED, CALLS_IN | CALLS_OUT, 0, sizeof(struct io_uring_params)}};
	struct io_uring_params params;
	long fd = calls_again(&row, nr, a);

	if (fd >= 0) {
		memcpy(&params, (const void *)a[1], sizeof(params));
		remember((int)fd, &params);
	}
	return fd;
}

/* A view of a part of a ring: of our own, unless the program brought the memory. */
struct view {
	const char *at;
	uint64_t size;
	bool mapped;
};

static void view_put(struct view *v)
{
	if (v->mapped)
		SYS(SYS_munmap, v->at, v->size);
}

static bool view_get(struct view *v, const struct ring *r, int fd, uint64_t user, uint64_t size,
		     uint64_t off)
{
	long map;

	*v = (struct view){(const char *)user, size, false};
	if (r->params.flags & SETUP_NO_MMAP)
		return true;
	map = SYS(SYS_mmap, 0, size, PROT_READ, MAP_SHARED, fd, off);
	if ((unsigned long)map >= -4095ul)
		return false;
	v->at = (const char *)map;
	v->mapped = true;
	return true;
}

static void settle_queue(const struct ring *r, const char *queue, const char *sqes, uint32_t n)
{
	const struct io_sqring_offsets *off = &r->params.sq_off;
	uint32_t head = atomic_load((const _Atomic uint32_t *)(queue + off->head));
	uint32_t tail = atomic_load((const _Atomic uint32_t *)(queue + off->tail));
	unsigned shift = r->params.flags & IORING_SETUP_SQE128 ? 7 : 6;
	uint32_t entries = r->params.sq_entries, index;
	struct io_uring_sqe sqe;

	for (; n > 0 && head != tail; n--, head++) {
		index = head & (entries - 1);
		if (!(r->params.flags & SETUP_NO_SQARRAY))
			index = *(const uint32_t *)(queue + off->array + index * sizeof(index));
		if (index >= entries)
			continue;
		memcpy(&sqe, sqes + ((uint64_t)index << shift), sizeof(sqe));
		settle_data(&sqe);
		settle_arguments(&sqe);
	}
}

static void settle_submitted(int fd, uint32_t n)
{
	struct view queue __attribute__((cleanup(view_put))) = {0};
	struct view sqes __attribute__((cleanup(view_put))) = {0};
	const struct ring *r = ring_of(fd);
	const struct io_uring_params *p;

	if (!r)
		return;
	p = &r->params;
	if (view_get(&queue, r, fd, p->cq_off.resv2,
		     p->sq_off.array + (uint64_t)p->sq_entries * sizeof(uint32_t),
		     IORING_OFF_SQ_RING) &&
	    view_get(&sqes, r, fd, p->sq_off.resv2,
		     (uint64_t)p->sq_entries << (p->flags & IORING_SETUP_SQE128 ? 7 : 6),
		     IORING_OFF_SQES))
		settle_queue(r, queue.at, sqes.at, n);
}

/* The extended argument names a mask and a time. */
static void settle_wait(const long a[6])
{
	struct io_uring_getevents_arg arg;

	if (!(a[3] & IORING_ENTER_EXT_ARG) || !a[4] ||
	    calls_copy_in(&arg, (uint64_t)a[4], sizeof(arg)) != 0)
		return;
	settle(arg.sigmask, arg.sigmask ? arg.sigmask_sz : 0, false);
	settle(arg.ts, arg.ts ? sizeof(struct timespec) : 0, false);
}

void calls_uring_ready(const long a[6])
{
	if (!front_managing())
		return;
	if (a[1] && !(a[3] & IORING_ENTER_REGISTERED_RING))
		settle_submitted((int)a[0], (uint32_t)a[1]);
	settle_wait(a);
}

long calls_uring_enter(long nr, const long a[6])
{
	struct calls_row row = {.arg[4] = {CALLS_COUNT, CALLS_IN, 5, 1}};

	calls_uring_ready(a);
	return calls_again(&row, nr, a);
}

/* Buffers are pinned as if they were to be written. */
static void settle_registered(const long a[6])
{
	struct io_uring_rsrc_register more;

	switch ((unsigned)a[1]) {
	case IORING_REGISTER_BUFFERS:
		settle_iov((uint64_t)a[2], (uint64_t)a[3], true);
		break;
	case IORING_REGISTER_BUFFERS2:
		if (calls_copy_in(&more, (uint64_t)a[2], sizeof(more)) == 0)
			settle_iov(more.data, more.nr, true);
		break;
	}
}

static struct calls_arg register_arg(unsigned op)
{
	switch (op) {
	case IORING_REGISTER_BUFFERS:
		return (struct calls_arg){CALLS_COUNT, CALLS_IN, 3, sizeof(struct iovec)};
	case IORING_REGISTER_FILES:
	case IORING_REGISTER_EVENTFD:
	case IORING_REGISTER_EVENTFD_ASYNC:
		return (struct calls_arg){CALLS_COUNT, CALLS_IN, 3, sizeof(int)};
	case IORING_REGISTER_PROBE:
		return (struct calls_arg){CALLS_FIXED, CALLS_IN | CALLS_OUT, 0, 16 + 256 * 8};
	case IORING_REGISTER_BUFFERS2:
	case IORING_REGISTER_FILES2:
	case IORING_REGISTER_BUFFERS_UPDATE:
	case IORING_REGISTER_FILES_UPDATE2:
		return (struct calls_arg){CALLS_COUNT, CALLS_IN, 3, 1};
	case IORING_REGISTER_RING_FDS:
		return (struct calls_arg){CALLS_COUNT, CALLS_IN | CALLS_OUT, 3, 16};
	}
	return (struct calls_arg){CALLS_FIXED, CALLS_IN, 0, 16};
}

long calls_uring_register(long nr, const long a[6])
{
	struct calls_row row = {.arg[2] = register_arg((unsigned)a[1])};

	if (front_managing())
		settle_registered(a);
	return calls_again(&row, nr, a);
}

/* ---- io_submit ---------------------------------------------------------------------------------
 */

static void settle_iocb(uint64_t at)
{
	struct iocb cb;

	if (calls_copy_in(&cb, at, sizeof(cb)) != 0)
		return;
	/* The kernel notes in it that it has it. */
	settle(at, sizeof(cb), true);
	switch (cb.aio_lio_opcode) {
	case IOCB_CMD_PREAD:
	case IOCB_CMD_PWRITE:
		settle(cb.aio_buf, cb.aio_nbytes, cb.aio_lio_opcode == IOCB_CMD_PREAD);
		break;
	case IOCB_CMD_PREADV:
	case IOCB_CMD_PWRITEV:
		settle_iov(cb.aio_buf, cb.aio_nbytes, cb.aio_lio_opcode == IOCB_CMD_PREADV);
		break;
	}
}

long calls_io_submit(long nr, const long a[6])
{
	uint64_t at = (uint64_t)a[2], cb;

	if (front_managing())
		for (long i = 0; i < a[1] && i < 65536; i++, at += sizeof(cb)) {
			if (calls_copy_in(&cb, at, sizeof(cb)) != 0)
				break;
			settle_iocb(cb);
		}
	return gate_raw(nr, a);
}
