/* SPDX-License-Identifier: MIT */
/* Several events queue in order; each releases its own caller. */
#include "abi.h"

int main(void)
{
	struct call c[3];
	bool seen[3] = {false};

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP);
	char *p = map(8);
	EQ(reg(fd, p, 8 * PG, MISSING), 0);
	for (int i = 0; i < 3; i++)
		call_munmap(&c[i], p + 2 * i * PG, PG);
	for (int n = 0; n < 3; n++) {
		struct uffd_msg msg = next_msg(fd);
		EQ(msg.event, UFFD_EVENT_UNMAP);
		size_t i = (msg.remove.start - (uintptr_t)p) / PG / 2;
		CHECK(i < 3 && !seen[i]);
		EQ(msg.remove.start, (uintptr_t)p + 2 * i * PG);
		EQ(msg.remove.end, (uintptr_t)p + (2 * i + 1) * PG);
		seen[i] = true;
		EQ(returned(&c[i]), 0);
	}
	CHECK(quiet(fd));
	DONE(copy(fd, p + 7 * PG, page_of(1), PG, 0), PG);
	return 0;
}
