/*
 * plain-handler: the page-fault handler that Firecracker's documentation describes, written
 * plainly: it maps the memory file, waits for the VMM's message, and then polls the userfaultfd,
 * reads one message and copies one page. What the balloon removed is zero afterwards. A fault that
 * meets an event in the queue (EAGAIN) is put aside until the events have been read. Each VMM has a
 * thread.
 *
 * It is what `userfault serve` is compared with.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "../abi/uffd_abi.h"

#define REGIONS 16
#define PUT_OFF 256

struct region {
	uint64_t base, size, offset, page_size;
	unsigned char *removed; /* a byte for each page */
};

struct guest {
	int uffd, pidfd, connection;
	struct region region[REGIONS];
	unsigned nregions;
	uint64_t put_off[PUT_OFF]; /* addresses that faulted and met EAGAIN */
	unsigned nput_off;
	uint64_t faults;
};

static const char *memory;
static uint64_t memory_size;

static bool number(const char *text, const char *name, uint64_t *value)
{
	const char *at = strstr(text, name);

	return at && sscanf(at + strlen(name), " : %" SCNu64, value) == 1;
}

/* The objects of the array; what each has is found by name. */
static bool parse(struct guest *g, char *text)
{
	char *save, *object;

	for (object = strtok_r(text, "}", &save); object; object = strtok_r(NULL, "}", &save)) {
		struct region *r = &g->region[g->nregions];

		if (!strchr(object, '{'))
			continue;
		if (g->nregions == REGIONS ||
		    !number(object, "\"base_host_virt_addr\"", &r->base) ||
		    !number(object, "\"size\"", &r->size) ||
		    !number(object, "\"offset\"", &r->offset) ||
		    !number(object, "\"page_size\"", &r->page_size))
			return false;
		if (r->offset + r->size > memory_size || r->page_size == 0)
			return false;
		r->removed = calloc(r->size / r->page_size, 1);
		if (!r->removed)
			return false;
		g->nregions++;
	}
	return g->nregions > 0;
}

static bool receive(struct guest *g)
{
	char text[8192];
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(g->connection, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	if (!c || c->cmsg_type != SCM_RIGHTS)
		return false;
	memcpy(&g->uffd, CMSG_DATA(c), sizeof(int));
	text[n] = '\0';
	return parse(g, text);
}

static struct region *find(struct guest *g, uint64_t address)
{
	for (unsigned i = 0; i < g->nregions; i++)
		if (address - g->region[i].base < g->region[i].size)
			return &g->region[i];
	return NULL;
}

/* False: an event came between; to be tried again when it has been read. */
static bool serve(struct guest *g, uint64_t address)
{
	struct region *r = find(g, address);
	uint64_t page;
	int rc;

	if (!r)
		errx(1, "no region has %#" PRIx64, address);
	address &= ~(r->page_size - 1);
	page = (address - r->base) / r->page_size;
	if (r->removed[page] && r->page_size == 4096) {
		struct uffdio_zeropage zero = {.range = {address, r->page_size}};

		rc = ioctl(g->uffd, UFFDIO_ZEROPAGE, &zero);
	} else {
		static const char zeros[2 << 20];
		struct uffdio_copy copy = {
			.dst = address,
			.src = (uintptr_t)(r->removed[page]
						   ? zeros
						   : memory + r->offset + address - r->base),
			.len = r->page_size,
		};

		rc = ioctl(g->uffd, UFFDIO_COPY, &copy);
	}
	if (rc != 0 && errno == EEXIST) {
		struct uffdio_range range = {address, r->page_size};

		ioctl(g->uffd, UFFDIO_WAKE, &range);
	} else if (rc != 0 && errno == EAGAIN) {
		return false;
	} else if (rc != 0 && errno != ENOENT && errno != ESRCH) {
		err(1, "cannot fill %#" PRIx64, address);
	}
	return true;
}

static void removed(struct guest *g, uint64_t start, uint64_t end)
{
	while (start < end) {
		struct region *r = find(g, start);

		if (!r)
			return;
		r->removed[(start - r->base) / r->page_size] = 1;
		start += r->page_size;
	}
}

/* False: there is none. */
static bool one_message(struct guest *g)
{
	struct uffd_msg message;
	ssize_t n = read(g->uffd, &message, sizeof(message));

	if (n != sizeof(message))
		return false;
	if (message.event == UFFD_EVENT_REMOVE) {
		removed(g, message.remove.start, message.remove.end);
	} else if (message.event == UFFD_EVENT_PAGEFAULT) {
		g->faults++;
		if (!serve(g, message.pagefault.address)) {
			if (g->nput_off == PUT_OFF)
				errx(1, "too many faults wait");
			g->put_off[g->nput_off++] = message.pagefault.address;
		}
	}
	return true;
}

static void serve_put_off(struct guest *g)
{
	unsigned n = g->nput_off;

	g->nput_off = 0;
	for (unsigned i = 0; i < n; i++)
		if (!serve(g, g->put_off[i]))
			g->put_off[g->nput_off++] = g->put_off[i];
}

static void *guest_main(void *arg)
{
	struct guest *g = arg;
	struct pollfd fds[2] = {{.fd = g->pidfd, .events = POLLIN}, {.events = POLLIN}};

	if (!receive(g))
		errx(1, "the message is not what a VMM sends");
	fds[1].fd = g->uffd;
	for (;;) {
		/* With faults put off there is an event to be read, or just was. */
		if (poll(fds, 2, g->nput_off ? 0 : -1) < 0 && errno != EINTR)
			err(1, "poll");
		if (fds[0].revents)
			break;
		if (fds[1].revents & POLLIN)
			one_message(g);
		else
			serve_put_off(g);
	}
	fprintf(stderr, "plain-handler: a guest has ended; faults=%" PRIu64 "\n", g->faults);
	for (unsigned i = 0; i < g->nregions; i++)
		free(g->region[i].removed);
	close(g->uffd);
	close(g->pidfd);
	close(g->connection);
	free(g);
	return NULL;
}

static void begin(int connection)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	struct guest *g = calloc(1, sizeof(*g));
	pthread_t thread;

	if (!g || getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		err(1, "a guest");
	g->connection = connection;
	g->pidfd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
	if (g->pidfd < 0 || pthread_create(&thread, NULL, guest_main, g) != 0)
		err(1, "a guest");
	pthread_detach(thread);
}

static void map_memory(const char *path)
{
	struct stat stat;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &stat) != 0)
		err(1, "%s", path);
	memory_size = (uint64_t)stat.st_size;
	memory = mmap(NULL, memory_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (memory == MAP_FAILED)
		err(1, "%s", path);
	close(fd);
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		errx(2, "%s: the path is too long", path);
	strcpy(address.sun_path, path);
	unlink(path);
	if (listening < 0 || bind(listening, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listening, 128) != 0)
		err(1, "%s", path);
	return listening;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'},
		{"memory", required_argument, NULL, 'm'},
		{0},
	};
	const char *socket = NULL, *file = NULL;
	int c, listening, connection;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			socket = optarg;
		if (c == 'm')
			file = optarg;
	}
	if (!socket || !file || optind != argc)
		errx(2, "usage: plain-handler --socket=PATH --memory=FILE");
	map_memory(file);
	listening = listen_at(socket);
	while ((connection = accept4(listening, NULL, NULL, SOCK_CLOEXEC)) >= 0 || errno == EINTR)
		if (connection >= 0)
			begin(connection);
	err(1, "accept");
}
