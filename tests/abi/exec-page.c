/* SPDX-License-Identifier: MIT */
/* Code in registered memory: fetching a missing instruction is a read fault. */
#include "abi.h"

#if defined(__x86_64__)
static const unsigned char code[] = {0xb8, 0x2a, 0x00, 0x00, 0x00, 0xc3};
#elif defined(__aarch64__)
static const unsigned char code[] = {0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6};
#endif

static void *call_it(void *arg)
{
	int (*function)(void) = (int (*)(void))arg;

	return (void *)(intptr_t)function();
}

int main(void)
{
	struct thread t;
	void *result;

	start();
	int fd = uffd_open(0);
	char *p = map_prot(2, PROT_READ | PROT_EXEC), *src = map(1);
	memcpy(src, code, sizeof code);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	run(&t, call_it, p);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, src, PG, 0), PG);
	EQ(pthread_join(t.id, &result), 0);
	EQ((intptr_t)result, 42);
	EQ(try_write(p, 1, NULL), SIGSEGV);

	/* Written first, made executable afterwards. */
	EQ(mprotect(p + PG, PG, PROT_READ | PROT_WRITE), 0);
	DONE(copy(fd, p + PG, src, PG, 0), PG);
	EQ(mprotect(p + PG, PG, PROT_READ | PROT_EXEC), 0);
	EQ((intptr_t)call_it(p + PG), 42);
	CHECK(quiet(fd));
	return 0;
}
