/* SPDX-License-Identifier: MIT */
/* read gives faults first and events after them, whatever came first. */
#include "abi.h"

int main(void)
{
	struct uffd_msg msgs[4];
	struct thread t[2];
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMOVE);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	call_madvise(&c, p + 2 * PG, PG, MADV_DONTNEED);
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	EQ(poll(&ready, 1, -1), 1);
	for (int i = 0; i < 2; i++) {
		reader(&t[i], p + i * PG);
		CHECK(blocked(&t[i]));
	}
	EQ(read(fd, msgs, sizeof msgs), 3 * 32);
	fault_at(__FILE__, __LINE__, msgs[0], p, 0);
	fault_at(__FILE__, __LINE__, msgs[1], p + PG, 0);
	event_at(__FILE__, __LINE__, msgs[2], UFFD_EVENT_REMOVE, (uintptr_t)p + 2 * PG,
		 (uintptr_t)p + 3 * PG, 0);
	EQ(returned(&c), 0);
	DONE(zeropage(fd, p, 2 * PG, 0), 2 * PG);
	join(&t[0]);
	join(&t[1]);
	return 0;
}
