/*
 * snapshot.c - a snapshot of memory in use is what the memory was at one instant, and comes back.
 */
#include "move.h"

#include <fcntl.h>
#include <sys/stat.h>

enum {
	LEN = 48 << 20,
};

static struct uf_pager *pager;
static char dir[] = "/tmp/snapshot-XXXXXX";

static const char *in_dir(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void *memory_of(const char *kind)
{
	int flags = MAP_ANONYMOUS;

	if (strcmp(kind, "shared") == 0)
		flags |= MAP_SHARED;
	else
		flags |= MAP_PRIVATE;
	if (strcmp(kind, "huge") == 0)
		flags |= MAP_HUGETLB;
	return mmap(NULL, LEN, PROT_READ | PROT_WRITE, flags, -1, 0);
}

/* Lazily, by the engine that fills all other memory. */
static void check_restored(const char *target, uint64_t at_most)
{
	struct uf_source *source;
	struct uf_paged *paged;
	void *back = NULL;
	uint64_t rounds;

	CHECK(uf_source_open(pager, target, &source) == 0);
	CHECK(uf_source_size(source) == LEN);
	CHECK(uf_pager_map(pager, source, 0, LEN, NULL, &back, &paged) == 0);
	rounds = check_instant(back, LEN);
	CHECK(rounds <= at_most);
	CHECK(uf_pager_detach(paged) == 0);
	CHECK(uf_source_close(source) == 0);
}

static void snapshot(char *memory, const char *kind, const char *name)
{
	struct uf_snapshot_options options = UF_SNAPSHOT_OPTIONS;
	struct uf_snapshot *s;
	struct writer w;
	uint64_t pause, before, after;

	writer_start(&w, memory, LEN);
	options.kind = kind;
	before = w.rounds;
	CHECK(uf_snapshot_begin(pager, memory, LEN, in_dir(name), &options, &s, &pause) == 0);
	after = w.rounds + 1;
	CHECK(uf_snapshot_finish(s) == 0);
	writer_stop(&w);
	printf("%s: paused for %.3f ms; %lu rounds before, %lu after the beginning\n", name,
	       (double)pause / 1e6, before, w.rounds);
	check_restored(in_dir(name), after);
	/* The writes went into the memory, whatever the snapshot shows. */
	check_instant(memory, LEN);
	for (size_t at = 0; at < LEN; at += PAGE)
		*(uint64_t *)(memory + at) = 0;
}

static void canceled(char *memory)
{
	struct uf_snapshot *s;
	struct writer w;

	writer_start(&w, memory, LEN);
	CHECK(uf_snapshot_begin(pager, memory, LEN, in_dir("never"), NULL, &s, NULL) == 0);
	CHECK(uf_snapshot_begin(pager, memory, LEN, in_dir("two"), NULL, &s, NULL) == -EBUSY);
	uf_snapshot_cancel(s);
	writer_stop(&w);
	CHECK(access(in_dir("never"), F_OK) < 0);
	CHECK(access(in_dir("two"), F_OK) < 0);
	check_instant(memory, LEN);
}

static void refused(char *memory)
{
	struct uf_snapshot *s;

	CHECK(uf_snapshot_begin(pager, memory, LEN, in_dir("none/at/all"), NULL, &s, NULL) ==
	      -ENOENT);
	CHECK(strlen(uf_pager_why()) > 0);
	CHECK(uf_snapshot_begin(pager, memory + 1, LEN, in_dir("odd"), NULL, &s, NULL) == -EINVAL);
	CHECK(access(in_dir("odd"), F_OK) < 0);
}

int main(void)
{
	static const char *const kinds[] = {"private", "shared", "huge"};
	int ran = 0;

	CHECK(mkdtemp(dir));
	CHECK(uf_pager_new(NULL, &pager) == 0);
	for (unsigned i = 0; i < 3; i++) {
		char *memory = memory_of(kinds[i]);

		if (memory == MAP_FAILED)
			continue; /* no huge pages are set aside */
		ran++;
		fill(memory, LEN);
		snapshot(memory, "raw", "raw");
		snapshot(memory, "packed", "packed");
		if (i == 0) {
			canceled(memory);
			refused(memory);
		}
		munmap(memory, LEN);
		unlink(in_dir("raw"));
		unlink(in_dir("packed"));
	}
	uf_pager_free(pager);
	CHECK(rmdir(dir) == 0);
	return ran >= 2 ? 0 : 1;
}
