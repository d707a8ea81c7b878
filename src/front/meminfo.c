/*
 * meminfo.c - what the host tells of its huge pages, where it has none left: then they are
 * emulated, and a program that looks before it maps must see that there are some.
 *
 * As many as would fit into the memory that is available are free.
 */
#include "front/huge_fd.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static long read_file(const char *path, char *buf, size_t size)
{
	long fd = SYS(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC), n = 0, got = 1;

	if (fd < 0)
		return fd;
	while (n < (long)size - 1 && got > 0) {
		got = SYS(SYS_read, fd, buf + n, size - 1 - (size_t)n);
		n += got > 0 ? got : 0;
	}
	SYS(SYS_close, fd);
	buf[n] = 0;
	return got < 0 ? got : n;
}

/* Pages that could be had. */
static unsigned long free_pages(const char *meminfo)
{
	const char *line = strstr(meminfo, "\nMemAvailable:");

	if (!line)
		line = strstr(meminfo, "\nMemFree:");
	return line ? strtoul(strchr(line, ':') + 1, NULL, 10) / (HUGE_SIZE / 1024) : 0;
}

static bool is_ours(const char *line)
{
	return strncmp(line, "HugePages_", 10) == 0 || strncmp(line, "Hugepagesize:", 13) == 0 ||
	       strncmp(line, "Hugetlb:", 8) == 0;
}

/* The host's lines with its huge pages' replaced, or added. */
static size_t compose(char *out, const char *in)
{
	unsigned long spare = free_pages(in), all = spare + huge_emulated_pages();
	char *to = out;
	size_t len;

	for (; *in; in += len) {
		len = strcspn(in, "\n");
		len += in[len] == '\n';
		if (is_ours(in))
			continue;
		memcpy(to, in, len);
		to += len;
	}
	to += sprintf(to,
		      "HugePages_Total:   %5lu\n"
		      "HugePages_Free:    %5lu\n"
		      "HugePages_Rsvd:    %5u\n"
		      "HugePages_Surp:    %5u\n"
		      "Hugepagesize:       2048 kB\n"
		      "Hugetlb:        %8lu kB\n",
		      all, spare, 0, 0, all * (unsigned long)(HUGE_SIZE / 1024));
	return (size_t)(to - out);
}

static long serve(const char *text, size_t len, int flags)
{
	long fd = SYS(SYS_memfd_create, "meminfo", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);

	if (fd >= 0)
		SYS(SYS_pwrite64, fd, text, len, 0);
	return fd;
}

static bool wanted(const char *path)
{
	return strcmp(path, "/proc/meminfo") == 0 || strncmp(path, POOL, strlen(POOL)) == 0;
}

bool meminfo_open(const char *path, int flags, long *fd)
{
	char in[8192], out[8192 + 512], number[32];
	const char *name = path + strlen(POOL);
	unsigned long n;

	if (!wanted(path) || (flags & (O_ACCMODE | O_PATH | O_DIRECTORY)) ||
	    (!huge_always_emulated && huge_available() > 0) ||
	    read_file("/proc/meminfo", in, sizeof(in)) < 0)
		return false;
	if (strcmp(path, "/proc/meminfo") == 0) {
		*fd = serve(out, compose(out, in), flags);
		return true;
	}
	n = free_pages(in);
	if (strcmp(name, "nr_hugepages") == 0)
		n += huge_emulated_pages();
	else if (strcmp(name, "resv_hugepages") == 0)
		n = 0;
	else if (strcmp(name, "free_hugepages") != 0)
		return false;
	*fd = serve(number, (size_t)sprintf(number, "%lu\n", n), flags);
	return true;
}
