/* SPDX-License-Identifier: MIT */
/*
 * lazy-restore.c - another process gets its memory back from an image, and does not wait for it.
 *
 *   lazy-restore IMAGE
 *
 * What a virtual machine monitor does with a snapshot: the child is the one to be restored. It has
 * memory, registers it with a userfaultfd, gives that to its parent and goes to work at once. The
 * parent is the pager: it fills what the child touches, and the rest in the background. IMAGE is
 * anything that a pager reads: a file of memory, an image of userfault pack or of a snapshot,
 * nbd://..., rados:...
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <userfault/pager.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

enum {
	PAGE = 4096,
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- the process that is restored
 */

/* Memory whose missing pages are another process's to fill: a descriptor, or -1. */
static int new_memory(size_t size, char **memory)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	/* Who has no privilege may do without faults of system calls. */
	if (fd < 0)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	*memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range.start = (uintptr_t)*memory;
	range.range.len = size;
	if (fd < 0 || *memory == MAP_FAILED || ioctl(fd, UFFDIO_API, &api) < 0 ||
	    ioctl(fd, UFFDIO_REGISTER, &range) < 0) {
		perror("lazy-restore: userfaultfd");
		return -1;
	}
	return fd;
}

static int give(int socket, int uffd, const struct uf_paged_range *range)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec body = {(void *)range, sizeof(*range)};
	struct msghdr message = {.msg_iov = &body,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &uffd, sizeof(int));
	return sendmsg(socket, &message, 0) < 0 ? -1 : 0;
}

static int child(int socket, size_t size)
{
	struct uf_paged_range range = {.size = size, .page_size = PAGE};
	double begin = now_ms();
	uint64_t sum = 0;
	char *memory;
	int uffd = new_memory(size, &memory);

	range.addr = (uintptr_t)memory;
	if (uffd < 0 || give(socket, uffd, &range) < 0)
		return 1;
	/* Each page once, in an order that nobody can guess: 65537 is prime. */
	for (size_t i = 0, pages = size / PAGE; i < pages; i++) {
		const unsigned char *page = (unsigned char *)memory + i * 65537 % pages * PAGE;

		for (size_t j = 0; j < PAGE; j++)
			sum += page[j];
		if (i == 0)
			printf("the child had its first page after %.1f ms\n", now_ms() - begin);
	}
	printf("its bytes add up to %" PRIu64 "\n", sum);
	return fflush(stdout) ? 1 : 0;
}

/* ---- the pager
 */

static int take(int socket, struct uf_paged_range *range)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec body = {range, sizeof(*range)};
	struct msghdr message = {.msg_iov = &body,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	int uffd;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(*range) ||
	    message.msg_controllen < CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&uffd, CMSG_DATA(&control.header), sizeof(int));
	return uffd;
}

static int fail(const char *what)
{
	fprintf(stderr, "lazy-restore: %s: %s\n", what, uf_pager_why());
	return 1;
}

static int serve(int socket, struct uf_pager *pager, struct uf_source *source)
{
	struct uf_paged_range range;
	struct uf_paged_stats stats;
	struct uf_paged *paged;
	int uffd = take(socket, &range), status;

	if (uffd < 0) {
		fprintf(stderr, "lazy-restore: the child has given up\n");
		return 1;
	}
	if (uf_pager_attach(pager, source, uffd, -1, &range, 1, NULL, &paged) < 0)
		return fail("the child's memory");
	close(uffd);
	if (wait(&status) < 0 || status) {
		fprintf(stderr, "lazy-restore: the child failed\n");
		return 1;
	}
	uf_paged_get_stats(paged, &stats);
	printf("%" PRIu64 " faults, the slowest took %.2f ms; %" PRIu64
	       " pages were there before\n",
	       stats.faults, (double)stats.max_ns / 1e6, stats.ahead);
	return uf_pager_detach(paged) < 0;
}

int main(int argc, char **argv)
{
	struct uf_source *source;
	struct uf_pager *pager;
	int sockets[2], failed;
	size_t size;
	pid_t pid;

	if (argc != 2) {
		fprintf(stderr, "usage: lazy-restore IMAGE\n");
		return 2;
	}
	if (uf_pager_new(NULL, &pager) < 0 || uf_source_open(pager, argv[1], &source) < 0)
		return fail("the image");
	size = (uf_source_size(source) + PAGE - 1) / PAGE * PAGE;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0 ||
	    (pid = fork()) < 0) {
		perror("lazy-restore");
		return 1;
	}
	/* The child has no pager: its threads are the parent's. */
	if (pid == 0)
		_exit(child(sockets[1], size));
	close(sockets[1]);
	failed = serve(sockets[0], pager, source);
	uf_pager_free(pager);
	return failed;
}
