/*
 * lazy-reader FILE - map a file lazily: a page is read when it is first touched, by a second thread
 * that reads fault messages. Prints a checksum of the file.
 */
#include <userfault/userfault.h>

#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096ul

static char *base;
static int file, uffd;

static void *serve(void *unused)
{
	static char page[PAGE];
	struct uf_copy copy = {.src = (uintptr_t)page, .len = PAGE};
	struct uf_msg msg;

	while (uf_read(uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		copy.dst = msg.arg.pagefault.address & -PAGE;
		memset(page, 0, PAGE);
		if (pread(file, page, PAGE, (off_t)(copy.dst - (uintptr_t)base)) < 0)
			err(1, "pread");
		uf_ioctl(uffd, UF_IO_COPY, &copy);
	}
	return unused;
}

int main(int argc, char **argv)
{
	struct uf_api api = {.api = UF_API};
	struct uf_register reg = {.mode = UF_REGISTER_MODE_MISSING};
	struct stat st;
	pthread_t thread;
	unsigned sum = 0;

	if (argc != 2 || (file = open(argv[1], O_RDONLY)) < 0 || fstat(file, &st) < 0)
		err(1, "usage: lazy-reader FILE");
	reg.range.len = ((size_t)st.st_size + PAGE - 1) & ~(PAGE - 1);
	base = mmap(NULL, reg.range.len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = (uintptr_t)base;
	uffd = uf_open(O_CLOEXEC);
	if (base == MAP_FAILED || uffd < 0 || uf_ioctl(uffd, UF_IO_API, &api) ||
	    uf_ioctl(uffd, UF_IO_REGISTER, &reg) || pthread_create(&thread, NULL, serve, NULL))
		errx(1, "%s", uf_why() ? uf_why() : "cannot start");
	for (off_t i = 0; i < st.st_size; i++)
		sum = sum * 31 + (unsigned char)base[i];
	printf("%08x\n", sum);
	return 0;
}
