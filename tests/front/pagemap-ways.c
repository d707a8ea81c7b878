/* SPDX-License-Identifier: MIT */
/* pagemap says the same by every way to read it, across managed memory and its neighbours. */
#include "abi.h"

#include <sys/uio.h>

#define PAGES 6

static uint64_t by_pread[PAGES];

static void same(const uint64_t *words)
{
	for (int i = 0; i < PAGES; i++)
		EQ(words[i] >> 55, by_pread[i] >> 55);
}

int main(void)
{
	char path[64], *p, *around;
	uint64_t words[PAGES];
	off_t at;
	int fd, file;

	start();
	fd = uffd_open(0);
	around = map(PAGES);
	p = around + PG;
	around[0] = 1;
	around[5 * PG] = 1;
	EQ(reg(fd, p, 4 * PG, MISSING | WP), 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	DONE(copy(fd, p + PG, page_of(1), PG, UFFDIO_COPY_MODE_WP), PG);
	at = (uintptr_t)around / PG * 8;

	file = open("/proc/self/pagemap", O_RDONLY);
	EQ(pread(file, by_pread, sizeof(by_pread), at), sizeof(by_pread));
	for (int i = 0; i < PAGES; i++) {
		EQ(by_pread[i] >> 63, i < 3 || i == 5);
		EQ(by_pread[i] >> 57 & 1, i == 2);
	}
	EQ(lseek(file, at, SEEK_SET), at);
	EQ(read(file, words, sizeof(words)), sizeof(words));
	same(words);
	EQ(lseek(file, 0, SEEK_CUR), at + (off_t)sizeof(words));
	memset(words, 0, sizeof(words));
	struct iovec iov[2] = {{words, 24}, {words + 3, sizeof(words) - 24}};
	EQ(preadv(file, iov, 2, at), sizeof(words));
	same(words);
	int second = dup(file);
	close(file);
	memset(words, 0, sizeof(words));
	EQ(pread(second, words, sizeof(words), at), sizeof(words));
	same(words);
	EQ(syscall(SYS_pread64, second, words, sizeof(words), at), sizeof(words));
	same(words);
	close(second);

	snprintf(path, sizeof(path), "/proc/%d/pagemap", getpid());
	FILE *stream = fopen(path, "rb");
	CHECK(stream);
	EQ(fseeko(stream, at, SEEK_SET), 0);
	EQ(fread(words, 8, PAGES, stream), PAGES);
	same(words);
	EQ(fclose(stream), 0);
	return 0;
}
