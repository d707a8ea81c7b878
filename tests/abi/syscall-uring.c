/* SPDX-License-Identifier: MIT */
/*
 * io_uring: buffers, vectors, messages, paths, times and registered buffers in missing pages. How
 * many pages are asked for ahead is nobody's promise; what arrives is.
 */
#include "served.h"

#include <linux/io_uring.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define ENTRIES 8

static int ring;
static struct io_uring_params params;
static char *queue;
static struct io_uring_sqe *sqes;

static uint32_t *word(uint32_t offset)
{
	return (uint32_t *)(queue + offset);
}

static void open_ring(void)
{
	size_t size;

	ring = SYS(SYS_io_uring_setup, ENTRIES, &params);
	if (ring < 0)
		skip_host("no io_uring");
	if (!(params.features & IORING_FEAT_SINGLE_MMAP))
		skip_host("an old io_uring");
	size = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
	if (size < params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe))
		size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
	queue = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	CHECK(queue != MAP_FAILED);
	sqes = mmap(NULL, params.sq_entries * sizeof *sqes, PROT_READ | PROT_WRITE, MAP_SHARED,
		    ring, IORING_OFF_SQES);
	CHECK(sqes != MAP_FAILED);
}

static void push(struct io_uring_sqe sqe)
{
	uint32_t *tail = word(params.sq_off.tail), index = *tail & (params.sq_entries - 1);

	sqes[index] = sqe;
	word(params.sq_off.array)[index] = index;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
}

static int pop(void)
{
	uint32_t *head = word(params.cq_off.head), mask = params.cq_entries - 1;

	while (__atomic_load_n(word(params.cq_off.tail), __ATOMIC_ACQUIRE) == *head)
		EQ(SYS(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0), 0);
	struct io_uring_cqe *cqe =
		(struct io_uring_cqe *)(queue + params.cq_off.cqes) + (*head & mask);
	int res = cqe->res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return res;
}

static int one(struct io_uring_sqe sqe)
{
	push(sqe);
	EQ(SYS(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0), 1);
	return pop();
}

static struct io_uring_sqe op(int code, int fd, const void *addr, unsigned len, uint64_t off)
{
	return (struct io_uring_sqe){
		.opcode = code, .fd = fd, .addr = (uintptr_t)addr, .len = len, .off = off};
}

static void files(void)
{
	char text[2 * PG], *a, *b;
	int fd = memfd_create("abi", MFD_CLOEXEC);

	memset(text, 'u', sizeof text);
	EQ(one(op(IORING_OP_WRITE, fd, lend_over(text, sizeof text), sizeof text, 0)), sizeof text);
	CHECK(asked() > 0);
	a = lend_over(NULL, 2 * PG);
	EQ(one(op(IORING_OP_READ, fd, a, 2 * PG, 0)), 2 * PG);
	CHECK(all(a, 2 * PG, 'u'));
	CHECK(asked() > 0);
	struct iovec out[2] = {{lend("vec", 3), 3}, {lend("tor", 3), 3}};
	EQ(one(op(IORING_OP_WRITEV, fd, lend_over(out, sizeof out), 2, 10)), 6);
	struct iovec in[2] = {{a = lend(NULL, 4), 4}, {b = lend(NULL, 4), 4}};
	EQ(one(op(IORING_OP_READV, fd, lend(in, sizeof in), 2, 10)), 8);
	CHECK(memcmp(a, "vect", 4) == 0 && memcmp(b, "oruu", 4) == 0);

	struct io_uring_sqe sqe = op(IORING_OP_OPENAT, AT_FDCWD, lend_string("/dev/null"), 0, 0);
	sqe.open_flags = O_RDONLY;
	int opened = one(sqe);
	CHECK(opened >= 0);
	close(opened);
	struct statx *stx = lend(NULL, sizeof *stx);
	EQ(one(op(IORING_OP_STATX, AT_FDCWD, lend_string("/dev/null"), STATX_TYPE, (uintptr_t)stx)),
	   0);
	CHECK(S_ISCHR(stx->stx_mode));
	struct {
		int64_t sec, nsec;
	} soon = {0, 1000};
	EQ(one(op(IORING_OP_TIMEOUT, -1, lend(&soon, sizeof soon), 1, 0)), -ETIME);
	close(fd);
}

static void sockets(void)
{
	int pair[2];
	char *a;

	EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	EQ(one(op(IORING_OP_SEND, pair[0], lend_over("first", 5), 5, 0)), 5);
	EQ(send(pair[0], "second", 6, 0), 6);
	a = lend_over(NULL, 100);
	EQ(one(op(IORING_OP_RECV, pair[1], a, 100, 0)), 5);
	CHECK(memcmp(a, "first", 5) == 0);
	struct iovec iov = {lend(NULL, 100), 100};
	struct msghdr msg = {.msg_iov = lend(&iov, sizeof iov), .msg_iovlen = 1};
	EQ(one(op(IORING_OP_RECVMSG, pair[1], lend(&msg, sizeof msg), 1, 0)), 6);
	CHECK(memcmp(iov.iov_base, "second", 6) == 0);

	/* One that waits: its buffer is used long after it was handed over. */
	a = lend(NULL, 100);
	push(op(IORING_OP_RECV, pair[1], a, 100, 0));
	EQ(SYS(SYS_io_uring_enter, ring, 1, 0, 0, NULL, 0), 1);
	EQ(send(pair[0], "third", 5, 0), 5);
	EQ(pop(), 5);
	CHECK(memcmp(a, "third", 5) == 0);

	/* Several at once. */
	struct iovec part[2] = {{lend("fourth", 6), 6}, {lend("fifth", 5), 5}};
	for (int i = 0; i < 2; i++) {
		struct io_uring_sqe sqe =
			op(IORING_OP_WRITE, pair[0], part[i].iov_base, part[i].iov_len, -1);
		sqe.flags = IOSQE_IO_LINK * !i;
		push(sqe);
	}
	EQ(SYS(SYS_io_uring_enter, ring, 2, 2, IORING_ENTER_GETEVENTS, NULL, 0), 2);
	EQ(pop(), 6);
	EQ(pop(), 5);
	a = lend(NULL, 100);
	EQ(one(op(IORING_OP_READ, pair[1], a, 100, -1)), 6);
	CHECK(memcmp(a, "fourth", 6) == 0);
}

static void registered(void)
{
	int fd = memfd_create("abi", MFD_CLOEXEC);
	char text[PG], *a = lend(NULL, 2 * PG);
	struct iovec iov = {a, 2 * PG};

	memset(text, 'r', sizeof text);
	EQ(pwrite(fd, text, PG, 0), PG);
	asked();
	EQ(SYS(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, lend(&iov, sizeof iov), 1), 0);
	CHECK(asked() > 0);
	struct io_uring_sqe sqe = op(IORING_OP_READ_FIXED, fd, a + 100, PG, 0);
	EQ(one(sqe), PG);
	CHECK(all(a + 100, PG, 'r') && a[99] == 0 && a[100 + PG] == 0);
	memset(a, 'w', PG);
	sqe = op(IORING_OP_WRITE_FIXED, fd, a, PG, 0);
	EQ(one(sqe), PG);
	EQ(pread(fd, text, PG, 0), PG);
	CHECK(all(text, PG, 'w'));
	EQ(SYS(SYS_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, NULL, 0), 0);
}

int main(void)
{
	serve();
	open_ring();
	files();
	sockets();
	registered();
	return 0;
}
