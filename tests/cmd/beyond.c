/*
 * beyond WHAT DIRECTORY: tries what no kernel offers, and says how that ended.
 * file: registers a mapping of a regular file for missing faults.
 * move: moves a page from one shared mapping to another.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "userfault/abi.h"

#define PAGE 4096ul

static int uffd;

static void check(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static int say(int result)
{
	puts(result == 0 ? "done" : strerror(errno));
	return 0;
}

static int enter(void *p)
{
	struct uf_register reg = {
		.range = {(uint64_t)p, PAGE},
		.mode = UF_REGISTER_MODE_MISSING,
	};

	return ioctl(uffd, UF_IO_REGISTER, &reg);
}

static int try_file(const char *directory)
{
	char name[4096];
	void *p;
	int fd;

	snprintf(name, sizeof(name), "%s/beyond-XXXXXX", directory);
	fd = mkstemp(name);
	check(fd >= 0 && unlink(name) == 0 && ftruncate(fd, PAGE) == 0, name);
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(p != MAP_FAILED, "mmap");
	return say(enter(p));
}

static int try_move(void)
{
	char *p[2];
	struct uf_move move = {.len = PAGE};

	for (int i = 0; i < 2; i++) {
		p[i] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		check(p[i] != MAP_FAILED, "mmap");
	}
	p[0][0] = 'x';
	check(enter(p[1]) == 0, "REGISTER");
	move.src = (uint64_t)p[0];
	move.dst = (uint64_t)p[1];
	if (ioctl(uffd, UF_IO_MOVE, &move) != 0)
		return say(-1);
	check(p[1][0] == 'x', "contents");
	return say(0);
}

int main(int argc, char **argv)
{
	struct uf_api api = {.api = UF_API};

	alarm(60);
	if (argc != 3)
		return 2;
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	check(uffd >= 0, "userfaultfd");
	check(ioctl(uffd, UF_IO_API, &api) == 0, "API");
	return strcmp(argv[1], "file") == 0 ? try_file(argv[2]) : try_move();
}
