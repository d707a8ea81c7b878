/*
 * guest.c - a guest of the page server, which does what it is told on stdin, a line at a time, and
 * answers each with a line on stdout.
 *
 *   guest SOCKET SOURCE [minor] [events] [keep] [pieces] [helper] [forks]
 *
 * SOURCE is the file that the server serves, or one with the same contents: all of it is mapped, in
 * two regions. minor: through a memory file. events: REMOVE events. keep: does not close the
 * connection. pieces: sends its message byte by byte. helper: a child of it connects, and has ended
 * when it says that it is here. forks: FORK events.
 *
 *   touch N     N pages more, in an order of its own: "touched N slowest MICROSECONDS bad N bus N"
 *   remove N    gives the first N pages back: "removed N"
 *   check       all pages: as touch
 *   cut N       N times: its memory file is cut to nothing and made whole, and all of it is touched
 *   flood       gives pages back and touches them until there is another line: "flooded N"
 *   fork        a child of it checks all pages: as touch
 *   alive       is the connection open? "open" or "closed"
 *   closed      waits until it is not: "closed"
 *   quit
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

static bool minor, events, keep, pieces, helper, forks;
static const size_t page = 4096;
static size_t size, npages, done, removed;
static unsigned char *memory, *source;
static int uffd, memfd = -1, connection = -1;
static sigjmp_buf bus;

static void fail(const char *what)
{
	printf("failed %s: %s\n", what, strerror(errno));
	exit(1);
}

static void on_bus(int signal)
{
	(void)signal;
	siglongjmp(bus, 1);
}

static void open_source(const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		fail(path);
	size = (size_t)st.st_size;
	npages = size / page;
	source = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (source == MAP_FAILED)
		fail("mmap of the source");
	close(fd);
}

static void map_memory(void)
{
	int flags = minor ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;

	if (minor) {
		memfd = memfd_create("guest", 0);
		if (memfd < 0 || ftruncate(memfd, (off_t)size) != 0)
			fail("memfd");
	}
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, memfd, 0);
	if (memory == MAP_FAILED)
		fail("mmap");
}

static void open_uffd(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.range = {(uintptr_t)memory, size},
				      .mode = UFFDIO_REGISTER_MODE_MISSING};

	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (uffd < 0)
		uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (uffd < 0) {
		printf("none\n");
		exit(77);
	}
	if (events)
		api.features |= UFFD_FEATURE_EVENT_REMOVE;
	if (forks)
		api.features |= UFFD_FEATURE_EVENT_FORK;
	if (minor) {
		api.features |= UFFD_FEATURE_MINOR_SHMEM;
		reg.mode = UFFDIO_REGISTER_MODE_MINOR | UFFDIO_REGISTER_MODE_MISSING;
	}
	if (ioctl(uffd, UFFDIO_API, &api) != 0)
		fail("UFFDIO_API");
	if (ioctl(uffd, UFFDIO_REGISTER, &reg) != 0)
		fail("UFFDIO_REGISTER");
}

static void send_part(const char *text, size_t len, const int *fds, size_t n)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {0};
	struct iovec iov = {(void *)text, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c = (struct cmsghdr *)control;

	if (n > 0) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
	}
	if (sendmsg(connection, &m, MSG_NOSIGNAL) != (ssize_t)len)
		fail("sendmsg");
}

static void introduce(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t half = npages / 2 * page, len;
	int fds[2] = {uffd, memfd};
	char text[1024];

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connection < 0 || connect(connection, (struct sockaddr *)&a, sizeof(a)) != 0)
		fail("connect");
	len = (size_t)snprintf(
		text, sizeof(text),
		"[{\"base_host_virt_addr\":%zu,\"size\":%zu,\"offset\":0,\"page_size\":%zu,"
		"\"page_size_kib\":%zu},{\"base_host_virt_addr\":%zu,\"size\":%zu,\"offset\":%zu,"
		"\"page_size\":%zu,\"page_size_kib\":%zu}]",
		(size_t)(uintptr_t)memory, half, page, page, (size_t)(uintptr_t)memory + half,
		size - half, half, page, page);
	if (!pieces) {
		send_part(text, len, fds, minor ? 2 : 1);
	} else {
		for (size_t i = 0; i < len; i++)
			send_part(text + i, 1, fds, i ? 0 : minor ? 2 : 1);
	}
	if (!keep) {
		close(connection);
		connection = -1;
	}
}

/* It is gone when this returns. */
static void introduce_by_helper(const char *path)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		introduce(path);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		fail("the helper");
}

/* ---- what is asked for
 */

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* 0: right, 1: wrong, 2: SIGBUS. */
static int touch(size_t i)
{
	static const unsigned char zeros[4096];
	const unsigned char *expected = i < removed ? zeros : source + i * page;

	if (sigsetjmp(bus, 1))
		return 2;
	return memcmp(memory + i * page, expected, page) != 0;
}

static void touch_pages(size_t n, bool all)
{
	size_t bad = 0, gone = 0, i = 0;
	uint64_t slowest = 0;

	for (; i < n && (all || done < npages); i++) {
		/* An odd step goes over a power of two of pages, each once. */
		size_t at = all ? i : done++ * 7919 % npages;
		uint64_t begin = now_us(), took;
		int how = touch(at);

		took = now_us() - begin;
		slowest = took > slowest ? took : slowest;
		bad += how == 1;
		gone += how == 2;
	}
	printf("touched %zu slowest %ju bad %zu bus %zu\n", i, (uintmax_t)slowest, bad, gone);
}

/* What is read then is nobody's concern; a page may fail. */
static void cut(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (ftruncate(memfd, 0) != 0 || ftruncate(memfd, (off_t)size) != 0)
			fail("ftruncate");
		for (size_t at = 0; at < npages; at++)
			touch(at);
	}
	printf("cut %zu\n", n);
}

static void flood(void)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	size_t n = 0;

	for (; poll(&p, 1, 0) == 0; n++) {
		unsigned char *at = memory + n % npages * page;

		if (madvise(at, page, MADV_DONTNEED) != 0)
			fail("madvise");
		*(volatile unsigned char *)at;
	}
	printf("flooded %zu\n", n);
}

static void fork_and_check(void)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		touch_pages(npages, true);
		fflush(stdout);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		fail("fork");
}

static bool is_open(void)
{
	struct pollfd p = {.fd = connection, .events = POLLIN | POLLRDHUP};

	return connection >= 0 && poll(&p, 1, 0) == 0;
}

static void obey(const char *line)
{
	size_t n = 0;

	if (sscanf(line, "touch %zu", &n) == 1) {
		touch_pages(n, false);
	} else if (sscanf(line, "remove %zu", &n) == 1) {
		removed = n;
		if (madvise(memory, n * page, MADV_DONTNEED) != 0)
			fail("madvise");
		printf("removed %zu\n", n);
	} else if (sscanf(line, "cut %zu", &n) == 1) {
		cut(n);
	} else if (strncmp(line, "flood", 5) == 0) {
		flood();
	} else if (strncmp(line, "fork", 4) == 0) {
		fork_and_check();
	} else if (strncmp(line, "check", 5) == 0) {
		touch_pages(npages, true);
	} else if (strncmp(line, "stop", 4) == 0) {
		/* It has ended what was under way. */
	} else if (strncmp(line, "alive", 5) == 0) {
		puts(is_open() ? "open" : "closed");
	} else if (strncmp(line, "closed", 6) == 0) {
		struct pollfd p = {.fd = connection, .events = POLLIN | POLLRDHUP};

		poll(&p, 1, -1);
		puts("closed");
	} else {
		exit(0);
	}
}

int main(int argc, char **argv)
{
	char line[128];

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 3; i < argc; i++) {
		minor |= strcmp(argv[i], "minor") == 0;
		events |= strcmp(argv[i], "events") == 0;
		keep |= strcmp(argv[i], "keep") == 0;
		pieces |= strcmp(argv[i], "pieces") == 0;
		helper |= strcmp(argv[i], "helper") == 0;
		forks |= strcmp(argv[i], "forks") == 0;
	}
	if (argc < 3)
		return 2;
	signal(SIGBUS, on_bus);
	open_source(argv[2]);
	map_memory();
	open_uffd();
	if (helper)
		introduce_by_helper(argv[1]);
	else
		introduce(argv[1]);
	printf("here %d\n", getpid());
	while (fgets(line, sizeof(line), stdin))
		obey(line);
	return 0;
}
