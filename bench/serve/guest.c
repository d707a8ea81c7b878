/* SPDX-License-Identifier: MIT */
/*
 * guest.c - a guest whose memory a page server fills: connects, sends what a VMM sends, touches its
 * memory and says how long that took. It knows nothing of the server, so any that speaks the
 * protocol can be timed with it.
 *
 *   guest --socket PATH [--size BYTES] [--touch BYTES] [--order random|clusters|sequential]
 *         [--page 4096|2097152] [--seed N] [--guests N] [--image FILE]
 *
 * --touch: the working set. random: that many pages anywhere; clusters: in stretches of 2 MiB,
 * themselves and the pages in them in random order. --image: compare each page with the file.
 *
 * Prints one line of JSON: the time from connecting to the last touch, and how many touches took
 * long enough to have been faults, with their quantiles.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
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

#include "../uffd_abi.h"

enum {
	PAGE = 4096,
	CLUSTER = 2 << 20,
	EXIT_SKIP = 77,
	/* No page that is there takes that long, and no fault is served in less. */
	SLOW_NS = 1500,
};

static struct options {
	const char *socket, *order, *image;
	uint64_t size, touch, page, seed;
	unsigned guests;
} options = {.order = "random", .size = 1 << 30, .touch = 200 << 20, .page = PAGE, .guests = 1};

struct result {
	uint64_t begin, end; /* CLOCK_MONOTONIC, ns */
	uint64_t touches, slow;
	uint64_t p50, p99, longest;
};

static void die(const char *what)
{
	fprintf(stderr, "guest: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void shuffle(uint32_t *list, size_t n, uint64_t *state)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = next_random(state) % i;
		uint32_t other = list[j];

		list[j] = list[i - 1];
		list[i - 1] = other;
	}
}

static uint32_t *numbers(size_t n)
{
	uint32_t *list = malloc(n * sizeof(*list));

	if (!list)
		die("malloc");
	for (size_t i = 0; i < n; i++)
		list[i] = i;
	return list;
}

/* The pages of 4 KiB to touch, in order. */
static uint32_t *choose(size_t *count)
{
	uint64_t state = options.seed * 0x9e3779b97f4a7c15ull + 88172645463325252ull;
	size_t pages = options.size / PAGE, wanted = options.touch / PAGE;
	uint32_t *list;

	*count = wanted < pages ? wanted : pages;
	if (strcmp(options.order, "clusters") == 0) {
		size_t each = CLUSTER / PAGE, clusters = options.size / CLUSTER;
		uint32_t *which = numbers(clusters);

		shuffle(which, clusters, &state);
		list = numbers(pages);
		for (size_t i = 0; i < *count; i++)
			list[i] = which[i / each] * each + i % each;
		free(which);
		shuffle(list, *count, &state);
		return list;
	}
	list = numbers(pages);
	if (strcmp(options.order, "random") == 0)
		shuffle(list, pages, &state);
	return list;
}

static int open_uffd(void)
{
	struct uffdio_api api = {.api = UFFD_API_VERSION, .features = UFFD_FEATURE_EVENT_REMOVE};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		fprintf(stderr, "guest: userfaultfd: %s\n", strerror(errno));
		exit(EXIT_SKIP);
	}
	if (ioctl(fd, UFFDIO_API, &api) < 0)
		die("UFFDIO_API");
	return fd;
}

static char *make_memory(int uffd)
{
	int huge = options.page == PAGE ? 0 : MAP_HUGETLB;
	char *at = mmap(NULL, options.size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | huge, -1, 0);
	struct uffdio_register reg = {.range = {(uintptr_t)at, options.size},
				      .mode = UFFDIO_REGISTER_MODE_MISSING};

	if (at == MAP_FAILED)
		die("mmap");
	if (!huge)
		madvise(at, options.size, MADV_NOHUGEPAGE);
	if (ioctl(uffd, UFFDIO_REGISTER, &reg) < 0)
		die("UFFDIO_REGISTER");
	return at;
}

static int connect_to(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(to.sun_path))
		die("socket");
	strcpy(to.sun_path, path);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die(path);
	return fd;
}

static void introduce(int sock, int uffd, const char *memory)
{
	char text[256], control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec part = {text, 0};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	part.iov_len =
		snprintf(text, sizeof(text),
			 "[{\"base_host_virt_addr\":%" PRIuPTR ",\"size\":%" PRIu64
			 ",\"offset\":0,\"page_size\":%" PRIu64 ",\"page_size_kib\":%" PRIu64 "}]",
			 (uintptr_t)memory, options.size, options.page, options.page);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &uffd, sizeof(int));
	if (sendmsg(sock, &message, 0) != (ssize_t)part.iov_len)
		die("sendmsg");
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static const char *map_image(void)
{
	int fd;
	void *at;

	if (!options.image)
		return NULL;
	fd = open(options.image, O_RDONLY | O_CLOEXEC);
	at = mmap(NULL, options.size, PROT_READ, MAP_SHARED, fd, 0);
	if (fd < 0 || at == MAP_FAILED)
		die(options.image);
	return at;
}

static void run(struct result *out)
{
	int uffd = open_uffd();
	volatile char *memory = make_memory(uffd);
	const char *image = map_image();
	size_t n;
	uint32_t *list = choose(&n);
	uint32_t *took = calloc(n, sizeof(*took));
	int sock;

	if (!took)
		die("calloc");
	memset(took, 1, n * sizeof(*took));
	out->begin = now();
	sock = connect_to(options.socket);
	introduce(sock, uffd, (const char *)memory);
	for (size_t i = 0, before = now(), after; i < n; i++, before = after) {
		(void)memory[list[i] * (size_t)PAGE];
		after = now();
		took[i] = after - before > UINT32_MAX ? UINT32_MAX : after - before;
	}
	out->end = now();
	for (size_t i = 0; image && i < n; i++) {
		size_t at = list[i] * (size_t)PAGE;

		if (memcmp((const char *)memory + at, image + at, PAGE) != 0) {
			fprintf(stderr, "guest: wrong contents at offset %zu\n", at);
			exit(1);
		}
	}
	qsort(took, n, sizeof(*took), by_size);
	out->touches = n;
	while (out->slow < n && took[n - 1 - out->slow] > SLOW_NS)
		out->slow++;
	if (out->slow) {
		out->p50 = took[n - 1 - out->slow / 2];
		out->p99 = took[n - 1 - out->slow / 100];
		out->longest = took[n - 1];
	}
	close(sock);
}

/* All begin when the last one is there: when all have closed the pipe. */
static void run_many(struct result *results)
{
	int ready[2], go[2], failed = 0, status;
	char byte;

	if (pipe(ready) < 0 || pipe(go) < 0)
		die("pipe");
	for (unsigned i = 0; i < options.guests; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid > 0)
			continue;
		close(go[1]);
		close(ready[0]);
		close(ready[1]);
		while (read(go[0], &byte, 1) < 0 && errno == EINTR)
			;
		options.seed += i;
		run(&results[i]);
		exit(0);
	}
	close(ready[1]);
	while (read(ready[0], &byte, 1) < 0 && errno == EINTR)
		;
	close(go[1]);
	while (wait(&status) > 0)
		failed |= status;
	if (failed)
		exit(WIFEXITED(failed) && WEXITSTATUS(failed) == EXIT_SKIP ? EXIT_SKIP : 1);
}

static void print(const struct result *results)
{
	struct result sum = results[0];

	for (unsigned i = 1; i < options.guests; i++) {
		const struct result *r = &results[i];

		sum.begin = r->begin < sum.begin ? r->begin : sum.begin;
		sum.end = r->end > sum.end ? r->end : sum.end;
		sum.touches += r->touches;
		sum.slow += r->slow;
		sum.p50 = r->p50 > sum.p50 ? r->p50 : sum.p50;
		sum.p99 = r->p99 > sum.p99 ? r->p99 : sum.p99;
		sum.longest = r->longest > sum.longest ? r->longest : sum.longest;
	}
	printf("{\"ms\": %.3f, \"touches\": %" PRIu64 ", \"slow\": %" PRIu64
	       ", \"p50_us\": %.1f, \"p99_us\": %.1f, \"longest_us\": %.1f}\n",
	       (sum.end - sum.begin) / 1e6, sum.touches, sum.slow, sum.p50 / 1e3, sum.p99 / 1e3,
	       sum.longest / 1e3);
}

static void parse(int argc, char **argv)
{
	static const struct option names[] = {
		{"socket", required_argument, NULL, 's'},
		{"size", required_argument, NULL, 'z'},
		{"touch", required_argument, NULL, 't'},
		{"order", required_argument, NULL, 'o'},
		{"page", required_argument, NULL, 'p'},
		{"seed", required_argument, NULL, 'e'},
		{"guests", required_argument, NULL, 'g'},
		{"image", required_argument, NULL, 'i'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 's':
			options.socket = optarg;
			break;
		case 'z':
			options.size = strtoull(optarg, NULL, 0);
			break;
		case 't':
			options.touch = strtoull(optarg, NULL, 0);
			break;
		case 'o':
			options.order = optarg;
			break;
		case 'p':
			options.page = strtoull(optarg, NULL, 0);
			break;
		case 'e':
			options.seed = strtoull(optarg, NULL, 0);
			break;
		case 'g':
			options.guests = strtoul(optarg, NULL, 0);
			break;
		case 'i':
			options.image = optarg;
			break;
		default:
			exit(2);
		}
	}
	if (!options.socket || !options.guests || options.size < CLUSTER ||
	    options.size % CLUSTER || (options.page != PAGE && options.page != CLUSTER)) {
		fputs("guest: --socket is needed; sizes are multiples of 2 MiB\n", stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct result *results;

	parse(argc, argv);
	results = mmap(NULL, options.guests * sizeof(*results), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED)
		die("mmap");
	if (options.guests == 1)
		run(&results[0]);
	else
		run_many(results);
	print(results);
	return 0;
}
