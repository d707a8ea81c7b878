/*
 * report.c - the statistics of a run, which its processes keep in the session's ledger
 * (front/session.h), and what is told of them at the end.
 */
#include "cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front/session.h"

/* What the processes of the run add up to. */
struct sum {
	unsigned processes;
	char traps[64];
	struct mm_stats stats;
	/* Every process has a limit of its own: those of the one that used most. */
	uint64_t mappings, budget;
};

static void add_trap(struct sum *sum, const char *trap)
{
	size_t len = strlen(sum->traps);

	if (!trap[0] || strstr(sum->traps, trap))
		return;
	snprintf(sum->traps + len, sizeof(sum->traps) - len, "%s%s", len ? ", " : "", trap);
}

static void add_stats(struct sum *sum, const struct mm_stats *s, uint64_t mappings, uint64_t budget)
{
	uint64_t max = atomic_load(&s->latency_max);

	for (unsigned i = 0; i < MM_STAT_MAX; i++)
		mm_stat_add(&sum->stats, i, atomic_load(&s->count[i]));
	for (unsigned i = 0; i < MM_LATENCY_BUCKETS; i++)
		sum->stats.latency[i] += atomic_load(&s->latency[i]);
	if (max > sum->stats.latency_max)
		sum->stats.latency_max = max;
	if (mappings >= sum->mappings) {
		sum->mappings = mappings;
		sum->budget = budget;
	}
}

/* Only who made a userfaultfd counts, not who only answered for others. */
static void add_slot(struct sum *sum, const struct session_slot *slot)
{
	const _Atomic uint64_t *count = slot->stats.count;
	char trap[16];

	if (!(atomic_load(&slot->roles) & SLOT_OWNER))
		return;
	memcpy(trap, slot->trap, sizeof(trap));
	trap[sizeof(trap) - 1] = 0;
	add_trap(sum, trap);
	add_stats(sum, &slot->stats, atomic_load(&count[MM_STAT_MAPPINGS]),
		  atomic_load(&count[MM_STAT_BUDGET]));
	sum->processes++;
}

static const struct sum *add_up(const struct session_header *h)
{
	const struct session_slot *slot =
		(const struct session_slot *)((const char *)h + SESSION_SLOTS_AT);
	uint32_t high = atomic_load(&h->high), traps = atomic_load(&h->departed_traps);
	static struct sum sum;

	if (traps & 1)
		add_trap(&sum, "guard");
	if (traps & 2)
		add_trap(&sum, "mprotect");
	sum.processes = atomic_load(&h->departed);
	add_stats(&sum, &h->departed_stats, atomic_load(&h->departed_mappings),
		  atomic_load(&h->departed_budget));
	for (uint32_t i = 0; i < high && i < SESSION_SLOTS; i++)
		add_slot(&sum, &slot[i]);
	return &sum;
}

static void line(const char *label)
{
	fprintf(stderr, "  %-22s", label);
}

static void print_duration(const char *label, uint64_t ns)
{
	if (ns < 100000)
		fprintf(stderr, "%s %.1f us", label, (double)ns / 1e3);
	else if (ns < 100000000)
		fprintf(stderr, "%s %.1f ms", label, (double)ns / 1e6);
	else
		fprintf(stderr, "%s %.1f s", label, (double)ns / 1e9);
}

/* A quantile is the upper border of a bucket, which may lie above all that was seen. */
static uint64_t quantile(const struct mm_stats *s, unsigned percent)
{
	uint64_t ns = mm_stat_quantile(s, percent, 100);

	return ns < s->latency_max ? ns : s->latency_max;
}

static void print_faults(const struct mm_stats *s)
{
	const _Atomic uint64_t *n = s->count;
	uint64_t served = 0;

	line("faults to handlers");
	fprintf(stderr,
		"missing %" PRIu64 ", write-protect %" PRIu64 ", minor %" PRIu64
		", read-write-protect %" PRIu64 "\n",
		n[MM_STAT_MISSING], n[MM_STAT_WP], n[MM_STAT_MINOR], n[MM_STAT_RWP]);

	for (unsigned i = 0; i < MM_LATENCY_BUCKETS; i++)
		served += s->latency[i];
	line("their latency");
	if (served) {
		print_duration("p50", quantile(s, 50));
		print_duration(", p99", quantile(s, 99));
		print_duration(", max", s->latency_max);
		fputc('\n', stderr);
	} else {
		fputs("none was served\n", stderr);
	}

	line("other faults");
	fprintf(stderr,
		"ordinary %" PRIu64 ", TLB misses %" PRIu64 ", lifted without a message %" PRIu64
		", SIGBUS %" PRIu64 "\n",
		n[MM_STAT_ORDINARY], n[MM_STAT_TLB], n[MM_STAT_ASYNC], n[MM_STAT_SIGBUS]);
}

/* What only some runs have is not spoken of in the others. */
static void print_reclaim(const _Atomic uint64_t *n)
{
	if (n[MM_STAT_OUT] || n[MM_STAT_BACK]) {
		line("pages out and in");
		fprintf(stderr,
			"%" PRIu64 " left, %" PRIu64 " came back; resident at most %" PRIu64
			", swap at most %" PRIu64 " KiB\n",
			n[MM_STAT_OUT], n[MM_STAT_BACK], n[MM_STAT_RESIDENT],
			n[MM_STAT_SWAP] / 1024);
	}
	if (n[MM_STAT_REFUSED]) {
		line("memory limit");
		fprintf(stderr, "%" PRIu64 " time%s nothing could leave to make room\n",
			n[MM_STAT_REFUSED], n[MM_STAT_REFUSED] == 1 ? "" : "s");
	}
	if (n[MM_STAT_HUGE_EMULATED]) {
		line("huge pages");
		fprintf(stderr, "%" PRIu64 " emulated with ordinary memory\n",
			n[MM_STAT_HUGE_EMULATED]);
	}
}

static void print_memory(const struct sum *sum)
{
	const _Atomic uint64_t *n = sum->stats.count;

	line("pages filled");
	fprintf(stderr, "%" PRIu64 ", drawn in %" PRIu64 "; events %" PRIu64 "\n",
		n[MM_STAT_FILLED], n[MM_STAT_DRAWN], n[MM_STAT_EVENTS]);
	line("pages managed");
	fprintf(stderr, "%" PRIu64, n[MM_STAT_PAGES]);
	if (n[MM_STAT_PAGES])
		fprintf(stderr, ", bookkeeping %" PRIu64 " KiB (%.1f bytes a page)",
			n[MM_STAT_META] / 1024, (double)n[MM_STAT_META] / (double)n[MM_STAT_PAGES]);
	fputc('\n', stderr);
	print_reclaim(n);
	line("host mappings");
	fprintf(stderr, "%" PRIu64 " used of a budget of %" PRIu64 "\n", sum->mappings,
		sum->budget);
}

static void print_injected(const _Atomic uint64_t *n)
{
	line("injected");
	fprintf(stderr,
		"errors %" PRIu64 ", storms %" PRIu64 ", partial fills %" PRIu64
		", empty reads %" PRIu64 ",\n",
		n[MM_STAT_INJECT_ERROR], n[MM_STAT_INJECT_STORM], n[MM_STAT_INJECT_PART],
		n[MM_STAT_INJECT_EMPTY]);
	line("");
	fprintf(stderr,
		"spurious wakes %" PRIu64 ", messages twice %" PRIu64 ", delays %" PRIu64 "\n",
		n[MM_STAT_INJECT_WAKE], n[MM_STAT_INJECT_TWICE], n[MM_STAT_INJECT_DELAY]);
}

void report_print(const struct session_header *h, bool injecting)
{
	const struct sum *sum = add_up(h);

	if (sum->processes == 0) {
		fputs("userfault: no process of this run used a userfaultfd\n", stderr);
		return;
	}
	fprintf(stderr, "userfault: statistics of %u process%s, %s trap\n", sum->processes,
		sum->processes == 1 ? "" : "es", sum->traps[0] ? sum->traps : "no");
	print_faults(&sum->stats);
	print_memory(sum);
	if (injecting)
		print_injected(sum->stats.count);
}
