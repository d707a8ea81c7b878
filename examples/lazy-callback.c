/*
 * lazy-callback FILE - map a file lazily: a page is read when it is first touched, by a function
 * that runs on the thread that touched it. Prints a checksum and how many pages were read.
 */
#include <userfault/userfault.h>

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096ul

struct lazy {
	char *base;
	int fd;
	struct uf_handler *handler;
};

static int fill(const struct uf_fault *fault, void *arg)
{
	struct lazy *lazy = arg;
	char page[PAGE] __attribute__((aligned(PAGE))) = {0};

	if (pread(lazy->fd, page, PAGE, (off_t)(fault->page - (uintptr_t)lazy->base)) < 0)
		return -1; /* the access gets SIGBUS */
	return uf_fill_copy(lazy->handler, (void *)fault->page, page, PAGE) < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct lazy lazy;
	struct uf_stats stats;
	struct stat st;
	unsigned sum = 0;
	size_t len, i;

	if (argc != 2 || (lazy.fd = open(argv[1], O_RDONLY)) < 0 || fstat(lazy.fd, &st) < 0)
		err(1, "usage: lazy-callback FILE");
	len = ((size_t)st.st_size + PAGE - 1) & ~(PAGE - 1);
	lazy.base = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (lazy.base == MAP_FAILED)
		err(1, "mmap");
	if (uf_handle(lazy.base, len, UF_REGISTER_MODE_MISSING, fill, &lazy, &lazy.handler) < 0)
		errx(1, "%s", uf_why() ? uf_why() : "uf_handle");
	for (i = 0; i < (size_t)st.st_size; i++)
		sum = sum * 31 + (unsigned char)lazy.base[i];
	uf_get_stats(&stats);
	printf("%08x, %ju pages\n", sum, (uintmax_t)stats.pages_filled);
	return uf_unhandle(lazy.handler) < 0;
}
