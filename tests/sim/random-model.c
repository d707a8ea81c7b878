/*
 * random-model.c - a random program against a plain model of its memory: no byte may be lost.
 *
 *   random-model [--seed N] [--operations N] [--replay]
 *
 * One thread fills, reads and writes memory of every type through managed and native mappings and
 * through the files, cuts files off and punches holes, lets pages leave memory, moves mappings and
 * pages, and now and then starts over with nothing but the files. The model is arrays of pages; it
 * knows nothing of page tables. A handler is only ever asked for what the model has not.
 */
#include "front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mm/direct.h"
#include "types/program.h"

#define WORDS	(UF_PAGE_SIZE / sizeof(uint64_t))
#define GROUP	512 /* pages of a huge one */
#define WINDOW	8192
#define SOURCE	PAGE(0) /* of fills, as long as a huge page */
#define MISSING MM_MODE_MISSING
#define MINOR	MM_MODE_MINOR
#define WP	MM_MODE_WP

/* A page that has contents, or none. */
struct page {
	bool has;
	uint64_t word[WORDS];
};

struct file {
	enum mach_vma_kind kind;
	uint64_t most, group; /* in pages */
	uint64_t size;
	bool full; /* has no room for more than it has */
	struct sim_file *sim;
	struct page *page;
};

enum backing {
	ANON,
	PROGRAM,
	SHARED,
	PRIVATE,
	NATIVE /* a shared mapping that is never registered */
};

/* It stands at one of two places; own: contents of its own, private copies of PRIVATE. */
struct mapping {
	const char *name;
	enum backing backing;
	uint64_t place[2], npages;
	struct file *file;
	unsigned at;
	uint32_t modes;
	struct page *own;
};

static struct file files[] = {
	{.kind = MACH_VMA_SHMEM, .most = 48, .group = 1},
	{.kind = MACH_VMA_FILE, .most = 24, .group = 1},
	{.kind = MACH_VMA_HUGETLB, .most = 2 * GROUP, .group = GROUP},
};

static struct mapping mappings[] = {
	{"anon", ANON, {600, 700}, 64, NULL, 0, 0, NULL},
	{"program", PROGRAM, {800, 900}, 48, NULL, 0, 0, NULL},
	{"shmem-shared", SHARED, {1000, 1100}, 48, &files[0], 0, 0, NULL},
	{"shmem-view", SHARED, {1200, 1300}, 48, &files[0], 0, 0, NULL},
	{"shmem-private", PRIVATE, {1400, 1500}, 48, &files[0], 0, 0, NULL},
	{"shmem-native", NATIVE, {1600, 1700}, 48, &files[0], 0, 0, NULL},
	{"file-shared", SHARED, {1800, 1900}, 24, &files[1], 0, 0, NULL},
	{"file-private", PRIVATE, {2000, 2048}, 24, &files[1], 0, 0, NULL},
	{"huge-shared", SHARED, {4 * GROUP + GROUP, 7 * GROUP}, 2 * GROUP, &files[2], 0, 0, NULL},
	{"huge-private", PRIVATE, {9 * GROUP, 11 * GROUP}, 2 * GROUP, &files[2], 0, 0, NULL},
};

#define NFILES	  (sizeof(files) / sizeof(*files))
#define NMAPPINGS (sizeof(mappings) / sizeof(*mappings))
#define NHUGE	  2 /* the last ones */

static uint64_t seed = 1, operations = 200000, operation;
static bool scarce; /* swap may be full, or fail */
static struct front_uffd uffd;
static struct page *store; /* what the program's type has saved */
static uint64_t counts[16];

static void say_how(void)
{
	fprintf(stderr,
		"operation %llu\nreplay: sim-random-model --seed %llu --operations %llu "
		"--replay\n",
		(unsigned long long)operation, (unsigned long long)seed,
		(unsigned long long)operations);
}

static bool replay;

static void say(const char *what, const char *where, uint64_t page)
{
	if (replay)
		printf("%llu: %s %s %llu\n", (unsigned long long)operation, what, where,
		       (unsigned long long)page);
}

/* ---- The model ------------------------------------------------------------------------------ */

static uint64_t group_of(const struct mapping *m)
{
	return m->file ? m->file->group : 1;
}

static uint64_t addr_of(const struct mapping *m, uint64_t page)
{
	return PAGE(m->place[m->at] + page);
}

/* What a mapping shows at its page. */
static struct page *shown(const struct mapping *m, uint64_t page)
{
	if (m->own && (m->own[page].has || !m->file))
		return &m->own[page];
	return &m->file->page[page];
}

static bool past_end(const struct mapping *m, uint64_t page)
{
	return m->file && page >= m->file->size;
}

/* Where a fill, or a write, of the mapping goes. */
static struct page *own_or_file(const struct mapping *m, uint64_t page)
{
	return m->own ? &m->own[page] : &m->file->page[page];
}

static void clear_pages(struct page *page, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		page[i].has = false;
}

/* The group of pages is there now: zeroes, or the contents of `from`. */
static void give_pages(struct page *page, const struct page *from, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		page[i].has = true;
		if (from && from[i].has)
			memcpy(page[i].word, from[i].word, UF_PAGE_SIZE);
		else
			memset(page[i].word, 0, UF_PAGE_SIZE);
	}
}

static uint64_t value_of(uint64_t id, uint64_t page, uint64_t word)
{
	return id << 24 | (page & 0xfff) << 12 | word;
}

/* A page of the program's type before it was ever written. */
static void begin_page(struct page *p, uint64_t page)
{
	p->has = true;
	for (uint64_t w = 0; w < WORDS; w++)
		p->word[w] = value_of(0xabcdef, page, w);
}

/* An access has come through: what the host made on the way is there. */
static void accessed(struct mapping *m, uint64_t page, bool write)
{
	uint64_t group = group_of(m), first = page - page % group;

	if (!shown(m, page)->has)
		give_pages(m->file ? &m->file->page[first] : &m->own[first], NULL, group);
	if (write && m->backing == PRIVATE && !m->own[page].has)
		give_pages(&m->own[first], &m->file->page[first], group);
}

/* ---- Filling -------------------------------------------------------------------------------- */

static struct mapping *mapping_at(uint64_t addr, uint64_t *page)
{
	for (unsigned i = 0; i < NMAPPINGS; i++) {
		*page = (addr - addr_of(&mappings[i], 0)) / UF_PAGE_SIZE;
		if (addr >= addr_of(&mappings[i], 0) && *page < mappings[i].npages)
			return &mappings[i];
	}
	sim_fail("a fault at %#llx, where nothing is", (unsigned long long)addr);
}

/* May it end so? A fill is refused for want of room, or because something is there. */
static void check_refused(const struct mapping *m, uint64_t page, int err)
{
	if (err == -ENOMEM)
		CHECK(scarce || (m->file && m->file->full));
	else if (err == -EFAULT)
		CHECK(past_end(m, page));
	else
		CHECK_EQ(err, -EEXIST);
}

/* COPY or ZEROPAGE of one page, a huge one whole. Nothing that is there may be lost. */
static int fill(struct mapping *m, uint64_t page, bool zero, bool wp)
{
	uint64_t group = group_of(m), first = page - page % group, len = PAGES(group);
	static uint64_t id;
	struct page *to = own_or_file(m, first);
	int64_t done;
	int err;

	id++;
	say(zero ? "zero" : "copy", m->name, page);
	for (uint64_t i = 0; !zero && i < group; i++) {
		uint64_t words[WORDS];

		for (uint64_t w = 0; w < WORDS; w++)
			words[w] = value_of(id, i, w);
		CHECK_EQ(mach_copy_out(SOURCE + PAGES(i), words, sizeof(words)), 0);
	}
	wp &= (m->modes & WP) != 0;
	if (zero)
		err = front_zero(&uffd, addr_of(m, first), len, 0, &done);
	else
		err = front_copy(&uffd, addr_of(m, first), SOURCE, len, wp ? UF_COPY_MODE_WP : 0,
				 &done);
	if (err)
		return err;
	CHECK(!to->has);
	CHECK(!past_end(m, page));
	give_pages(to, NULL, group);
	for (uint64_t i = 0; !zero && i < group; i++)
		for (uint64_t w = 0; w < WORDS; w++)
			to[i].word[w] = value_of(id, i, w);
	return 0;
}

static int64_t front_cont(uint64_t addr, uint64_t len)
{
	struct uf_continue arg = {.range = {addr, len}};

	return front_ioctl(&uffd, UF_IO_CONTINUE, &arg);
}

/* Asked on the faulting thread. Sometimes it does nothing, and is asked once more. */
static int serve(const struct mm_fault *fault, void *arg)
{
	uint64_t page, group;
	struct mapping *m = mapping_at(fault->addr, &page);
	int err;

	(void)arg;
	counts[0]++;
	group = group_of(m);
	CHECK_EQ(fault->page, addr_of(m, page - page % group));
	if (sim_random(16) == 0)
		return 0;
	if (fault->flags & MM_FAULT_WP)
		return front_wp(&uffd, fault->page, PAGES(group), 0);
	if (fault->flags & MM_FAULT_MINOR) {
		CHECK(m->file->page[page].has);
		CHECK(!m->own || !m->own[page].has);
		return (int)front_cont(fault->page, PAGES(group));
	}
	/* The one thing that must never be: it is gone, and was there. */
	CHECK(!shown(m, page)->has);
	CHECK(m->backing != PROGRAM);
	err = group == 1 && sim_random(4) == 0 ? fill(m, page, true, false) : -EEXIST;
	/* ZEROPAGE stops at a mark that waits for the page. */
	if (err == -EEXIST)
		err = fill(m, page, false, sim_random(2));
	if (err)
		check_refused(m, page, err);
	return err;
}

/* ---- The program's type --------------------------------------------------------------------- */

static int type_fetch(uint64_t owner, uint64_t page, void *buf)
{
	(void)owner;
	if (sim_chance(scarce ? 20 : 0))
		return -EIO;
	memcpy(buf, store[page].word, UF_PAGE_SIZE);
	return 0;
}

static int type_writeback(uint64_t owner, uint64_t page, const void *buf)
{
	(void)owner;
	if (sim_chance(20))
		return -EIO;
	memcpy(store[page].word, buf, UF_PAGE_SIZE);
	return 0;
}

static void type_drop(const struct mm_place *first, uint64_t n)
{
	for (uint64_t i = first->page; i < first->page + n; i++)
		begin_page(&store[i], i);
}

/* ---- Operations ----------------------------------------------------------------------------- */

static struct mapping *any_mapping(void)
{
	/* Huge pages are dear. */
	return &mappings[sim_random(sim_random(64) ? NMAPPINGS - NHUGE : NMAPPINGS)];
}

/* An access may fail past the end, or where there is no room for a page. */
static void check_failed(const struct mapping *m, uint64_t page)
{
	if (!past_end(m, page) && !scarce && !(m->file && m->file->full))
		sim_fail("%s: page %llu gives SIGBUS", m->name, (unsigned long long)page);
}

static void load_word(struct mapping *m, uint64_t page)
{
	uint64_t w = sim_random(WORDS), value;
	enum sim_outcome outcome;

	say("load", m->name, page);
	outcome = sim_load(addr_of(m, page) + w * 8, &value);
	if (outcome != SIM_OK) {
		CHECK_EQ(outcome, SIM_GOT_BUS);
		check_failed(m, page);
		return;
	}
	CHECK(!past_end(m, page));
	accessed(m, page, false);
	if (value != shown(m, page)->word[w])
		sim_fail("%s: word %llu of page %llu is %#llx, not %#llx", m->name,
			 (unsigned long long)w, (unsigned long long)page, (unsigned long long)value,
			 (unsigned long long)shown(m, page)->word[w]);
}

static void store_word(struct mapping *m, uint64_t page)
{
	uint64_t w = sim_random(WORDS), value = 1ull << 63 | operation;
	enum sim_outcome outcome;

	say("store", m->name, page);
	outcome = sim_store(addr_of(m, page) + w * 8, value);
	if (outcome != SIM_OK) {
		CHECK_EQ(outcome, SIM_GOT_BUS);
		check_failed(m, page);
		return;
	}
	CHECK(!past_end(m, page));
	accessed(m, page, true);
	shown(m, page)->word[w] = value;
}

static void fill_some(struct mapping *m, uint64_t page)
{
	bool zero = group_of(m) == 1 && sim_random(3) == 0;
	int err;

	if (!m->modes || m->backing == PROGRAM)
		return;
	if (m->file && sim_random(4) == 0) {
		err = (int)front_cont(addr_of(m, page - page % group_of(m)), PAGES(group_of(m)));
		CHECK(err != 0 || m->file->page[page].has);
		return;
	}
	err = fill(m, page, zero, sim_random(2));
	if (err)
		check_refused(m, page, err);
}

static void protect_some(struct mapping *m, uint64_t page)
{
	uint64_t group = group_of(m), first = page - page % group;

	say("protect", m->name, page);
	if (m->modes & WP)
		CHECK_EQ(front_wp(&uffd, addr_of(m, first), PAGES(group), sim_random(3) != 0), 0);
}

static void zap(struct mapping *m, uint64_t page)
{
	uint64_t group = group_of(m), first = page - page % group;
	struct mach_entry e;
	int err;

	say("zap", m->name, page);
	if (m->backing != PROGRAM) {
		CHECK_EQ(front_zap(addr_of(m, first), PAGES(group)), 0);
		if (m->own)
			clear_pages(&m->own[first], group);
		return;
	}
	mach_enter(&e);
	err = mm_discard(mm_space_self, &mm_type_program, addr_of(m, page), PAGES(1), type_drop);
	mach_leave(&e);
	CHECK_EQ(err, 0);
	begin_page(&m->own[page], page);
}

/* The whole mapping goes to its other place, or two pages of it change theirs. */
static void move_mapping(struct mapping *m)
{
	uint64_t from = addr_of(m, 0), to, result;

	if ((!m->modes && m->backing != PROGRAM) || sim_random(8))
		return;
	to = PAGE(m->place[!m->at]);
	say("mremap", m->name, m->place[!m->at]);
	CHECK_EQ(front_mremap(from, PAGES(m->npages), PAGES(m->npages),
			      MREMAP_MAYMOVE | MREMAP_FIXED, to, &result),
		 0);
	m->at = !m->at;
	/* The event was not asked for: it belongs to nobody now. */
	if (m->modes)
		CHECK_EQ(front_register(&uffd, to, PAGES(m->npages), m->modes), 0);
}

static void move_page(struct mapping *m, uint64_t page)
{
	uint64_t to = sim_random(m->npages);
	int64_t done;
	int err;

	if (m->backing != ANON || !m->modes || to == page)
		return;
	say("move", m->name, page);
	err = front_move(&uffd, addr_of(m, to), addr_of(m, page), PAGES(1), 0, &done);
	if (err) {
		CHECK(err == -EEXIST || err == -ENOENT || scarce);
		return;
	}
	CHECK(m->own[page].has && !m->own[to].has);
	m->own[to] = m->own[page];
	m->own[page].has = false;
}

static void page_out(struct mapping *m, uint64_t page)
{
	uint64_t n = 1 + sim_random(m->npages - page);

	say("page out", m->name, page);
	if (m->backing != NATIVE && group_of(m) == 1)
		front_pageout(addr_of(m, page), PAGES(n));
	if (sim_random(50) == 0)
		CHECK_EQ(front_limit(0, sim_random(4) ? 16 + sim_random(48) : 0), 0);
}

/* ---- Files ---------------------------------------------------------------------------------- */

struct change {
	struct file *file;
	uint64_t page, n;
};

static int truncate_now(void *arg)
{
	const struct change *c = arg;

	return sim_file_truncate(c->file->sim, c->page);
}

static int punch_now(void *arg)
{
	const struct change *c = arg;

	return sim_file_punch(c->file->sim, c->page, c->n);
}

/* What private mappings of the file have of its pages goes with them. */
static void forget_copies(const struct file *f, uint64_t page, uint64_t n)
{
	for (unsigned i = 0; i < NMAPPINGS; i++)
		if (mappings[i].file == f && mappings[i].backing == PRIVATE)
			clear_pages(&mappings[i].own[page], n);
}

static void change_file(struct file *f)
{
	bool cut = sim_random(2), remove = sim_random(3) == 0 && mappings[2].modes;
	struct change c = {.file = f, .n = f->group};
	struct mach_entry e;
	uint64_t dev, ino;
	int err;

	c.page = sim_random(f->most / f->group + 1) * f->group;
	if (sim_random(2))
		c.n = f->group * (1 + sim_random(3));
	if (cut) {
		c.n = f->most - c.page;
	} else if (c.page + c.n > f->most) {
		return;
	}
	say(cut	     ? "truncate"
	    : remove ? "remove"
		     : "punch",
	    f == &files[0] ? "shmem" : "file", c.page);
	sim_file_id(f->sim, &dev, &ino);
	mach_enter(&e);
	if (!cut && remove && f == &files[0])
		err = mm_madvise(mm_space_self, addr_of(&mappings[2], c.page), PAGES(c.n),
				 MADV_REMOVE, NULL);
	else
		err = mm_file_change(mm_space_self, dev, ino, c.page, cut ? UINT64_MAX : c.n, cut,
				     cut ? truncate_now : punch_now, &c);
	mach_leave(&e);
	CHECK_EQ(err, 0);
	clear_pages(&f->page[c.page], c.n);
	if (cut || f->group > 1)
		forget_copies(f, c.page, c.n);
	if (cut)
		f->size = c.page;
}

/* write(2), read(2), and a file system that is full for a while. */
static void use_file(struct file *f)
{
	uint64_t page = sim_random(f->most), words[WORDS], first = page - page % f->group;

	if (sim_random(20) == 0) {
		f->full = !f->full;
		sim_file_limit(f->sim, f->full ? 0 : f->most);
	}
	say("use", f == &files[0] ? "shmem" : "file", page);
	if (sim_random(2)) {
		CHECK_EQ(sim_file_read(f->sim, page, words), page < f->size);
		if (page >= f->size)
			return;
		for (uint64_t w = 0; w < WORDS; w++)
			CHECK_EQ(words[w], f->page[page].has ? f->page[page].word[w] : 0);
		return;
	}
	for (uint64_t w = 0; w < WORDS; w++)
		words[w] = value_of(1ull << 30 | operation, page, w);
	if (!sim_file_write(f->sim, page, words)) {
		CHECK(page >= f->size || f->full);
		return;
	}
	CHECK(page < f->size);
	if (!f->page[page].has)
		give_pages(&f->page[first], NULL, f->group);
	memcpy(f->page[page].word, words, sizeof(words));
}

/* ---- Beginning, and beginning again --------------------------------------------------------- */

static void map_one(struct mapping *m)
{
	static const uint32_t all[] = {
		0, MISSING, MISSING | WP, WP, MISSING | MINOR, MINOR, MISSING | MINOR | WP};
	uint64_t addr = addr_of(m, 0), len = PAGES(m->npages);
	struct mach_entry e;
	int err;

	m->modes = m->backing == NATIVE ? 0 : all[sim_random(m->file ? 7 : 4)];
	if (m->file)
		sim_mmap_file(addr, len, RW, m->backing != PRIVATE, m->file->sim, 0);
	else
		sim_mmap(addr, len, RW);
	if (m->own)
		clear_pages(m->own, m->npages);
	if (m->backing == PROGRAM) {
		mach_enter(&e);
		err = mm_manage(mm_space_self, &mm_type_program, 2, addr, len);
		mach_leave(&e);
		CHECK_EQ(err, 0);
		for (uint64_t i = 0; i < m->npages; i++) {
			begin_page(&m->own[i], i);
			begin_page(&store[i], i);
		}
	}
	/* Something may be there before anybody is asked for it. */
	for (unsigned i = 0; i < 8 && m->backing != NATIVE; i++)
		(sim_random(2) ? load_word : store_word)(m, sim_random(m->npages));
	if (m->modes)
		CHECK_EQ(front_register(&uffd, addr, len, m->modes), 0);
}

static void map_all(void)
{
	front_make(&uffd, ~0ull);
	CHECK_EQ(uffd_set_callback(uffd.ref, serve, NULL), 0);
	front_publish(&uffd);
	for (unsigned i = 0; i < NMAPPINGS; i++)
		map_one(&mappings[i]);
}

static void unmap_all(void)
{
	front_close(&uffd);
	for (unsigned i = 0; i < NMAPPINGS; i++)
		CHECK_EQ(front_munmap(addr_of(&mappings[i], 0), PAGES(mappings[i].npages)), 0);
}

/* Everything that anybody can see is what the model has. */
static void compare_all(void)
{
	for (unsigned i = 0; i < NMAPPINGS; i++) {
		struct mapping *m = &mappings[i];
		uint64_t step = group_of(m) == 1 ? 1 : 37;

		for (uint64_t page = 0; page < m->npages; page += step) {
			const struct page *p = shown(m, page);
			const uint64_t *words = front_contents(addr_of(m, page));

			if (past_end(m, page) || m->backing == PROGRAM)
				continue;
			/* Zeroes may be there that nobody has seen yet. */
			for (uint64_t w = 0; (words || p->has) && w < WORDS; w++)
				if ((words ? words[w] : 0) != (p->has ? p->word[w] : 0))
					sim_fail("%s: page %llu is not what it was", m->name,
						 (unsigned long long)page);
		}
	}
	front_check();
}

static void turn(void)
{
	struct mapping *m = any_mapping();
	uint64_t page = sim_random(m->npages), what = sim_random(1000);
	struct file *f = &files[sim_random(sim_random(64) ? NFILES - 1 : NFILES)];

	if (what < 350)
		load_word(m, page);
	else if (what < 650)
		store_word(m, page);
	else if (what < 720)
		fill_some(m, page);
	else if (what < 780)
		protect_some(m, page);
	else if (what < 840)
		zap(m, page);
	else if (what < 880)
		page_out(m, page);
	else if (what < 900)
		move_page(m, page);
	else if (what < 910)
		move_mapping(m);
	else if (what < 970)
		use_file(f);
	else if (what < 999)
		change_file(f);
	else if (sim_random(20) == 0) {
		unmap_all();
		map_all();
	} else if (sim_random(4) == 0) {
		compare_all();
	}
}

static void body(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < NFILES; i++) {
		struct file *f = &files[i];

		f->sim = sim_file_new(f->kind, f->most, f->most, f->group > 1 ? 21 : 12);
		f->size = f->most;
		f->page = calloc(f->most, sizeof(*f->page));
	}
	for (unsigned i = 0; i < NMAPPINGS; i++)
		if (mappings[i].backing != SHARED && mappings[i].backing != NATIVE)
			mappings[i].own = calloc(mappings[i].npages, sizeof(struct page));
	store = calloc(mappings[1].npages, sizeof(*store));
	sim_mmap(SOURCE, PAGES(GROUP), RW);
	mm_space_self->options = MM_OPTION_FILE_FAULTS;
	map_all();
	for (operation = 1; operation <= operations; operation++)
		turn();
	compare_all();
	CHECK_EQ(front_limit(0, 0), 0);
	unmap_all();
}

static uint64_t number(const char *text)
{
	return text ? strtoull(text, NULL, 0) : 0;
}

int main(int argc, char **argv)
{
	static const struct program_ops ops = {.fetch = type_fetch, .writeback = type_writeback};
	struct sim_config config = {.mode = SIM_DETERMINISTIC, .pages = WINDOW, .failed = say_how};

	for (int i = 1; i < argc; i += 2) {
		if (strcmp(argv[i], "--replay") == 0) {
			replay = true;
			i--;
		} else if (strcmp(argv[i], "--seed") == 0)
			seed = number(argv[i + 1]);
		else if (strcmp(argv[i], "--operations") == 0)
			operations = number(argv[i + 1]);
		else {
			fprintf(stderr, "usage: random-model [--seed N] [--operations N] "
					"[--replay]\n");
			return 2;
		}
	}
	program_set_ops(&ops);
	config.seed = seed;
	config.evict = seed % 2 ? 50 : 0;
	scarce = seed % 3 == 0;
	config.swap = scarce ? 20 : 4096;
	config.swap_eio = scarce ? 20 : 0;
	front_start(&config);
	sim_spawn("program", body, NULL);
	sim_run();
	front_stop();
	printf("%llu operations, %llu faults\n", (unsigned long long)operations,
	       (unsigned long long)counts[0]);
	return 0;
}
