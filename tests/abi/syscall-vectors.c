/* SPDX-License-Identifier: MIT */
/* Vectors in missing pages, of data in missing pages, at an offset and at the file's position. */
#include "served.h"

#include <sys/uio.h>

static void *vector(void *a, size_t a_len, void *b, size_t b_len)
{
	struct iovec iov[2] = {{a, a_len}, {b, b_len}};

	return lend_over(iov, sizeof iov);
}

int main(void)
{
	char file[2 * PG + 10], *a, *b;

	serve();
	int fd = memfd_create("abi", MFD_CLOEXEC);
	EQ(SYS(SYS_writev, fd, vector(lend("hello ", 6), 6, lend_over("world", 5), 5), 2), 11);
	ASKED(5);
	EQ(SYS(SYS_pwritev, fd, vector(lend("HELLO", 5), 5, lend("_", 1), 1), 2, 0), 6);
	ASKED(4);
	EQ(SYS(SYS_pwritev2, fd, vector(lend("WOR", 3), 3, lend("L", 1), 1), 2, 6, 0, 0), 4);
	ASKED(4);
	EQ(SYS(SYS_pwrite64, fd, lend_over("D!!!!!!!", 8), 8, 10), 8);
	ASKED(2);
	EQ(pread(fd, file, 18, 0), 18);
	CHECK(memcmp(file, "HELLO_WORLD!!!!!!!", 18) == 0);

	EQ(lseek(fd, 0, SEEK_SET), 0);
	EQ(SYS(SYS_readv, fd, vector(a = lend(NULL, 6), 6, b = lend_over(NULL, 8), 5), 2), 11);
	ASKED(5);
	CHECK(memcmp(a, "HELLO_", 6) == 0 && memcmp(b, "WORLD", 5) == 0);
	EQ(SYS(SYS_preadv, fd, vector(a = lend(NULL, 2), 2, b = lend(NULL, 3), 3), 2, 6), 5);
	ASKED(4);
	CHECK(memcmp(a, "WO", 2) == 0 && memcmp(b, "RLD", 3) == 0);
	EQ(SYS(SYS_preadv2, fd, vector(a = lend(NULL, 2), 2, b = lend(NULL, 3), 3), 2, -1, 0, 0),
	   5);
	ASKED(4);
	CHECK(memcmp(a, "!!", 2) == 0 && memcmp(b, "!!!", 3) == 0);
	/* The end of the file comes before the third page. */
	a = lend(NULL, 3 * PG);
	EQ(SYS(SYS_pread64, fd, a, 3 * PG, 0), 18);
	ASKED(1);

	/* Larger than anything holds at a time, through a pipe that holds less. */
	char *large = malloc(100 * PG);
	for (size_t i = 0; i < 100 * PG; i++)
		large[i] = (char)(i * 31 >> 3);
	EQ(SYS(SYS_pwrite64, fd, lend(large, 100 * PG), 100 * PG, 0), 100 * PG);
	ASKED(100);
	a = lend(NULL, 100 * PG);
	EQ(SYS(SYS_pread64, fd, a, 100 * PG, 0), 100 * PG);
	ASKED(100);
	CHECK(memcmp(a, large, 100 * PG) == 0);
	return 0;
}
