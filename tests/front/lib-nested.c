/* SPDX-License-Identifier: MIT */
/* A callback may touch memory of another handler: its callback runs inside the first. */
#include "lib.h"

#define DEPTH 8

static struct uf_handler *handler[DEPTH];
static volatile char *area[DEPTH];
static volatile int order[DEPTH], calls;

static int fill(const struct uf_fault *fault, void *arg)
{
	int n = (int)(intptr_t)arg;
	char contents[PG];

	order[calls++] = n;
	memset(contents, n + 1, PG);
	if (n + 1 < DEPTH)
		contents[0] = (char)(area[n + 1][PG] + 100);
	return uf_fill_copy(handler[n], (void *)fault->page, contents, PG) == PG ? 0 : -EIO;
}

int main(void)
{
	int i;

	start();
	for (i = 0; i < DEPTH; i++) {
		area[i] = map(2);
		EQ(uf_handle((void *)area[i], 2 * PG, UF_REGISTER_MODE_MISSING, fill,
			     (void *)(intptr_t)i, &handler[i]),
		   0);
	}
	EQ(area[0][PG + 1], 1);
	EQ(calls, DEPTH);
	for (i = 0; i < DEPTH; i++) {
		EQ(order[i], i);
		EQ(area[i][PG + 1], i + 1);
	}
	EQ(calls, DEPTH);
	EQ(area[DEPTH - 2][PG], DEPTH + 100);
	for (i = 0; i < DEPTH; i++)
		EQ(uf_unhandle(handler[i]), 0);
	return 0;
}
