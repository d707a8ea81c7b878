/* SPDX-License-Identifier: MIT */
/* Descriptors and ranges that come and go by the hundred leave nothing behind. */
#include "abi.h"

static long count_mappings(void)
{
	char line[4096];
	long count = 0;
	FILE *maps = fopen("/proc/self/maps", "re");

	CHECK(maps);
	while (fgets(line, sizeof line, maps))
		count++;
	fclose(maps);
	return count;
}

static void one_life(int i)
{
	struct thread t;
	int fd = uffd_open(0);
	char *p = map(16);

	p[3 * PG] = i;
	EQ(reg(fd, p, 16 * PG, MISSING), 0);
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, page_of(i), PG, 0), PG);
	join(&t);
	EQ(t.byte, i);
	EQ(p[3 * PG], (char)i);
	if (i % 3 == 0)
		EQ(unreg(fd, p, 16 * PG), 0);
	if (i % 3 == 1)
		EQ(munmap(p, 16 * PG), 0);
	close(fd);
	if (i % 3 != 1)
		EQ(munmap(p, 16 * PG), 0);
}

int main(void)
{
	start();
	for (int i = 0; i < 20; i++)
		one_life(i);
	long before = count_mappings();
	for (int i = 0; i < 200; i++)
		one_life(i % 200);
	/* The sources of the copies stay, merged or not. */
	CHECK(count_mappings() <= before + 2 * 200 + 20);
	/* The lowest free descriptor is what it was. */
	int fd = open("/dev/null", O_RDONLY);
	EQ(fd, 3);
	return 0;
}
