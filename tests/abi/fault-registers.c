/* SPDX-License-Identifier: MIT */
/* A fault changes nothing of the program's registers, vector and flags ones included. */
#include "abi.h"

static double sum(const volatile double *v, size_t n)
{
	double a = 0, b = 1, c = 2, d = 3;

	for (size_t i = 0; i < n; i += PG / sizeof *v) {
		a += v[i];
		b += a * v[i];
		c += b - a;
		d += c * 0.5;
	}
	return a + b + c + d;
}

static void *compute(void *arg)
{
	static double result;

	result = sum(arg, 32 * PG / sizeof(double));
	return &result;
}

int main(void)
{
	struct thread t;
	void *result;

	start();
	char *src = map(32), *p = map(32);
	for (size_t i = 0; i < 32 * PG / sizeof(double); i++)
		((double *)src)[i] = i * 0.001 + 1;
	double want = sum((double *)src, 32 * PG / sizeof(double));

	int fd = uffd_open(0);
	EQ(reg(fd, p, 32 * PG, MISSING), 0);
	run(&t, compute, p);
	for (int i = 0; i < 32; i++) {
		FAULT(fd, p + i * PG, 0);
		DONE(copy(fd, p + i * PG, src + i * PG, PG, 0), PG);
	}
	EQ(pthread_join(t.id, &result), 0);
	CHECK(*(double *)result == want);
	return 0;
}
