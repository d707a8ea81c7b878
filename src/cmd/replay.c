/*
 * replay.c - userfault replay: compare replacement policies on a record of faults.
 */
#include "replay.h"

#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mm/record.h"

#define POLICIES_MOST 32

static const char help_text[] =
	"Usage: userfault replay [OPTION]... TRACE\n"
	"\n"
	"Tells what replacement policies would have made of the faults that 'userfault run\n"
	"--record-faults=TRACE' recorded. Each process has its own memory.\n"
	"\n"
	"  --limit=SIZE   room for so much memory (half of the pages in the trace)\n"
	"  --policy=NAME  only this policy; may be given several times: clock, 2q, random\n"
	"  --help         this text\n"
	"\n"
	"The line 'best' is what nobody can reach who does not know the future.\n"
	"Exit status: 0; or 2 for a wrong command line or a file that is no trace.\n";

static const char *const long_names[] = {"limit", "policy", "help", NULL};

struct replay {
	uint64_t limit; /* pages, 0: not given */
	const struct mm_policy *policy[POLICIES_MOST];
	unsigned npolicies;
	const char *trace;
};

/* ---- The trace ---------------------------------------------------------------------------------
 */

/* A page of a process; which process comes first. */
struct key {
	uint32_t space;
	uint64_t page;
};

static struct key key_of(const struct mm_record *r)
{
	return (struct key){r->space, r->page >> UF_PAGE_SHIFT};
}

static int compare_keys(const void *left, const void *right)
{
	const struct key *a = left, *b = right;

	if (a->space != b->space)
		return a->space < b->space ? -1 : 1;
	if (a->page != b->page)
		return a->page < b->page ? -1 : 1;
	return 0;
}

/* Claimed, and never written: its process was killed. */
static bool blank(const struct mm_record *r)
{
	return r->space == 0;
}

static uint32_t find_key(const struct key *keys, uint32_t n, struct key wanted)
{
	uint32_t lo = 0, hi = n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (compare_keys(&keys[mid], &wanted) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Number the pages. False: no memory. */
static bool number_pages(struct trace *t, const struct mm_record *record, uint64_t count)
{
	struct key *keys = calloc(count + 1, sizeof(*keys));
	uint64_t n = 0;

	t->page = calloc(count + 1, sizeof(*t->page));
	t->space = calloc(count + 2, sizeof(*t->space));
	if (!keys || !t->page || !t->space) {
		free(keys);
		return false;
	}
	for (uint64_t i = 0; i < count; i++)
		if (!blank(&record[i]))
			keys[n++] = key_of(&record[i]);
	qsort(keys, n, sizeof(*keys), compare_keys);
	for (uint64_t i = 0; i < n; i++) {
		if (i > 0 && compare_keys(&keys[i], &keys[i - 1]) == 0)
			continue;
		if (t->npages == 0 || keys[i].space != keys[t->npages - 1].space)
			t->space[t->nspaces++] = t->npages;
		keys[t->npages++] = keys[i];
	}
	t->space[t->nspaces] = t->npages;
	for (uint64_t i = 0; i < count; i++)
		if (!blank(&record[i]))
			t->page[t->count++] = find_key(keys, t->npages, key_of(&record[i])) << 1 |
					      (record[i].page & MM_RECORD_WRITE ? 1 : 0);
	free(keys);
	return true;
}

static int trace_bad(const char *name, const char *why)
{
	complain("'%s' %s", name, why);
	return STATUS_USAGE;
}

static int read_trace(const char *name, const struct mm_record_file *file, uint64_t size,
		      struct trace *t)
{
	uint64_t count;

	if (!file || size < sizeof(*file) || file->header.magic != MM_RECORD_MAGIC)
		return trace_bad(name, "is no record of faults; 'userfault run "
				       "--record-faults=FILE' makes one");
	if (file->header.version != MM_RECORD_VERSION || file->header.page_shift != UF_PAGE_SHIFT)
		return trace_bad(name, "was recorded by another version of Userfault");
	count = atomic_load(&file->header.count);
	if (count > file->header.capacity)
		count = file->header.capacity;
	if (count > (size - sizeof(*file)) / sizeof(struct mm_record))
		return trace_bad(name, "is cut off: there are fewer faults in it than it says");
	if (!number_pages(t, file->record, count)) {
		complain("there is not enough memory for the %" PRIu64 " faults of '%s'", count,
			 name);
		return STATUS_UNABLE;
	}
	return t->count ? 0 : trace_bad(name, "has no faults in it");
}

int trace_load(const char *name, struct trace *t)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC), status;
	struct stat st;
	void *at;

	*t = (struct trace){0};
	if (fd < 0 || fstat(fd, &st) != 0) {
		complain("'%s' cannot be read: %s", name, strerror(errno));
		if (fd >= 0)
			close(fd);
		return STATUS_USAGE;
	}
	at = st.st_size > 0 ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0) : NULL;
	close(fd);
	if (at == MAP_FAILED) {
		complain("'%s' cannot be read: %s", name, strerror(errno));
		return STATUS_USAGE;
	}
	status = read_trace(name, at, (uint64_t)st.st_size, t);
	if (at)
		munmap(at, (size_t)st.st_size);
	return status;
}

void trace_free(struct trace *t)
{
	free(t->page);
	free(t->space);
}

/* ---- The command -------------------------------------------------------------------------------
 */

static int add_policy(struct replay *r, const char *name)
{
	if (r->npolicies == POLICIES_MOST) {
		complain("--policy is given too often");
		return STATUS_USAGE;
	}
	return find_policy(name, &r->policy[r->npolicies++]);
}

static int set_limit(struct replay *r, const char *text)
{
	if (!parse_size(text, &r->limit))
		return bad_size("--limit", text);
	r->limit >>= UF_PAGE_SHIFT;
	if (r->limit == 0) {
		complain("--limit: less than %ju bytes is not a page", (uintmax_t)UF_PAGE_SIZE);
		return STATUS_USAGE;
	}
	return 0;
}

/* 0: go on; otherwise *status is the answer. */
static int parse(int argc, char **argv, struct replay *r, int *status)
{
	static const struct option options[] = {
		{"limit", required_argument, NULL, 'l'},
		{"policy", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	*status = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case 'l':
			*status = set_limit(r, optarg);
			break;
		case 'p':
			*status = add_policy(r, optarg);
			break;
		case 'h':
			fputs(help_text, stdout);
			return 1;
		default:
			*status = bad_option(option, argv, long_names, "'userfault replay --help'");
		}
		if (*status)
			return 1;
	}
	if (optind + 1 == argc) {
		r->trace = argv[optind];
		return 0;
	}
	if (optind == argc)
		complain("TRACE is missing; 'userfault run --record-faults=TRACE' makes one");
	else
		complain("one TRACE at a time, not also '%s'", argv[optind + 1]);
	*status = STATUS_USAGE;
	return 1;
}

static void print_line(const char *name, const struct replayed *r)
{
	printf("%-8s %12" PRIu64 " %8.2f%% %12" PRIu64 " %12" PRIu64 " %12" PRIu64 "\n", name,
	       r->faults, 100.0 * (double)(r->accesses - r->faults) / (double)r->accesses,
	       r->evictions, r->writebacks, r->traps);
}

static const struct mm_policy *policy_at(const struct replay *r, unsigned i)
{
	if (r->npolicies == 0)
		return mm_policy_at(i);
	return i < r->npolicies ? r->policy[i] : NULL;
}

static int compare(const struct replay *r, const struct trace *t)
{
	const struct mm_policy *p;
	struct replayed result;

	printf("%" PRIu64 " accesses to %" PRIu32 " pages of %" PRIu32
	       " process%s, room for %" PRIu64 " pages\n",
	       t->count, t->npages, t->nspaces, t->nspaces == 1 ? "" : "es", r->limit);
	printf("%-8s %12s %9s %12s %12s %12s\n", "policy", "faults", "hits", "evictions",
	       "write-backs", "probe traps");
	for (unsigned i = 0; (p = policy_at(r, i)) != NULL; i++) {
		if (!replay_policy(t, p, r->limit, &result))
			return -1;
		print_line(p->name, &result);
	}
	if (!replay_best(t, r->limit, &result))
		return -1;
	print_line("best", &result);
	return 0;
}

int replay_main(int argc, char **argv)
{
	struct replay r = {0};
	struct trace t;
	int status;

	if (parse(argc, argv, &r, &status))
		return status;
	status = trace_load(r.trace, &t);
	if (status == 0) {
		if (r.limit == 0)
			r.limit = t.npages > 1 ? t.npages / 2 : 1;
		if (compare(&r, &t) != 0) {
			complain("there is not enough memory for a replay of '%s'", r.trace);
			status = STATUS_UNABLE;
		}
	}
	trace_free(&t);
	return status;
}
