/*
 * fuzz-handshake: VMMs that send nonsense. Each connects, sends a message that was right before it
 * was spoiled, with descriptors that may be anything, and goes away; now and then one is right.
 * What the server makes of it is its own business, as long as it goes on.
 */
#include <errno.h>
#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../abi/uffd_abi.h"
#include "image.h"

#define TEXT	    (256u << 10)
#define DESCRIPTORS 20u
#define PER_PROCESS 250u /* messages; with it all that was attached goes */
#define MEMORY	    (16ul * PAGE)
#define KINDS	    10u

static const char *path;
static uint64_t random_state;

static uint64_t any(uint64_t below)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return mix(random_state, 9) % below;
}

/* ---- messages
 */

static const uint64_t odd_numbers[] = {
	0,
	1,
	4095,
	4096,
	4097,
	2097152,
	1ull << 31,
	(1ull << 32) - 1,
	1ull << 32,
	1ull << 47,
	(1ull << 47) - 4096,
	1ull << 48,
	1ull << 52,
	1ull << 62,
	(1ull << 63) - 1,
	1ull << 63,
	UINT64_MAX - 4095,
	UINT64_MAX - 4096,
	UINT64_MAX,
};

static uint64_t odd_number(uint64_t right)
{
	switch (any(6)) {
	case 0:
		return odd_numbers[any(sizeof(odd_numbers) / sizeof(odd_numbers[0]))];
	case 1:
		return right + any(3) - 1;
	case 2:
		return right + PAGE * any(64);
	case 3:
		return right - PAGE * any(64);
	case 4:
		return any(UINT64_MAX);
	default:
		return right;
	}
}

static int region(char *text, size_t size, uint64_t base, bool spoil)
{
	uint64_t value[4] = {base, MEMORY, 0, PAGE};

	if (spoil)
		value[any(4)] = odd_number(value[any(4)]);
	return snprintf(text, size,
			"{\"base_host_virt_addr\":%" PRIu64 ",\"size\":%" PRIu64
			",\"offset\":%" PRIu64 ",\"page_size\":%" PRIu64
			",\"page_size_kib\":%" PRIu64 "}",
			value[0], value[1], value[2], value[3], value[3]);
}

/* Several regions: of them some overlap, wrap, or are beyond everything. */
static size_t regions(char *text, uint64_t base, bool spoil)
{
	unsigned many = spoil && any(8) == 0 ? 600 : 4;
	unsigned count = spoil ? (unsigned)any(many) : 1;
	size_t n = 0;

	text[n++] = '[';
	for (unsigned i = 0; i < count; i++) {
		if (i)
			text[n++] = ',';
		n += (size_t)region(text + n, TEXT - n, base, spoil && any(3) == 0);
	}
	text[n++] = ']';
	return n;
}

static const char *const words[] = {
	"[",
	"]",
	"{",
	"}",
	",",
	":",
	"\"",
	"null",
	"true",
	"-1",
	"1e308",
	"0x10",
	"[[[[[[[[[[[[[[[[",
	"\"size\"",
	"\"base_host_virt_addr\":",
	"\\u0000",
	"\xff\xfe",
	"9999999999999999999999999",
	"{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}",
	"1.5",
	"\"4096\"",
	"  \n\t",
	"[]",
	"{}",
	"-0",
	"//",
};

static void overwrite(char *text, size_t *n)
{
	for (uint64_t i = any(8) + 1; i-- && *n;)
		text[any(*n)] = (char)any(256);
}

static void cut(char *text, size_t *n)
{
	size_t at = any(*n + 1), len = any(*n - at + 1);

	memmove(text + at, text + at + len, *n - at - len);
	*n -= len;
}

static void insert(char *text, size_t *n)
{
	const char *word = words[any(sizeof(words) / sizeof(words[0]))];
	size_t at = any(*n + 1), len = strlen(word);

	if (*n + len > TEXT)
		return;
	memmove(text + at + len, text + at, *n - at);
	memcpy(text + at, word, len);
	*n += len;
}

static void grow(char *text, size_t *n)
{
	size_t len = any(TEXT - *n) + 1;

	memset(text + *n, "[ {9a"[any(5)], len);
	*n += len;
}

static size_t compose(char *text, uint64_t base)
{
	static void (*const spoilers[])(char *text, size_t *n) = {overwrite, cut, insert, insert};
	size_t n = regions(text, base, any(8) != 0);

	if (any(3) == 0)
		for (uint64_t i = any(4) + 1; i--;)
			spoilers[any(4)](text, &n);
	if (any(64) == 0)
		grow(text, &n);
	return n;
}

/* ---- descriptors
 */

static int make_uffd(bool api, char *memory)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api a = {.api = UFFD_API, .features = UFFD_FEATURE_EVENT_REMOVE};
	struct uffdio_register reg = {
		.range = {.start = (uintptr_t)memory, .len = MEMORY},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (fd >= 0 && api && ioctl(fd, UFFDIO_API, &a) == 0 && memory)
		ioctl(fd, UFFDIO_REGISTER, &reg);
	return fd;
}

/* Several of each kind that a program can have. */
static int make(unsigned kind, char *memory)
{
	int pair[2];

	switch (kind) {
	case 0:
		return make_uffd(true, memory);
	case 1:
		return make_uffd(false, NULL);
	case 2:
		return make_uffd(true, NULL);
	case 3:
		return pipe2(pair, O_CLOEXEC) ? -1 : (close(pair[1]), pair[0]);
	case 4:
		return memfd_create("nonsense", MFD_CLOEXEC);
	case 5:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 6:
		return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)
			       ? -1
			       : (close(pair[1]), pair[0]);
	case 7:
		return eventfd(1, EFD_CLOEXEC);
	case 8:
		return epoll_create1(EPOLL_CLOEXEC);
	default:
		return open("/", O_PATH | O_CLOEXEC);
	}
}

static unsigned descriptors(int *fds, char *memory)
{
	unsigned n = 1;

	if (any(3) == 0)
		n = (unsigned)any(4);
	if (any(16) == 0)
		n = (unsigned)any(DESCRIPTORS + 1);
	for (unsigned i = 0; i < n; i++)
		fds[i] = make(any(2) ? 0 : (unsigned)any(KINDS), memory);
	while (n && fds[n - 1] < 0)
		n--;
	for (unsigned i = 0; i < n; i++)
		if (fds[i] < 0)
			fds[i] = dup(fds[n - 1]);
	return n;
}

/* ---- sending
 */

static int connect_to_server(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		err(1, "cannot connect to %s", path);
	return fd;
}

static void send_some(int to, char *text, size_t n, int *fds, unsigned nfds)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = text, .iov_len = n};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nfds) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, nfds * sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	}
	/* One that was refused meanwhile has no ear for the rest. */
	if (sendmsg(to, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EPIPE &&
	    errno != ECONNRESET && errno != EAGAIN && errno != ETOOMANYREFS)
		err(1, "sendmsg");
}

static void send_one(char *text, char *memory)
{
	int to = connect_to_server(), fds[DESCRIPTORS];
	size_t n = compose(text, (uintptr_t)memory), first = n;
	unsigned nfds = descriptors(fds, memory);
	struct pollfd answer = {.fd = to, .events = POLLIN};

	/* In pieces, of which one or several have descriptors. */
	if (any(8) == 0 && n > 1)
		first = any(n);
	send_some(to, text, first, fds, any(16) ? nfds : 0);
	if (first < n)
		send_some(to, text + first, n - first, fds, any(4) ? 0 : nfds);
	if (any(8) == 0)
		shutdown(to, SHUT_WR);
	/* Some wait for what the server says, which is nothing, or for its hanging up. */
	if (any(16) == 0)
		poll(&answer, 1, 5);
	close(to);
	for (unsigned i = 0; i < nfds; i++)
		close(fds[i]);
}

static void send_many(unsigned n)
{
	char *text = malloc(TEXT);
	char *memory =
		mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!text || memory == MAP_FAILED)
		err(1, "memory");
	while (n--)
		send_one(text, memory);
	_exit(0);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'},
		{"messages", required_argument, NULL, 'm'},
		{"seed", required_argument, NULL, 'e'},
		{0},
	};
	uint64_t messages = 1000, seed = 1, sent = 0;
	int c, status;
	pid_t child;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			path = optarg;
		if (c == 'm')
			messages = strtoull(optarg, NULL, 0);
		if (c == 'e')
			seed = strtoull(optarg, NULL, 0);
	}
	if (!path || strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		errx(2, "usage: fuzz-handshake --socket=PATH [--messages=N] [--seed=N]");
	while (sent < messages) {
		unsigned n =
			messages - sent < PER_PROCESS ? (unsigned)(messages - sent) : PER_PROCESS;

		random_state = mix(seed, sent);
		child = fork();
		if (child < 0)
			err(1, "fork");
		if (child == 0)
			send_many(n);
		if (waitpid(child, &status, 0) != child || status != 0)
			errx(1, "after %" PRIu64 " messages with seed %" PRIu64 " it failed", sent,
			     seed);
		sent += n;
	}
	printf("messages=%" PRIu64 " seed=%" PRIu64 "\n", sent, seed);
	return 0;
}
