/* inject.c - which operations are met, and how hard. */
#include "uffd/inject.h"

#include "uffd/context.h"

/* The longest storm, in ioctls. */
#define STORM_MOST 16u

const struct uffd_inject *uffd_injecting;

void uffd_inject_begin(const struct uffd_inject *inject)
{
	static struct uffd_inject own;

	own = *inject;
	uffd_injecting = &own;
}

uint64_t inject_next(struct uffd_ctx *ctx, enum inject_op op)
{
	return atomic_fetch_add_explicit(&ctx->injected[op], 1, memory_order_relaxed);
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

/* 32 bits that depend on these alone. */
static uint64_t draw(enum inject_op op, unsigned what, uint64_t n)
{
	uint64_t kind = (uint64_t)op << 8 | what;

	return mix(mix(uffd_injecting->seed + kind * 0x9e3779b97f4a7c15) + n) >> 32;
}

bool inject_met(enum inject_op op, enum inject_kind kind, uint64_t n)
{
	const struct inject_when *when = &uffd_injecting->when[op][kind];

	if (when->every)
		return (n + 1) % when->every == 0;
	return when->chance && draw(op, kind, n) < when->chance;
}

uint64_t inject_pick(enum inject_op op, uint64_t n, uint64_t limit)
{
	return (draw(op, INJECT_KINDS, n) * limit) >> 32;
}

/* One that began a little earlier may not be over. */
bool inject_stormy(uint64_t n)
{
	const struct inject_when *when = &uffd_injecting->when[INJECT_CHANGE][INJECT_STORM];

	if (!when->chance && !when->every)
		return false;
	for (uint64_t ago = 0; ago < STORM_MOST && ago <= n; ago++)
		if (inject_met(INJECT_CHANGE, INJECT_STORM, n - ago) &&
		    inject_pick(INJECT_CHANGE, n - ago, STORM_MOST) >= ago)
			return true;
	return false;
}

void inject_count(struct uffd_ctx *ctx, enum mm_stat what)
{
	mm_stat_add(uffd_space(ctx)->stats, what, 1);
}

/* ---- Delays ------------------------------------------------------------------------------------
 */

/* log2(2^32 / x), 16 fractional bits; x not 0, at most 2^32. */
static uint64_t log2_inverse(uint64_t x)
{
	unsigned top = 63 - (unsigned)__builtin_clzll(x);
	uint64_t m = x << (63 - top) >> 31, log = (uint64_t)top << 16;

	/* m is in [1, 2) with 32 fractional bits: each squaring gives a bit of its logarithm. */
	for (unsigned bit = 16; bit-- > 0;) {
		m = (m >> 1) * (m >> 1) >> 30;
		if (m >> 33) {
			m >>= 1;
			log |= 1u << bit;
		}
	}
	return ((uint64_t)32 << 16) - log;
}

/* log2(50): from one half down to one in a hundred. */
#define HALF_TO_HUNDREDTH 369876u

/*
 * An exponential distribution up to the median, and another one from there on, so that both
 * quantiles are what was asked for.
 */
static uint64_t length(const struct inject_delay *d, uint64_t random)
{
	uint64_t rest = ((uint64_t)1 << 32) - random; /* the part that takes longer */
	uint64_t log = log2_inverse(rest);

	if (d->p50 == d->p99)
		return d->p50;
	if (log < 1u << 16)
		return d->p50 * log >> 16;
	return d->p50 + (d->p99 - d->p50) * (log - (1u << 16)) / HALF_TO_HUNDREDTH;
}

uint64_t inject_delay(struct uffd_ctx *ctx, enum inject_op op, uint64_t n)
{
	if (!inject_met(op, INJECT_DELAY, n))
		return 0;
	inject_count(ctx, MM_STAT_INJECT_DELAY);
	return length(&uffd_injecting->delay[op], draw(op, INJECT_KINDS + 1, n));
}
