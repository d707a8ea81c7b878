/* SPDX-License-Identifier: MIT */
/* readv counts all its pieces together, however small they are. */
#include "abi.h"

#include <sys/uio.h>

int main(void)
{
	char buffer[2][64];
	struct uffd_msg msg;
	struct thread t[2];

	start();
	int fd = uffd_open(0);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);

	struct iovec pieces[4] = {
		{buffer[0], 5}, {buffer[0] + 5, 27}, {buffer[0] + 32, 16}, {buffer[0] + 48, 16}};
	ERR(readv(fd, pieces, 4), EAGAIN);
	ERR(readv(fd, pieces, 1), EINVAL);
	for (int i = 0; i < 2; i++) {
		reader(&t[i], p + i * PG);
		CHECK(blocked(&t[i]));
	}
	EQ(readv(fd, pieces, 4), 64);
	for (int i = 0; i < 2; i++) {
		memcpy(&msg, buffer[0] + i * 32, 32);
		fault_at(__FILE__, __LINE__, msg, p + i * PG, 0);
	}
	CHECK(quiet(fd));
	DONE(zeropage(fd, p, 2 * PG, 0), 2 * PG);
	join(&t[0]);
	join(&t[1]);
	return 0;
}
