/* SPDX-License-Identifier: MIT */
/* THREAD_ID: messages name the thread that faults. */
#include "abi.h"

int main(void)
{
	struct thread t[3];

	start();
	int fd = uffd_open(UFFD_FEATURE_THREAD_ID);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	for (int i = 0; i < 3; i++) {
		reader(&t[i], p + i * PG);
		struct uffd_msg msg = next_msg(fd);
		fault_at(__FILE__, __LINE__, msg, p + i * PG, 0);
		EQ(msg.pagefault.ptid, t[i].tid);
	}
	DONE(zeropage(fd, p, 3 * PG, 0), 3 * PG);
	for (int i = 0; i < 3; i++)
		join(&t[i]);
	return 0;
}
