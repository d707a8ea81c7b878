/*
 * report.c - the statistics of a run: a memory file that the run's processes write into
 * (front/stats_file.h), and what is told of it at the end.
 */
#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "front/stats_file.h"

struct report {
	int fd;
	struct stats_file *file;
};

/* What the processes of the run add up to. */
struct sum {
	unsigned processes;
	char traps[64];
	struct mm_stats stats;
	/* Every process has a limit of its own: those of the one that used most. */
	uint64_t mappings, budget;
};

static int create_file(struct stats_file **file)
{
	int low = memfd_create("userfault-stats", MFD_CLOEXEC);
	int fd = fcntl(low, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	/* Whoever starts this command without a stdin would see the file there. */
	if (low >= 0)
		close(low);
	if (fd < 0)
		return -1;
	if (fchmod(fd, 0600) == 0 && ftruncate(fd, STATS_FILE_SIZE) == 0) {
		*file = mmap(NULL, STATS_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (*file != MAP_FAILED)
			return fd;
	}
	close(fd);
	return -1;
}

struct report *report_open(void)
{
	struct report *r = calloc(1, sizeof(*r));
	char name[64];

	if (!r || (r->fd = create_file(&r->file)) < 0) {
		complain("there is no room for the statistics (%s); run without --stats",
			 strerror(errno));
		free(r);
		return NULL;
	}
	r->file->header = (struct stats_header){
		.magic = STATS_FILE_MAGIC,
		.version = STATS_FILE_VERSION,
		.nslots = STATS_FILE_SLOTS,
		.slot_size = sizeof(struct stats_slot),
	};
	/* Not a file in a directory: nothing is left behind however this process ends. */
	snprintf(name, sizeof(name), "/proc/%d/fd/%d", getpid(), r->fd);
	if (setenv("USERFAULT_STATS", name, 1) != 0) {
		complain("the environment is full; run without --stats");
		return NULL;
	}
	return r;
}

int report_fd(const struct report *r)
{
	return r->fd;
}

static void add_trap(struct sum *sum, const char trap[16])
{
	size_t len = strlen(sum->traps);

	if (!trap[0] || strstr(sum->traps, trap))
		return;
	snprintf(sum->traps + len, sizeof(sum->traps) - len, "%s%s", len ? ", " : "", trap);
}

static void add_slot(struct sum *sum, const struct stats_slot *slot)
{
	const struct mm_stats *s = &slot->stats;
	uint64_t mappings = atomic_load(&s->count[MM_STAT_MAPPINGS]);
	uint64_t max = atomic_load(&s->latency_max);
	char trap[16];

	memcpy(trap, slot->trap, sizeof(trap));
	trap[sizeof(trap) - 1] = 0;
	add_trap(sum, trap);

	for (unsigned i = 0; i < MM_STAT_MAX; i++)
		mm_stat_add(&sum->stats, i, atomic_load(&s->count[i]));
	for (unsigned i = 0; i < MM_LATENCY_BUCKETS; i++)
		sum->stats.latency[i] += atomic_load(&s->latency[i]);
	if (max > sum->stats.latency_max)
		sum->stats.latency_max = max;
	if (mappings >= sum->mappings) {
		sum->mappings = mappings;
		sum->budget = atomic_load(&s->count[MM_STAT_BUDGET]);
	}
}

static const struct sum *add_up(const struct report *r)
{
	static struct sum sum;

	while (sum.processes < STATS_FILE_SLOTS &&
	       atomic_load(&r->file->slot[sum.processes].pid) != 0)
		add_slot(&sum, &r->file->slot[sum.processes++]);
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

void report_print(const struct report *r)
{
	const struct sum *sum = add_up(r);

	if (sum->processes == 0) {
		fputs("userfault: no process of this run used a userfaultfd\n", stderr);
		return;
	}
	fprintf(stderr, "userfault: statistics of %u process%s, %s trap\n", sum->processes,
		sum->processes == 1 ? "" : "es", sum->traps[0] ? sum->traps : "no");
	if (sum->processes == STATS_FILE_SLOTS)
		fputs("  (there may have been more, which are not counted)\n", stderr);
	print_faults(&sum->stats);
	print_memory(sum);
}
