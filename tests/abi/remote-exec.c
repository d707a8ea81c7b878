/* SPDX-License-Identifier: MIT */
/* A program that is started by exec inherits the descriptor and serves the memory of its parent. */
#include "procs.h"

static int handler_main(int fd, char *p, size_t pages)
{
	char *src = map(1);

	for (size_t i = 0; i < pages; i++) {
		FAULT(fd, p + i * PG, 0);
		DONE(copy(fd, p + i * PG, memset(src, 1 + i, PG), PG, 0), PG);
	}
	/* In its own memory there is nothing at that place, or something else. */
	return 0;
}

int main(int argc, char **argv)
{
	char number[16], address[32];

	start();
	if (argc == 3)
		return handler_main(atoi(argv[1]), (char *)strtoul(argv[2], NULL, 16), 4);
	int fd = uffd_open(0);
	EQ(fcntl(fd, F_SETFD, 0), 0);
	char *p = map(4);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	snprintf(number, sizeof number, "%d", fd);
	snprintf(address, sizeof address, "%lx", (unsigned long)p);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		execl("/proc/self/exe", argv[0], number, address, NULL);
		_exit(2);
	}
	for (int i = 0; i < 4; i++)
		CHECK(all(p + i * PG, PG, 1 + i));
	EQ(ends(pid), 0);
	return 0;
}
