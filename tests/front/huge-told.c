/* SPDX-License-Identifier: MIT */
/* Where huge pages are emulated, a program that asks whether there are any is told that there are.
 */
#include "abi.h"

#include <fcntl.h>
#include <sys/wait.h>

#define H    (2ul << 20)
#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static long in_lines(FILE *f, const char *name)
{
	char line[256];
	long value = -1;
	size_t len = strlen(name);

	CHECK(f != NULL);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, name, len) == 0 && line[len] == ':') {
			EQ(value, -1);
			value = strtol(line + len + 1, NULL, 10);
		}
	fclose(f);
	return value;
}

static long meminfo(const char *name)
{
	return in_lines(fopen("/proc/meminfo", "r"), name);
}

static long number_in(const char *path)
{
	char text[64] = "";
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);

	CHECK(fd >= 0);
	CHECK(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return strtol(text, NULL, 10);
}

static void told(void)
{
	long free = meminfo("HugePages_Free"), total = meminfo("HugePages_Total");

	CHECK(free > 16);
	CHECK(total >= free);
	EQ(meminfo("HugePages_Rsvd"), 0);
	EQ(meminfo("Hugepagesize"), 2048);
	CHECK(meminfo("MemTotal") > 0);
	CHECK(meminfo("MemAvailable") > 0);
	CHECK(in_lines(fdopen(open("/proc/meminfo", O_RDONLY | O_CLOEXEC), "r"), "HugePages_Free") >
	      16);
	CHECK(number_in("/proc/meminfo") == 0);
	CHECK(number_in(POOL "free_hugepages") > 16);
	CHECK(number_in(POOL "nr_hugepages") >= number_in(POOL "free_hugepages"));
	EQ(number_in(POOL "resv_hugepages"), 0);
}

/* What is mapped is in use. */
static void counted(void)
{
	const size_t n = 8;
	char *p = mmap(NULL, n * H, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	long used;

	CHECK(p != MAP_FAILED);
	used = meminfo("HugePages_Total") - meminfo("HugePages_Free");
	CHECK(used > 0);
	EQ(munmap(p, n * H), 0);
}

int main(int argc, char **argv)
{
	int status;
	pid_t pid;

	start();
	told();
	counted();
	if (argc > 1)
		return 0;
	/* A program that is started by it, too. */
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		told();
		execve("/proc/self/exe", (char *[]){argv[0], "again", NULL}, (char *[]){NULL});
		_exit(1);
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
	return 0;
}
