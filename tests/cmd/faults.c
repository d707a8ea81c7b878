/*
 * faults MISSING WP END: a program with so many missing faults and, on some of the pages, so many
 * write-protect faults, each served by a thread that reads the descriptor. END is its exit status,
 * or "killed"; or FILE in "after:FILE", which must be there before the write-protect faults begin.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "userfault/abi.h"

#define PAGE 4096

static int uffd;

static void check(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static void *serve(void *unused)
{
	static char contents[PAGE] __attribute__((aligned(PAGE)));
	struct uf_msg msg;

	(void)unused;
	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		struct uf_range page = {msg.arg.pagefault.address, PAGE};
		struct uf_writeprotect release = {.range = page};
		struct uf_copy copy = {.dst = page.start, .src = (uint64_t)contents, .len = PAGE};

		if (msg.arg.pagefault.flags & UF_PAGEFAULT_FLAG_WP)
			check(ioctl(uffd, UF_IO_WRITEPROTECT, &release) == 0, "WRITEPROTECT");
		else
			check(ioctl(uffd, UF_IO_COPY, &copy) == 0, "COPY");
	}
	return NULL;
}

static void await(const char *file)
{
	puts("ready");
	fflush(stdout);
	while (access(file, F_OK) != 0)
		sched_yield();
}

int main(int argc, char **argv)
{
	size_t missing = argc == 4 ? atoi(argv[1]) : 0;
	size_t wp = argc == 4 ? atoi(argv[2]) : 0;
	struct uf_api api = {.api = UF_API};
	struct uf_register reg = {.mode = UF_REGISTER_MODE_MISSING | UF_REGISTER_MODE_WP};
	struct uf_writeprotect protect = {.mode = UF_WRITEPROTECT_MODE_WP};
	volatile char *memory;
	pthread_t thread;

	if (missing == 0 || wp > missing)
		return 2;
	alarm(60);
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	check(uffd >= 0, "userfaultfd");
	check(ioctl(uffd, UF_IO_API, &api) == 0, "API");
	memory = mmap(NULL, missing * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	check(memory != MAP_FAILED, "mmap");
	reg.range = (struct uf_range){(uint64_t)memory, missing * PAGE};
	check(ioctl(uffd, UF_IO_REGISTER, &reg) == 0, "REGISTER");
	check(pthread_create(&thread, NULL, serve, NULL) == 0, "pthread_create");

	for (size_t i = 0; i < missing; i++)
		(void)memory[i * PAGE];
	if (strncmp(argv[3], "after:", 6) == 0)
		await(argv[3] + 6);
	if (wp) {
		protect.range = (struct uf_range){(uint64_t)memory, wp * PAGE};
		check(ioctl(uffd, UF_IO_WRITEPROTECT, &protect) == 0, "WRITEPROTECT");
	}
	for (size_t i = 0; i < wp; i++)
		memory[i * PAGE] = 1;

	if (strcmp(argv[3], "killed") == 0)
		raise(SIGKILL);
	puts("done");
	return atoi(argv[3]);
}
