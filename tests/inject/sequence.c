/*
 * sequence: what became of each of many fills and registrations, one a line: errno, and what the
 * output field says.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "userfault/abi.h"

#define PAGE  ((uint64_t)4096)
#define PAGES ((uint64_t)4)
#define TIMES 300

int main(void)
{
	struct uf_api api = {.api = UF_API};
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC), err;
	char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	static char contents[4 * 4096];
	struct uf_register reg = {.range = {(uint64_t)memory, PAGES * PAGE},
				  .mode = UF_REGISTER_MODE_MISSING | UF_REGISTER_MODE_WP};

	if (uffd < 0 || memory == MAP_FAILED || ioctl(uffd, UF_IO_API, &api) != 0)
		return 1;
	for (unsigned i = 0; i < TIMES; i++) {
		struct uf_copy copy = {.dst = (uint64_t)memory,
				       .src = (uint64_t)contents,
				       .len = PAGES * PAGE,
				       .copy = 0x5555};
		struct uf_zeropage zero = {.range = reg.range, .zeropage = 0x5555};
		struct uf_writeprotect wp = {reg.range, UF_WRITEPROTECT_MODE_WP};

		err = ioctl(uffd, UF_IO_REGISTER, &reg) ? errno : 0;
		printf("register %d\n", err);
		err = ioctl(uffd, UF_IO_COPY, &copy) ? errno : 0;
		printf("copy %d %jd\n", err, (intmax_t)copy.copy);
		err = ioctl(uffd, UF_IO_WRITEPROTECT, &wp) ? errno : 0;
		printf("protect %d\n", err);
		if (madvise(memory, PAGES * PAGE, MADV_DONTNEED) != 0)
			return 1;
		err = ioctl(uffd, UF_IO_ZEROPAGE, &zero) ? errno : 0;
		printf("zeropage %d %jd\n", err, (intmax_t)zero.zeropage);
		if (madvise(memory, PAGES * PAGE, MADV_DONTNEED) != 0)
			return 1;
	}
	return 0;
}
