/* SPDX-License-Identifier: MIT */
/*
 * A program that never heard of userfaultfd: allocates, maps, copies through pipes and files, takes
 * signals, starts threads.
 *
 *     plain [SCALE]
 */
#include "bench.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS 512

static volatile sig_atomic_t signals_taken;

static void on_signal(int signo)
{
	(void)signo;
	signals_taken++;
}

/* Sizes from a few bytes to above malloc's threshold for a mapping of its own. */
static void part_malloc(size_t scale)
{
	static char *slot[SLOTS];
	uint64_t seed = 88172645463325252ULL;

	for (size_t i = 0; i < 20000 * scale; i++) {
		size_t at, size;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		at = seed % SLOTS;
		size = (seed >> 20) % 64 ? (seed >> 30) % 2048 : (seed >> 30) % (256 * 1024);
		free(slot[at]);
		slot[at] = malloc(size + 1);
		check(slot[at] != NULL, "malloc failed");
		slot[at][0] = slot[at][size] = 1;
	}
	for (size_t i = 0; i < SLOTS; i++) {
		free(slot[i]);
		slot[i] = NULL;
	}
}

static void part_mmap(size_t scale)
{
	for (size_t i = 0; i < 300 * scale; i++) {
		size_t len = 16 * PAGE;
		char *p = map_anon(len);

		for (size_t at = 0; at < len; at += PAGE)
			p[at] = 1;
		if (mprotect(p, len / 2, PROT_READ) || madvise(p, len, MADV_DONTNEED))
			die("mprotect or madvise");
		p = mremap(p + len / 2, len / 2, len, MREMAP_MAYMOVE);
		if (p == MAP_FAILED)
			die("mremap");
		munmap(p, len);
	}
}

static void part_pipe(size_t scale)
{
	char out[512], in[512];
	int fds[2];

	memset(out, 3, sizeof(out));
	if (pipe(fds))
		die("pipe");
	for (size_t i = 0; i < 4000 * scale; i++) {
		struct pollfd poll_fd = {.fd = fds[0], .events = POLLIN};

		check(write(fds[1], out, sizeof(out)) == sizeof(out), "short write to a pipe");
		check(poll(&poll_fd, 1, -1) == 1, "poll on a full pipe");
		check(read(fds[0], in, sizeof(in)) == sizeof(in), "short read from a pipe");
	}
	close(fds[0]);
	close(fds[1]);
}

static void part_file(size_t scale)
{
	static char block[64 * 1024];
	int fd = memfd_create("bench", MFD_CLOEXEC);

	if (fd < 0)
		die("memfd_create");
	for (size_t i = 0; i < 200 * scale; i++) {
		if (lseek(fd, 0, SEEK_SET) ||
		    write(fd, block, sizeof(block)) != (ssize_t)sizeof(block) ||
		    pread(fd, block, sizeof(block), 0) != (ssize_t)sizeof(block))
			die("file input and output");
		close(open("/dev/null", O_RDONLY | O_CLOEXEC));
	}
	close(fd);
}

static void part_signal(size_t scale)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t set, old;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	signals_taken = 0;
	for (size_t i = 0; i < 1000 * scale; i++) {
		sigaction(SIGUSR1, &action, NULL);
		pthread_sigmask(SIG_BLOCK, &set, &old);
		raise(SIGUSR1);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	check(signals_taken == (sig_atomic_t)(1000 * scale), "signals were lost");
}

static void *thread_main(void *argument)
{
	char *p = malloc(1000);

	check(p != NULL, "malloc failed");
	memset(p, 1, 1000);
	*(size_t *)argument += (size_t)p[999];
	free(p);
	return NULL;
}

static void part_thread(size_t scale)
{
	for (size_t i = 0; i < 100 * scale; i++) {
		pthread_t thread[4];
		size_t result[4] = {0};

		for (int k = 0; k < 4; k++)
			check(!pthread_create(&thread[k], NULL, thread_main, &result[k]),
			      "pthread_create failed");
		for (int k = 0; k < 4; k++) {
			pthread_join(thread[k], NULL);
			check(result[k] == 1, "a thread did not run");
		}
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(size_t scale);
	} part[] = {
		{"plain-malloc", part_malloc}, {"plain-mmap", part_mmap},
		{"plain-pipe", part_pipe},     {"plain-file", part_file},
		{"plain-signal", part_signal}, {"plain-thread", part_thread},
	};
	size_t scale = number_argument(argc, argv, 1, 5);
	uint64_t begin = now_ns();

	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		uint64_t start = now_ns();

		part[i].run(scale);
		emit(part[i].name, (double)(now_ns() - start) / 1e6, "ms");
	}
	emit("plain-total", (double)(now_ns() - begin) / 1e6, "ms");
	return 0;
}
