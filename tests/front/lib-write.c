/* SPDX-License-Identifier: MIT */
/* Faults are resolved by writing structs to the descriptor, several in one call. */
#include "lib.h"

static char contents[2 * PG] __attribute__((aligned(4096)));

static int make(int flags, char *area, size_t pages, uint64_t mode)
{
	struct uf_api api = {.api = UF_API};
	struct uf_register reg = {.range = {(uintptr_t)area, pages * PG}, .mode = mode};
	int fd = uf_open(O_CLOEXEC | O_NONBLOCK | flags);

	CHECK(fd >= 0);
	EQ(uf_ioctl(fd, UF_IO_API, &api), 0);
	EQ(uf_ioctl(fd, UF_IO_REGISTER, &reg), 0);
	return fd;
}

static struct uf_resolve copy(const char *dst, const char *src, size_t len, uint64_t mode)
{
	return (struct uf_resolve){(uintptr_t)dst, (uintptr_t)src, len, mode};
}

static void *toucher(void *arg)
{
	return (void *)(intptr_t) * (volatile char *)arg;
}

/* Read n messages, whatever the pace at which they come. */
static void read_messages(int fd, unsigned n)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	struct uf_msg msg;

	while (n > 0) {
		ssize_t got = uf_read(fd, &msg, sizeof(msg));

		if (got == -EAGAIN) {
			CHECK(poll(&ready, 1, -1) == 1);
			continue;
		}
		EQ(got, sizeof(msg));
		EQ(msg.event, UF_EVENT_PAGEFAULT);
		n--;
	}
}

typedef ssize_t (*write_fn)(int fd, const void *buf, size_t n);

/* Three threads wait, for three kinds of filling; one call lets them all go on. */
static void several(write_fn do_write, int flags)
{
	char *p = map(4), *from = map(1);
	int fd = make(flags, p, 4, UF_REGISTER_MODE_MISSING);
	struct uf_resolve r[3];
	pthread_t thread[3];
	void *seen[3];

	memset(from, 9, PG);
	for (int i = 0; i < 3; i++)
		EQ(pthread_create(&thread[i], NULL, toucher, p + (size_t)i * PG), 0);
	read_messages(fd, 3);
	r[0] = copy(p, contents, PG, UF_RESOLVE_COPY);
	r[1] = copy(p + PG, NULL, PG, UF_RESOLVE_ZERO);
	r[2] = copy(p + 2 * PG, from, PG, UF_RESOLVE_MOVE);
	EQ(do_write(fd, r, sizeof(r)), sizeof(r));
	for (int i = 0; i < 3; i++)
		EQ(pthread_join(thread[i], &seen[i]), 0);
	EQ((intptr_t)seen[0], contents[0]);
	EQ((intptr_t)seen[1], 0);
	EQ((intptr_t)seen[2], 9);
	EQ(from[0], 0);
	EQ(uf_close(fd), 0);
}

static void errors(void)
{
	char *p = map(6);
	int fd = make(0, p, 6, UF_REGISTER_MODE_MISSING | UF_REGISTER_MODE_WP);
	int raw = uf_open(O_CLOEXEC);
	struct uf_resolve r[3];

	EQ(uf_write(0, r, sizeof(r)), -EBADF);
	EQ(uf_write(-1, r, sizeof(r)), -EBADF);
	/* Not initialised yet, as its ioctls. */
	r[0] = copy(p, contents, PG, 0);
	EQ(uf_write(raw, r, sizeof(r[0])), -EINVAL);
	EQ(uf_close(raw), 0);

	EQ(uf_write(fd, r, 0), -EINVAL);
	EQ(uf_write(fd, r, sizeof(r[0]) - 1), -EINVAL);
	EQ(uf_write(fd, (void *)8, sizeof(r[0])), -EFAULT);
	r[0] = copy(p, contents, PG, 16);
	EQ(uf_write(fd, r, sizeof(r[0])), -EINVAL);
	r[0] = copy(p, contents, PG, UF_RESOLVE_ZERO);
	EQ(uf_write(fd, r, sizeof(r[0])), -EINVAL);
	r[0] = copy(p, contents, PG, UF_RESOLVE_MOVE | UF_RESOLVE_WP);
	EQ(uf_write(fd, r, sizeof(r[0])), -EINVAL);
	r[0] = copy(p + 1, contents, PG, 0);
	EQ(uf_write(fd, r, sizeof(r[0])), -EINVAL);
	r[0] = copy(p, (void *)8, PG, 0);
	EQ(uf_write(fd, r, sizeof(r[0])), -EFAULT);

	/* What follows a failing struct is not looked at; half a struct at the end neither. */
	r[0] = copy(p, contents, PG, 0);
	r[1] = copy(p, contents, PG, 0);
	r[2] = copy(p + PG, contents, PG, 0);
	EQ(uf_write(fd, r, sizeof(r)), sizeof(r[0]));
	EQ(uf_write(fd, r, sizeof(r)), -EEXIST);
	EQ(uf_write(fd, r + 2, sizeof(r[0])), sizeof(r[0]));
	r[0] = copy(p + 2 * PG, contents, PG, 0);
	r[1] = copy(p + 3 * PG, contents, PG, 0);
	EQ(uf_write(fd, r, sizeof(r[0]) + 31), sizeof(r[0]));
	EQ(uf_write(fd, r + 1, sizeof(r[0])), sizeof(r[0]));
	EQ(uf_close(fd), 0);
}

static void partial(void)
{
	char *p = map(3);
	struct uf_resolve r;
	int fd;

	p[PG] = 1;
	fd = make(0, p, 3, UF_REGISTER_MODE_MISSING);
	r = copy(p, contents, 2 * PG, 0);
	EQ(uf_write(fd, &r, sizeof(r)), -EAGAIN);
	EQ(memcmp(p, contents, PG), 0);
	EQ(p[PG], 1);
	EQ(uf_write(fd, &r, sizeof(r)), -EEXIST);
	EQ(uf_close(fd), 0);
}

static void marks(void)
{
	char *p = map(2);
	int fd = make(0, p, 2, UF_REGISTER_MODE_MISSING | UF_REGISTER_MODE_WP);
	struct uf_writeprotect release = {.range = {(uintptr_t)p, PG}};
	struct uf_range range = {(uintptr_t)p + PG, PG};
	struct uf_resolve r = copy(p, contents, PG, UF_RESOLVE_WP);
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	pthread_t thread;
	void *seen;

	EQ(uf_write(fd, &r, sizeof(r)), sizeof(r));
	EQ(p[1], contents[1]);
	EQ(poll(&ready, 1, 0), 0);
	EQ(uf_ioctl(fd, UF_IO_WRITEPROTECT, &release), 0);

	/* Filled, and still asleep until somebody wakes. */
	EQ(pthread_create(&thread, NULL, toucher, p + PG), 0);
	read_messages(fd, 1);
	r = copy(p + PG, contents, PG, UF_RESOLVE_DONTWAKE);
	EQ(uf_write(fd, &r, sizeof(r)), sizeof(r));
	EQ(pthread_tryjoin_np(thread, &seen), EBUSY);
	EQ(uf_ioctl(fd, UF_IO_WAKE, &range), 0);
	EQ(pthread_join(thread, &seen), 0);
	EQ((intptr_t)seen, contents[0]);
	EQ(uf_close(fd), 0);
}

/* write(2) itself, where it is ours. */
static ssize_t system_write(int fd, const void *buf, size_t n)
{
	ssize_t done = write(fd, buf, n);

	return done < 0 ? -errno : done;
}

static void by_system_call(void)
{
	char *p = map(1);
	int fd = make(0, p, 1, UF_REGISTER_MODE_MISSING);
	struct uf_resolve r = copy(p, contents, PG, 0);

	EQ(system_write(fd, &r, sizeof(r)), -EBADF);
	EQ(uf_write(fd, &r, sizeof(r)), sizeof(r));
	EQ(uf_close(fd), 0);
	several(system_write, UF_RESOLVE_BY_WRITE);
}

int main(void)
{
	const char *preload = getenv("LD_PRELOAD");

	start();
	for (size_t i = 0; i < sizeof(contents); i++)
		contents[i] = (char)(i * 3 + 1);
	several(uf_write, 0);
	errors();
	partial();
	marks();
	if (preload && strstr(preload, "userfault"))
		by_system_call();
	return 0;
}
