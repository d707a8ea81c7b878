/* SPDX-License-Identifier: MIT */
/* pagemap tells for every page whether it is present, swapped (a mark) or write-protected. */
#include "abi.h"

#define BITS (PM_PRESENT | PM_SWAP | PM_UFFD_WP | PM_FILE | PM_EXCLUSIVE)

int main(void)
{
	static uint64_t want[8] = {
		[0] = PM_PRESENT | PM_EXCLUSIVE, [1] = PM_PRESENT | PM_EXCLUSIVE | PM_UFFD_WP,
		[3] = PM_SWAP | PM_UFFD_WP,	 [4] = PM_SWAP,
		[5] = PM_PRESENT | PM_EXCLUSIVE, [7] = PM_PRESENT | PM_EXCLUSIVE,
	};
	uint64_t entries[8];

	start();
	need_features(UFFD_FEATURE_POISON);
	int fd = uffd_open(UFFD_FEATURE_WP_UNPOPULATED);
	char *p = map(8);
	p[0] = 1;
	EQ(reg(fd, p, 6 * PG, MISSING | WP), 0);
	DONE(copy(fd, p + PG, page_of(1), PG, UFFDIO_COPY_MODE_WP), PG);
	EQ(protect(fd, p + 3 * PG, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	DONE(poison(fd, p + 4 * PG, PG, 0), PG);
	DONE(copy(fd, p + 5 * PG, page_of(2), PG, 0), PG);
	p[7 * PG] = 1;

	/* One read over registered pages and their unregistered neighbours. */
	int pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	CHECK(pagemap_fd >= 0);
	off_t at = (uintptr_t)p / PG * 8;
	EQ(pread(pagemap_fd, entries, sizeof entries, at), sizeof entries);
	for (int i = 0; i < 8; i++)
		EQ(entries[i] & BITS, want[i]);

	/* And the same through the file position. */
	memset(entries, 0, sizeof entries);
	EQ(lseek(pagemap_fd, at, SEEK_SET), at);
	EQ(read(pagemap_fd, entries, 3 * 8), 3 * 8);
	EQ(read(pagemap_fd, entries + 3, 5 * 8), 5 * 8);
	for (int i = 0; i < 8; i++)
		EQ(entries[i] & BITS, want[i]);
	ERR(pread(pagemap_fd, entries, 7, at), EINVAL);
	ERR(pread(pagemap_fd, entries, 8, at + 1), EINVAL);
	CHECK(quiet(fd));
	return 0;
}
