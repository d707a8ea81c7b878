/* SPDX-License-Identifier: MIT */
/* Numbers come, go and are used again; a userfaultfd lives until its last descriptor is closed. */
#include "abi.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

static char *p;

static void serves(int fd, int page)
{
	struct thread t;

	reader(&t, p + page * PG);
	FAULT(fd, p + page * PG, 0);
	DONE(copy(fd, p + page * PG, page_of(page + 1), PG, 0), PG);
	join(&t);
	EQ(t.byte, page + 1);
}

/* No handler any more: an access finds ordinary memory. */
static void gone(int page)
{
	EQ(try_read(p + page * PG, NULL), 0);
	EQ(p[page * PG], 0);
}

static int fresh(int pages)
{
	int fd = uffd_open(0);

	p = map(pages);
	EQ(reg(fd, p, pages * PG, MISSING), 0);
	return fd;
}

/* The number means another file now. */
static void reuse(void)
{
	char text[8] = "";
	int pipes[2], fd = fresh(2), number = fd;

	EQ(pipe(pipes), 0);
	serves(fd, 0);
	EQ(dup2(pipes[0], number), number);
	gone(1);
	EQ(write(pipes[1], "hello", 5), 5);
	EQ(read(number, text, sizeof(text)), 5);
	EQ(memcmp(text, "hello", 5), 0);
	EQ(ioctl(number, UFFDIO_API, text), -1);
	EQ(errno, ENOTTY);
	EQ(close(number), 0);
	number = eventfd(3, 0);
	uint64_t value;
	EQ(read(number, &value, sizeof(value)), sizeof(value));
	EQ(value, 3);
	close(number);
	close(pipes[0]);
	close(pipes[1]);
}

static void duplicates(void)
{
	int fd = fresh(8), a, b, c;

	a = dup(fd);
	b = fcntl(fd, F_DUPFD, 1030);
	c = dup3(fd, 1031, O_CLOEXEC);
	EQ(c, 1031);
	CHECK(b >= 1030);
	EQ(close(fd), 0);
	ERR(ioctl(fd, UFFDIO_API, p), EBADF);
	serves(a, 0);
	serves(b, 1);
	EQ(dup2(a, a), a);
	serves(a, 2);
	EQ(close_range(a, b, 0), 0);
	serves(c, 3);
	/* To be closed at exec only. */
	EQ(close_range(c, c, 1u << 2), 0);
	serves(c, 4);
	FILE *stream = fdopen(c, "r");
	CHECK(stream);
	EQ(fileno(stream), c);
	serves(c, 5);
	EQ(fclose(stream), 0);
	gone(6);
	ERR(fcntl(c, F_GETFD), EBADF);
}

/* A program that closes all it does not know takes nothing from us. */
static void close_everything(void)
{
	int fd = fresh(2), i;

	for (i = 3; i < 70000; i++)
		if (i != fd)
			close(i);
	EQ(close_range(fd + 1, ~0u, 0), 0);
	if (fd > 3)
		EQ(close_range(3, fd - 1, 0), 0);
	serves(fd, 0);
	closefrom(3);
	gone(1);
	fd = fresh(1);
	serves(fd, 0);
	close(fd);
}

/* Another thread's close does not wake a reader, and the number may mean something else by then. */
static void *read_one(void *arg)
{
	static struct uffd_msg msg;

	return (void *)(intptr_t)read(*(int *)arg, &msg, sizeof(msg));
}

static void close_under_reader(void)
{
	uint64_t value = 0;
	struct thread waiter, t;
	int fd = uffd_new(0), number = fd, second = dup(fd), event;
	void *result;

	EQ(uffd_api(fd, 0), 0);
	p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	run(&waiter, read_one, &number);
	CHECK(blocked(&waiter));
	event = eventfd(5, EFD_NONBLOCK);
	EQ(dup2(event, number), number);
	CHECK(blocked(&waiter));
	reader(&t, p);
	EQ(pthread_join(waiter.id, &result), 0);
	EQ((intptr_t)result, sizeof(struct uffd_msg));
	EQ(read(number, &value, sizeof(value)), sizeof(value));
	EQ(value, 5);
	DONE(zeropage(second, p, PG, 0), PG);
	join(&t);
	close(second);
	close(number);
	close(event);
}

int main(void)
{
	start();
	reuse();
	duplicates();
	close_under_reader();
	close_everything();
	return 0;
}
