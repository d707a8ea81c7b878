/* SPDX-License-Identifier: MIT */
/* A file mapped over registered memory is that file; what stays registered goes on. */
#include "abi.h"

int main(void)
{
	struct thread t;
	char name[] = "/tmp/abi-map-XXXXXX";

	start();
	int fd = uffd_open(0), file = mkstemp(name);
	CHECK(file >= 0);
	EQ(unlink(name), 0);
	EQ(write(file, page_of('f'), PG), PG);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	DONE(copy(fd, p + PG, page_of(1), PG, 0), PG);
	EQ((long)mmap(p + PG, PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0),
	   (long)(p + PG));
	CHECK(all(p + PG, PG, 'f'));
	p[PG] = 'g';
	char byte;
	EQ(pread(file, &byte, 1, 0), 1);
	EQ(byte, 'g');
	CHECK(quiet(fd));
	for (int i = 0; i < 3; i += 2) {
		reader(&t, p + i * PG);
		FAULT(fd, p + i * PG, 0);
		DONE(zeropage(fd, p + i * PG, PG, 0), PG);
		join(&t);
	}
	return 0;
}
