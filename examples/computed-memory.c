/*
 * computed-memory [NUMBER] - an array of all numbers' least prime factors, of which only the pages
 * that somebody looks at are ever computed. Factors NUMBER (default 2 * 2147483647) by
 * looking its factors up, then walks over part of the array under a limit on memory.
 */
#include <userfault/userfault.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE	 4096ul
#define PER_PAGE (PAGE / sizeof(uint32_t))
#define NUMBERS	 (1ul << 32) /* 16 GiB of array */
#define WALK	 (1ul << 18)

/* Factors below 2^16 are enough for numbers below 2^32. */
static uint32_t primes[6542];
static size_t nprimes;

static void sieve(void)
{
	static unsigned char composite[1 << 16];
	size_t i, k;

	for (i = 2; i < sizeof(composite); i++) {
		if (composite[i])
			continue;
		primes[nprimes++] = (uint32_t)i;
		for (k = i * i; k < sizeof(composite); k += i)
			composite[k] = 1;
	}
}

/* The least prime factor of each number of the page, 0 for primes above 2^16 (and for 0 and 1). */
static ssize_t compute(void *arg, uint64_t page, void *buf, size_t size)
{
	uint64_t first = page * PER_PAGE, end = first + PER_PAGE, p, n;
	uint32_t *factor = buf;
	size_t i;

	(void)arg;
	memset(buf, 0, size);
	for (i = 0; i < nprimes && primes[i] * (uint64_t)primes[i] < end; i++) {
		p = primes[i];
		for (n = (first + p - 1) / p * p; n < end; n += p)
			if (n > 1 && factor[n - first] == 0)
				factor[n - first] = (uint32_t)p;
	}
	for (n = first > 2 ? first : 2; n < end && n < 1 << 16; n++)
		if (factor[n - first] == 0)
			factor[n - first] = (uint32_t)n;
	return (ssize_t)size;
}

static uint32_t by_division(uint64_t n)
{
	uint64_t p;

	for (p = 2; p * p <= n; p++)
		if (n % p == 0)
			return (uint32_t)p;
	return n < 2 || n >= 1 << 16 ? 0 : (uint32_t)n;
}

int main(int argc, char **argv)
{
	static const struct uf_type type = {.name = "least-factors", .fetch = compute};
	uint64_t number = argc > 1 ? strtoull(argv[1], NULL, 0) : 2147483647ul * 2, left, n;
	struct uf_type_stats stats;
	const uint32_t *factor;
	int error;

	if (number < 2 || number >= NUMBERS)
		errx(1, "usage: computed-memory [NUMBER below 2^32]");
	sieve();
	factor = uf_type_map(&type, NULL, NULL, NUMBERS * sizeof(*factor), PROT_READ, &error);
	if (factor == MAP_FAILED)
		errx(1, "uf_type_map: %s", uf_why() ? uf_why() : strerror(-error));
	printf("%ju =", (uintmax_t)number);
	for (left = number; factor[left]; left /= factor[left])
		printf(" %u", factor[left]);
	if (left > 1)
		printf(" %ju", (uintmax_t)left);
	uf_type_get_stats((void *)factor, &stats);
	printf(", in %ju pages\n", (uintmax_t)stats.fetched);

	error = uf_limit((void *)factor, NUMBERS * sizeof(*factor), 64 * PAGE);
	if (error)
		errx(1, "uf_limit: %s", strerror(-error));
	for (n = 0; n < WALK; n += 37)
		if (factor[n] != by_division(n))
			errx(1, "least factor of %ju: %u", (uintmax_t)n, factor[n]);
	uf_type_get_stats((void *)factor, &stats);
	printf("%ju pages computed, %ju left memory to be computed again\n",
	       (uintmax_t)stats.fetched, (uintmax_t)stats.saved);
	return uf_munmap((void *)factor, NUMBERS * sizeof(*factor)) != 0 || stats.errors != 0;
}
