/* SPDX-License-Identifier: MIT */
/*
 * move-memory.c - work is begun in one process, and goes on in another with the memory it has.
 *
 *   move-memory receive HOST:PORT --cert FILE --key FILE --ca FILE [--peer NAME]
 *   move-memory send    HOST:PORT --cert FILE --key FILE --ca FILE [--peer NAME] [LIMIT]
 *
 * The work is to count the primes below LIMIT, by a sieve that fills the memory. The sender strikes
 * out the multiples of the first few primes; the receiver goes on with the next one as soon as it
 * is connected, and while the memory is still on its way: what it touches comes first.
 *
 * Both sides show a certificate and check the other's. Without the options nothing is encrypted,
 * and nobody is asked who he is. docs/pager.md has commands that make certificates.
 */
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <userfault/pager.h>

enum {
	PAGE = 4096,
	FIRST_PRIMES = 10, /* the sender's part: up to here */
};

/* What moves: all that the work needs to go on is in the memory itself. */
struct work {
	uint64_t limit, next; /* multiples of what is below `next` are struck out */
	unsigned char struck[];
};

static int fail(const char *what)
{
	fprintf(stderr, "move-memory: %s: %s\n", what, uf_pager_why());
	return 1;
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- the work
 */

static void sieve(struct work *w, uint64_t until)
{
	for (; w->next < until && w->next * w->next < w->limit; w->next++) {
		if (w->struck[w->next])
			continue;
		for (uint64_t i = w->next * w->next; i < w->limit; i += w->next)
			w->struck[i] = 1;
	}
}

static uint64_t count(const struct work *w)
{
	uint64_t n = 0;

	for (uint64_t i = 2; i < w->limit; i++)
		n += !w->struck[i];
	return n;
}

/* ---- the connection
 */

static struct addrinfo *look_up(const char *name, int flags)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
	const char *port = strrchr(name, ':');
	struct addrinfo *found = NULL;
	char host[256];
	int error;

	if (!port || (size_t)(port - name) >= sizeof(host)) {
		fprintf(stderr, "move-memory: %s is not HOST:PORT\n", name);
		return NULL;
	}
	/* [::1]:7000 */
	if (*name == '[' && port[-1] == ']')
		snprintf(host, sizeof(host), "%.*s", (int)(port - name - 2), name + 1);
	else
		snprintf(host, sizeof(host), "%.*s", (int)(port - name), name);
	error = getaddrinfo(*host ? host : NULL, port + 1, &hints, &found);
	if (error)
		fprintf(stderr, "move-memory: %s: %s\n", name, gai_strerror(error));
	return found;
}

static int dial(const char *name)
{
	struct addrinfo *found = look_up(name, 0);
	int fd = -1;

	for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
			close(fd);
			fd = -1;
		}
	}
	if (found && fd < 0)
		perror("move-memory: the receiver cannot be reached");
	freeaddrinfo(found);
	return fd;
}

static void say_where(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	char host[64], port[16];

	if (getsockname(fd, (struct sockaddr *)&address, &len) == 0 &&
	    getnameinfo((struct sockaddr *)&address, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		printf("waiting at %s, port %s\n", host, port);
	fflush(stdout);
}

static int answer(const char *name)
{
	struct addrinfo *found = look_up(name, AI_PASSIVE);
	const int on = 1;
	int fd = -1, listener;

	if (!found)
		return -1;
	listener = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, found->ai_protocol);
	if (listener >= 0 && setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(listener, found->ai_addr, found->ai_addrlen) == 0 && listen(listener, 1) == 0) {
		say_where(listener);
		fd = accept(listener, NULL, NULL);
	}
	if (fd < 0)
		perror("move-memory: no connection");
	if (listener >= 0)
		close(listener);
	freeaddrinfo(found);
	return fd;
}

/* ---- the two sides
 */

static int send_work(struct uf_pager *pager, const char *name, const struct uf_tls *tls,
		     uint64_t limit)
{
	size_t size = (sizeof(struct work) + limit + PAGE - 1) / PAGE * PAGE;
	struct work *work =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double begin;
	int fd;

	if (work == MAP_FAILED) {
		perror("move-memory");
		return 1;
	}
	work->limit = limit;
	work->next = 2;
	sieve(work, FIRST_PRIMES);
	fd = dial(name);
	if (fd < 0)
		return 1;
	begin = now_ms();
	/* Until this returns, the other side may need any page of it. */
	if (uf_pager_send(pager, work, size, fd, tls) < 0)
		return fail("the memory has not moved, and is as it was");
	printf("%zu MiB have moved in %.0f ms\n", size >> 20, now_ms() - begin);
	return 0;
}

static int receive_work(struct uf_pager *pager, const char *name, const struct uf_tls *tls)
{
	struct uf_paged_options options = UF_PAGED_OPTIONS;
	struct uf_paged *paged;
	struct work *work;
	void *memory = NULL;
	size_t size;
	int fd = answer(name);
	double begin = now_ms();

	if (fd < 0)
		return 1;
	options.flags = UF_PAGED_WRITABLE;
	if (uf_pager_receive(pager, fd, tls, &options, &memory, &size, &paged) < 0)
		return fail("there is no memory for us");
	close(fd);
	work = memory;
	printf("going on at %" PRIu64 ", %.1f ms after the connection\n", work->next,
	       now_ms() - begin);
	sieve(work, work->limit);
	if (uf_pager_wait(paged) < 0)
		return fail("the rest of the memory");
	printf("%" PRIu64 " primes below %" PRIu64 "\n", count(work), work->limit);
	return uf_pager_detach(paged) < 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: move-memory receive HOST:PORT [--cert FILE --key FILE --ca FILE "
			"[--peer NAME]]\n"
			"       move-memory send    HOST:PORT [--cert FILE --key FILE --ca FILE "
			"[--peer NAME]] [LIMIT]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"cert", required_argument, NULL, 'c'},
						{"key", required_argument, NULL, 'k'},
						{"ca", required_argument, NULL, 'a'},
						{"peer", required_argument, NULL, 'p'},
						{0}};
	struct uf_tls tls = {0};
	struct uf_pager *pager;
	uint64_t limit = 100000000;
	bool encrypted = false;
	int option, failed;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == '?')
			return usage();
		encrypted = true;
		*(option == 'c'	  ? &tls.certificate
		  : option == 'k' ? &tls.key
		  : option == 'a' ? &tls.ca
				  : &tls.peer) = optarg;
	}
	if (argc - optind < 2)
		return usage();
	if (argc - optind > 2)
		limit = strtoull(argv[optind + 2], NULL, 0);
	if (uf_pager_new(NULL, &pager) < 0)
		return fail("no pager");
	if (strcmp(argv[optind], "send") == 0)
		failed = send_work(pager, argv[optind + 1], encrypted ? &tls : NULL, limit);
	else if (strcmp(argv[optind], "receive") == 0)
		failed = receive_work(pager, argv[optind + 1], encrypted ? &tls : NULL);
	else
		failed = usage();
	uf_pager_free(pager);
	return failed;
}
