/* SPDX-License-Identifier: MIT */
/* With the SIGBUS feature the handler may fill the page and return: the access then succeeds. */
#include "abi.h"

static int fd;
static char *src;

static void on_bus(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	char *page = (char *)((uintptr_t)info->si_addr & -PG);
	DONE(copy(fd, page, src, PG, 0), PG);
}

int main(void)
{
	struct sigaction act = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};

	start();
	fd = uffd_open(UFFD_FEATURE_SIGBUS);
	src = page_of(0x29);
	EQ(sigaction(SIGBUS, &act, NULL), 0);
	char *p = map(200);
	EQ(reg(fd, p, 200 * PG, MISSING), 0);
	CHECK(all(p, 100 * PG, 0x29));
	for (int i = 100; i < 200; i++)
		p[i * PG + i] = 1;
	EQ(p[150 * PG + 150], 1);
	EQ(p[150 * PG + 151], 0x29);
	return 0;
}
