/* SPDX-License-Identifier: MIT */
/* The library's descriptor: call for call the kernel's, with negative errnos. */
#include "lib.h"

static char *area;

static void *touch(void *arg)
{
	return (void *)(intptr_t)((char *)arg)[5];
}

static void serve(int fd, char *page, int byte)
{
	static char contents[PG];
	struct uf_copy copy = {.dst = (uintptr_t)page, .src = (uintptr_t)contents, .len = PG};
	struct uf_msg msg;

	EQ(uf_read(fd, &msg, sizeof(msg)), sizeof(msg));
	EQ(msg.event, UF_EVENT_PAGEFAULT);
	EQ(msg.arg.pagefault.address, (uintptr_t)page);
	EQ(msg.arg.pagefault.flags, 0);
	memset(contents, byte, PG);
	EQ(uf_ioctl(fd, UF_IO_COPY, &copy), 0);
	EQ(copy.copy, PG);
}

static void fault(int fd, char *page, int byte)
{
	pthread_t thread;
	void *seen;

	EQ(pthread_create(&thread, NULL, touch, page), 0);
	serve(fd, page, byte);
	EQ(pthread_join(thread, &seen), 0);
	EQ((intptr_t)seen, byte);
}

int main(void)
{
	struct uf_api api = {.api = UF_API};
	struct uf_register range = {.mode = UF_REGISTER_MODE_MISSING};
	struct pollfd pollfd = {.events = POLLIN};
	struct uf_msg msg;
	pthread_t thread;
	int fd, second;

	start();
	EQ(uf_open(0x4000000), -EINVAL);
	EQ(uf_ioctl(0, UF_IO_API, &api), -EBADF);
	EQ(uf_read(-1, &msg, sizeof(msg)), -EBADF);
	EQ(uf_close(1), -EBADF);
	fd = uf_open(O_CLOEXEC);
	CHECK(fd >= 0);
	EQ(uf_ioctl(fd, UF_IO_REGISTER, &range), -EINVAL);
	EQ(uf_ioctl(fd, UF_IO_API, &api), 0);
	EQ(uf_ioctl(fd, UF_IO_API, NULL), -EFAULT);

	area = map(4);
	range.range.start = (uintptr_t)area;
	range.range.len = 4 * PG;
	EQ(uf_ioctl(fd, UF_IO_REGISTER, &range), 0);
	fault(fd, area, 7);

	/* The program's own fcntl and poll, and a duplicate. */
	EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	EQ(uf_read(fd, &msg, sizeof(msg)), -EAGAIN);
	pollfd.fd = fd;
	EQ(poll(&pollfd, 1, 0), 0);
	EQ(pthread_create(&thread, NULL, touch, area + PG), 0);
	EQ(poll(&pollfd, 1, -1), 1);
	EQ(pollfd.revents, POLLIN);
	second = dup(fd);
	serve(second, area + PG, 9);
	EQ(pthread_join(thread, NULL), 0);
	EQ(poll(&pollfd, 1, 0), 0);

	EQ(uf_close(second), 0);
	EQ(uf_close(fd), 0);
	EQ(uf_ioctl(fd, UF_IO_API, &api), -EBADF);
	/* Ordinary memory again. */
	EQ(area[2 * PG], 0);
	EQ(area[5], 7);
	return 0;
}
