/* SPDX-License-Identifier: MIT */
/* Offsets that a call moves, entries of a directory and pages given to a pipe. */
#include "served.h"

#include <sys/sendfile.h>
#include <sys/uio.h>

int main(void)
{
	int pipes[2];
	loff_t zero = 0, two = 2, *in, *out;
	char back[100];

	serve();
	int from = memfd_create("from", MFD_CLOEXEC), to = memfd_create("to", MFD_CLOEXEC);
	EQ(write(from, "0123456789", 10), 10);
	EQ(pipe(pipes), 0);

	in = lend_over(&two, 8);
	EQ(SYS(SYS_sendfile, to, from, in, 3), 3);
	ASKED(2);
	EQ(*in, 5);
	in = lend(&zero, 8);
	out = lend(&two, 8);
	EQ(SYS(SYS_copy_file_range, from, in, to, out, 4, 0), 4);
	ASKED(2);
	EQ(*in, 4);
	EQ(*out, 6);
	EQ(pread(to, back, 100, 0), 6);
	CHECK(memcmp(back, "230123", 6) == 0);
	in = lend(&two, 8);
	EQ(SYS(SYS_splice, from, in, pipes[1], NULL, 5, 0), 5);
	ASKED(1);
	EQ(*in, 7);
	out = lend(&zero, 8);
	EQ(SYS(SYS_splice, pipes[0], NULL, to, out, 5, 0), 5);
	ASKED(1);
	EQ(*out, 5);
	EQ(pread(to, back, 100, 0), 6);
	CHECK(memcmp(back, "234563", 6) == 0);

	struct iovec iov = {lend("given", 5), 5};
	EQ(SYS(SYS_vmsplice, pipes[1], lend(&iov, sizeof iov), 1, 0), 5);
	ASKED(2);
	EQ(read(pipes[0], back, 100), 5);
	CHECK(memcmp(back, "given", 5) == 0);
	EQ(write(pipes[1], "taken", 5), 5);
	iov.iov_base = lend_over(NULL, 8);
	iov.iov_len = 8;
	EQ(SYS(SYS_vmsplice, pipes[0], lend(&iov, sizeof iov), 1, 0), 5);
	ASKED(3);
	CHECK(memcmp(iov.iov_base, "taken", 5) == 0);

	/* As many entries as without faults, and each once. */
	int dir = open("/proc/self/fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dir >= 0);
	char *plain = malloc(2 * PG), *entries = lend_over(NULL, 2 * PG);
	long n = SYS(SYS_getdents64, dir, plain, 2 * PG);
	CHECK(n > 64);
	EQ(lseek(dir, 0, SEEK_SET), 0);
	EQ(SYS(SYS_getdents64, dir, entries, 2 * PG), n);
	ASKED(2);
	EQ(memcmp(entries + 24, plain + 24, 1), 0);
	EQ(SYS(SYS_getdents64, dir, entries, 2 * PG), 0);
	ASKED(0);
	return 0;
}
