/* SPDX-License-Identifier: MIT */
/* An access that crosses from one page into the next needs both of them. */
#include "abi.h"

typedef volatile uint64_t __attribute__((aligned(1))) unaligned;

static void *read_across(void *arg)
{
	uint64_t value;

	memcpy(&value, arg, sizeof value);
	return (void *)value;
}

static void *write_across(void *arg)
{
	*(unaligned *)arg = 0x1122334455667788;
	return NULL;
}

/* Both pages are asked for, in either order, with these flags; fills each once. */
static void serve_two(int fd, char *page, uint64_t flags)
{
	bool filled[2] = {false};

	while (!filled[0] || !filled[1]) {
		struct uffd_msg msg = next_msg(fd);
		size_t i = (msg.pagefault.address - (uintptr_t)page) / PG;
		CHECK(i < 2);
		fault_at(__FILE__, __LINE__, msg, page + i * PG, flags);
		CHECK(!filled[i]);
		DONE(copy(fd, page + i * PG, page_of(0x10 + i), PG, 0), PG);
		filled[i] = true;
	}
}

int main(void)
{
	struct thread t;
	void *value;

	start();
	int fd = uffd_open(0);
	char *p = map(6);
	EQ(reg(fd, p, 6 * PG, MISSING), 0);
	run(&t, read_across, p + PG - 3);
	serve_two(fd, p, 0);
	EQ(pthread_join(t.id, &value), 0);
	EQ((uintptr_t)value, 0x1111111111101010);

	run(&t, write_across, p + 3 * PG - 3);
	serve_two(fd, p + 2 * PG, UFFD_PAGEFAULT_FLAG_WRITE);
	join(&t);
	uint64_t written;
	memcpy(&written, p + 3 * PG - 3, sizeof written);
	EQ(written, 0x1122334455667788);
	EQ(p[3 * PG - 4], 0x10);
	EQ(p[3 * PG + 5], 0x11);

	/* From ordinary memory into missing memory. */
	EQ(unreg(fd, p + 4 * PG, PG), 0);
	memset(p + 4 * PG, 0x10, PG);
	run(&t, read_across, p + 5 * PG - 3);
	FAULT(fd, p + 5 * PG, 0);
	DONE(copy(fd, p + 5 * PG, page_of(0x11), PG, 0), PG);
	EQ(pthread_join(t.id, &value), 0);
	EQ((uintptr_t)value, 0x1111111111101010);
	CHECK(quiet(fd));
	return 0;
}
