/* SPDX-License-Identifier: MIT */
/* Unused bytes of a message are zero, whatever stood in the buffer before. */
#include "abi.h"

int main(void)
{
	unsigned char buffer[64];
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	reader(&t, p);
	CHECK(blocked(&t));
	memset(buffer, 0xff, sizeof buffer);
	EQ(read(fd, buffer, sizeof buffer), 32);
	EQ(buffer[0], UFFD_EVENT_PAGEFAULT);
	CHECK(all((char *)buffer + 1, 15, 0));
	uint64_t address;
	memcpy(&address, buffer + 16, sizeof address);
	EQ(address, (uintptr_t)p);
	CHECK(all((char *)buffer + 24, 8, 0));
	CHECK(all((char *)buffer + 32, 32, 0xff));
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);
	return 0;
}
