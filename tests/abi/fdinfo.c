/* SPDX-License-Identifier: MIT */
/* fdinfo counts the unread faults and all that wait, and shows what was negotiated. */
#include "abi.h"

static void expect(int fd, long pending, long total, uint64_t features)
{
	char path[64], text[512];
	unsigned long got_pending, got_total;
	unsigned int api;
	unsigned long long got_features, ioctls;

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	int info = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(info >= 0);
	ssize_t n = read(info, text, sizeof text - 1);
	CHECK(n > 0);
	close(info);
	text[n] = 0;

	char *at = strstr(text, "pending:\t");
	CHECK(at);
	EQ(sscanf(at, "pending:\t%lu\ntotal:\t%lu\nAPI:\t%x:%llx:%llx\n", &got_pending, &got_total,
		  &api, &got_features, &ioctls),
	   5);
	EQ(got_pending, pending);
	EQ(got_total, total);
	EQ(api, 0xaa);
	EQ(got_features, features);
	EQ(ioctls & 0x800000000000001full, 0x800000000000001full);
}

int main(void)
{
	struct thread t[3];

	start();
	int fd = uffd_new(O_NONBLOCK);
	expect(fd, 0, 0, 0);
	close(fd);

	uint64_t features = uffd_features() & UFFD_FEATURE_THREAD_ID;
	fd = uffd_open(features);
	expect(fd, 0, 0, 1ull << 31 | features);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	for (int i = 0; i < 3; i++) {
		reader(&t[i], p + i * PG);
		CHECK(blocked(&t[i]));
	}
	expect(fd, 3, 3, 1ull << 31 | features);
	next_msg(fd);
	next_msg(fd);
	expect(fd, 1, 3, 1ull << 31 | features);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t[0]);
	expect(fd, 1, 2, 1ull << 31 | features);
	DONE(zeropage(fd, p + PG, 2 * PG, 0), 2 * PG);
	join(&t[1]);
	join(&t[2]);
	expect(fd, 0, 0, 1ull << 31 | features);
	return 0;
}
