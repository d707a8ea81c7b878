/* SPDX-License-Identifier: MIT */
/*
 * What a missing fault costs when another process resolves it.
 *
 *     remote fork|rights read|poll [PAGES [MILLISECONDS [two]]]
 *
 * fork: the handler is a forked child that inherits the descriptor; rights: it gets the descriptor
 * over a socket. With "two", each process has a CPU of its own.
 */
#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONTENTS 0x5a

static struct {
	enum reader_wait wait;
	size_t pages;
	bool two_cpus;
	int fd;
	uint8_t *area;
} run;

/* Until it is killed. */
__attribute__((noreturn)) static void handle(int fd)
{
	struct reader reader = {.fd = fd,
				.wait = run.wait,
				.answer = ANSWER_COPY,
				.page = map_anon(PAGE),
				.page_size = PAGE,
				.cpu = run.two_cpus ? 1 : -1};

	memset((void *)(uintptr_t)reader.page, CONTENTS, PAGE);
	reader_serve(&reader);
	_exit(1);
}

static void set_up(void)
{
	run.area = map_small_pages(run.pages * PAGE);
	run.fd = uffd_open(run.wait == WAIT_READ ? 0 : O_NONBLOCK, 0);
	uffd_register(run.fd, run.area, run.pages * PAGE, UFFDIO_REGISTER_MODE_MISSING);
}

static pid_t start_handler(bool inherits)
{
	int ends[2];
	pid_t pid;

	if (inherits)
		set_up();
	else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		die("socketpair");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		handle(inherits ? run.fd : receive_descriptor(ends[0]));
	}
	if (!inherits) {
		set_up();
		send_descriptor(ends[1], run.fd);
	}
	return pid;
}

static void pass(uint64_t *stamp)
{
	volatile uint8_t *at = run.area;
	unsigned long sum = 0;

	stamp[0] = now_ns();
	for (size_t i = 0; i < run.pages; i++, at += PAGE) {
		sum += *at;
		stamp[i + 1] = now_ns();
	}
	check(sum == run.pages * CONTENTS, "a page did not hold what was put into it");
}

static void run_passes(uint64_t duration, struct timings *first, struct timings *later)
{
	uint64_t *stamp = calloc(run.pages + 1, sizeof(*stamp)), begin = now_ns();

	if (!stamp)
		die("stamps");
	for (size_t passes = 0; passes < 2 || now_ns() - begin < duration; passes++) {
		if (passes && madvise(run.area, run.pages * PAGE, MADV_DONTNEED))
			die("madvise");
		pass(stamp);
		timings_add(passes ? later : first, stamp, run.pages);
	}
	free(stamp);
}

int main(int argc, char **argv)
{
	struct timings first = {0}, later = {0};
	char name[64];
	pid_t handler;
	bool inherits;

	if (argc < 3 || (strcmp(argv[1], "fork") && strcmp(argv[1], "rights")) ||
	    (strcmp(argv[2], "read") && strcmp(argv[2], "poll")) ||
	    (argc > 5 && strcmp(argv[5], "two"))) {
		fprintf(stderr, "usage: remote fork|rights read|poll [PAGES [MILLISECONDS "
				"[two]]]\n");
		return 2;
	}
	inherits = !strcmp(argv[1], "fork");
	run.wait = strcmp(argv[2], "read") ? WAIT_POLL : WAIT_READ;
	run.pages = number_argument(argc, argv, 3, 4096);
	run.two_cpus = argc > 5;
	if (run.two_cpus)
		check(pin_to_cpu(0), "there is no CPU for the faulting process");
	handler = start_handler(inherits);
	run_passes(number_argument(argc, argv, 4, 1500) * 1000000, &first, &later);
	kill(handler, SIGKILL);
	waitpid(handler, NULL, 0);
	snprintf(name, sizeof(name), "remote-%s-%s-first", argv[1], argv[2]);
	timings_emit(&first, name);
	*strrchr(name, '-') = 0;
	timings_emit(&later, name);
	return 0;
}
