/* SPDX-License-Identifier: MIT */
/*
 * What it costs to write-protect one page of another process that runs.
 *
 *     shut [TIMES]
 *
 * A forked child reads the memory all the time and never faults. The parent has the descriptor, and
 * is done when nobody can write to the page any more.
 */
#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 512

struct shared {
	_Atomic uint64_t turns; /* of the other process */
	_Atomic(uint8_t *) area;
};

/* Its own descriptor goes to the parent, as its memory is meant. */
__attribute__((noreturn)) static void other(struct shared *shared, int to)
{
	uint8_t *area = map_small_pages(PAGES * PAGE);
	int fd = uffd_open(0, UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	volatile uint8_t *at = area;

	memset(area, 7, PAGES * PAGE);
	uffd_register(fd, area, PAGES * PAGE, UFFDIO_REGISTER_MODE_WP);
	send_descriptor(to, fd);
	atomic_store(&shared->area, area);
	for (;;) {
		unsigned long sum = 0;

		for (size_t i = 0; i < PAGES; i++)
			sum += at[i * PAGE];
		check(sum == PAGES * 7, "a page has changed");
		atomic_fetch_add(&shared->turns, 1);
	}
}

int main(int argc, char **argv)
{
	size_t times = number_argument(argc, argv, 1, 10000);
	struct samples protect = {0}, lift = {0};
	struct shared *shared =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int ends[2], fd;
	uint8_t *area;
	pid_t pid;

	if (shared == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		die("mmap or socketpair");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		other(shared, ends[1]);
	}
	close(ends[1]);
	fd = receive_descriptor(ends[0]);
	while ((area = atomic_load(&shared->area)) == NULL)
		check(waitpid(pid, NULL, WNOHANG) == 0, "the other process has ended");
	for (size_t i = 0; i < times; i++) {
		uint8_t *page = area + i * 31 % PAGES * PAGE;
		uint64_t begin = now_ns(), done;

		uffd_writeprotect(fd, page, PAGE, UFFDIO_WRITEPROTECT_MODE_WP);
		done = now_ns();
		samples_add(&protect, (double)(done - begin));
		uffd_writeprotect(fd, page, PAGE, 0);
		samples_add(&lift, (double)(now_ns() - done));
	}
	check(atomic_load(&shared->turns) > 0 && waitpid(pid, NULL, WNOHANG) == 0,
	      "the other process did not run");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	emit("shut", samples_median(&protect), "ns");
	emit("shut-p99", samples_quantile(&protect, 0.99), "ns");
	emit("shut-lift", samples_median(&lift), "ns");
	return 0;
}
