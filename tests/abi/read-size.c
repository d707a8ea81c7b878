/* SPDX-License-Identifier: MIT */
/* How much read asks for and gets. */
#include "abi.h"

int main(void)
{
	char buffer[112];
	struct thread t[3];

	start();
	int fd = uffd_open(0);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	ERR(read(fd, buffer, 0), EINVAL);
	ERR(read(fd, buffer, 31), EINVAL);
	ERR(read(fd, buffer, 32), EAGAIN);
	ERR(read(fd, buffer, sizeof buffer), EAGAIN);

	/* One after the other, so that their order is known. */
	struct uffd_msg msg;
	for (int i = 0; i < 3; i++) {
		reader(&t[i], p + i * PG);
		wait_asleep(&t[i]);
	}
	ERR(read(fd, buffer, 31), EINVAL);
	EQ(read(fd, buffer, 40), 32);
	memcpy(&msg, buffer, sizeof msg);
	fault_at(__FILE__, __LINE__, msg, p, 0);
	EQ(read(fd, buffer, sizeof buffer), 64);
	memcpy(&msg, buffer, sizeof msg);
	fault_at(__FILE__, __LINE__, msg, p + PG, 0);
	memcpy(&msg, buffer + 32, sizeof msg);
	fault_at(__FILE__, __LINE__, msg, p + 2 * PG, 0);

	/* All three wait again; what does not fit stays. */
	EQ(wake(fd, p, 3 * PG), 0);
	struct thread more;
	reader(&more, p);
	ssize_t got = 0, n;
	while (got < 4 * 32)
		if ((n = read(fd, buffer, sizeof buffer)) > 0) {
			CHECK(n <= 96);
			EQ(n % 32, 0);
			got += n;
		}
	EQ(got, 4 * 32);
	CHECK(quiet(fd));
	DONE(zeropage(fd, p, 3 * PG, 0), 3 * PG);
	for (int i = 0; i < 3; i++)
		join(&t[i]);
	join(&more);
	return 0;
}
