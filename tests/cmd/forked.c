/*
 * forked: a child reads and writes what its parent has registered, which is a copy. Says what the
 * child found, and that the parent's memory is as it was.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userfault/abi.h"

#define PAGE 4096ul
#define SIZE (256 * PAGE)

static volatile char *registered(void)
{
	struct uf_api api = {.api = UF_API};
	struct uf_register reg = {.mode = UF_REGISTER_MODE_MISSING};
	struct uf_zeropage zero = {0};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	reg.range = zero.range = (struct uf_range){(uint64_t)memory, SIZE};
	if (fd < 0 || memory == MAP_FAILED || ioctl(fd, UF_IO_API, &api) ||
	    ioctl(fd, UF_IO_REGISTER, &reg) || ioctl(fd, UF_IO_ZEROPAGE, &zero))
		return NULL;
	memset(memory, 7, SIZE);
	return memory;
}

/* What a child has here when it has added one; -1: it has come to a bad end. */
static int child_writes(volatile char *at)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		*at += 1;
		_exit(*at);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status)
		       ? WEXITSTATUS(status)
		       : -1;
}

int main(void)
{
	volatile char *memory = registered();

	if (!memory)
		return 1;
	for (size_t page = 0; page < 256; page += 85)
		printf("%d ", child_writes(memory + page * PAGE));
	for (size_t i = 0; i < SIZE; i++)
		if (memory[i] != 7)
			return 1;
	puts("unharmed");
	return 0;
}
