/*
 * swap.c - the swap store: slots of different sizes, in a file or in memory.
 *
 * The store is cut into slabs of 256 units. A slab holds objects of one size, from one unit to a
 * page; which of them are used is a bitmap. A slot's number is its slab's and its place there. A
 * slab in use is backed: the file's blocks are there (fallocate), so that a full disk is met before
 * a page is given away, not while it is written back. Slabs with nothing in them any more are given
 * back whole, except for a few that will be needed soon. A page of zeroes takes no room.
 *
 * A compressed object begins with its length. One as large as a page is the page itself.
 *
 * A store in memory is copied by a fork like all memory. Of a file, a child can read what its
 * parent had in it; what it saves itself goes to a file of its own. A slot's number tells which of
 * these generations it belongs to. The parent does not use slots again that a child may read: they
 * are held, and free when no child is alive any more.
 */
#include "machine/host/swap.h"

#include "machine/host/internal.h"

#define SLAB_UNITS   256
#define UNIT_PACKED  128
#define UNITS_MOST   (UF_PAGE_SIZE / UNIT_PACKED)
#define CONTEXTS_MAX 16
#define EMPTY_KEPT   4

#define FILE_MOST    ((uint64_t)4 << 40)
#define MEMORY_LEAST ((uint64_t)16 << 20)

#define SLOT_ZERO  ((uint64_t)MACH_SWAP_FIRST)
#define SLOT_FIRST (SLOT_ZERO + 1)

/* Above a slot's number. */
#define GENERATION_SHIFT 40
#define GENERATIONS_MAX	 256

#define SLAB_WORDS (SLAB_UNITS / 64)

struct slab {
	uint64_t used[SLAB_WORDS];
	uint64_t held[SLAB_WORDS]; /* a child may read them */
	uint64_t gone[SLAB_WORDS]; /* held, and nothing else: used in name only */
	uint32_t prev, next;	   /* in its list; numbers from 1 on */
	uint16_t count;
	uint8_t units; /* of one object; 0: not in use */
};

struct context {
	struct mach_lock lock;
	uint8_t *page, *packed, *codec;
};

static struct {
	bool ready, tell;
	_Atomic bool told;
	struct mach_lock lock; /* all but contexts and contents */
	int fd;		       /* -1: in memory */
	uint64_t memory, memory_len;
	uint64_t unit, slab_size;
	struct slab *slabs; /* from 1 on */
	uint64_t slabs_len;
	uint32_t most, made;		  /* slabs */
	uint32_t free;			  /* list: not backed */
	uint32_t empty, empty_count;	  /* list: backed, and nothing in them */
	uint32_t partial[UNITS_MOST + 1]; /* lists: with room, by units of an object */
	_Atomic uint64_t used;
	_Atomic uint64_t *peak;
	const struct host_swap_codec *codec;
	struct context context[CONTEXTS_MAX];
	uint32_t contexts;
	uint64_t buffers, buffers_len;
	char path[4096];
	bool unmade; /* the file of a child, which is made when it is first wanted */
	bool holds;  /* some slots are held, since this fork */
	uint32_t held_since;
	uint32_t generation;
} store;

/* What parents had in their files when they forked. */
static struct generation {
	int fd;
	struct slab *slabs;
	uint32_t made;
} parents[GENERATIONS_MAX];

/* ---- Start ---- */

static int open_file(const char *path)
{
	const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
	char name[4096];
	size_t len = 0;
	int fd;

	fd = (int)sys4(SYS_openat, AT_FDCWD, (long)path, O_TMPFILE | flags, 0600);
	if (fd >= 0)
		return fd;
	while (path[len] && len < sizeof(name) - 40) {
		name[len] = path[len];
		len++;
	}
	/* A directory on a file system without nameless files. */
	if (fd == -EOPNOTSUPP) {
		memcpy(name + len, "/userfault-swap.", 16);
		len += 16;
		host_put_number(name, &len, sys_getpid());
	} else if (fd != -ENOENT && fd != -ENOTDIR) {
		return fd;
	}
	name[len] = 0;
	fd = (int)sys4(SYS_openat, AT_FDCWD, (long)name, O_CREAT | O_EXCL | flags, 0600);
	if (fd >= 0)
		sys3(SYS_unlinkat, AT_FDCWD, (long)name, 0);
	return fd;
}

static const char *file_trouble(int err)
{
	switch (err) {
	case -ENOENT:
		return "the directory for swap is not there";
	case -EACCES:
	case -EPERM:
	case -EROFS:
		return "the directory for swap cannot be written";
	case -EEXIST:
		return "the file for swap is there already, and is not touched";
	default:
		return "the file for swap cannot be made";
	}
}

static int start_file(const char *path, const char **why)
{
	int fd = host_hide_fd(open_file(path));

	if (fd < 0) {
		*why = file_trouble(fd);
		return fd;
	}
	store.fd = fd;
	host_keep_hidden(fd);
	return 0;
}

/* As much of `size` as there is address space for. */
static int start_memory(uint64_t size, const char **why)
{
	struct rlimit space;
	long at;

	/* Most of what a limit leaves is the program's. */
	if (sys_rlimit(RLIMIT_AS, NULL, &space) == 0 && size > space.rlim_cur / 4)
		size = space.rlim_cur / 4;
	do {
		at = host_map_private(size, PROT_READ | PROT_WRITE);
		store.memory_len = size;
		size /= 2;
	} while (sys_failed(at) && size >= MEMORY_LEAST);
	if (sys_failed(at)) {
		*why = "there is no address space for swap in memory";
		return (int)at;
	}
	store.memory = (uint64_t)at;
	return 0;
}

static uint64_t memory_size(void)
{
	char buf[64];
	const char *p = buf;

	/* "MemTotal:  N kB" is its first line. */
	if (host_read_file("/proc/meminfo", buf, sizeof(buf)) == 0)
		return MEMORY_LEAST;
	while (*p && (*p < '0' || *p > '9'))
		p++;
	return host_parse_number(&p) << 10;
}

static int start_contexts(const char **why)
{
	size_t codec = store.codec ? store.codec->context_size : 0;
	size_t each = (2 * UF_PAGE_SIZE + codec + UF_PAGE_SIZE - 1) & UF_PAGE_MASK;
	uint32_t n = host.cpus < CONTEXTS_MAX / 2 ? host.cpus * 2 : CONTEXTS_MAX;
	long at;

	at = host_map_private(each * n, PROT_READ | PROT_WRITE);
	if (sys_failed(at)) {
		*why = "there is no memory for compression";
		return (int)at;
	}
	store.buffers = (uint64_t)at;
	store.buffers_len = each * n;
	store.contexts = n;
	for (uint32_t i = 0; i < store.contexts; i++) {
		struct context *c = &store.context[i];

		c->page = (uint8_t *)store.buffers + i * each;
		c->packed = c->page + UF_PAGE_SIZE;
		c->codec = c->packed + UF_PAGE_SIZE;
		if (store.codec && !store.codec->start(c->codec)) {
			*why = "compression cannot be started";
			return -EINVAL;
		}
	}
	return 0;
}

static int make_slabs(void)
{
	long at;

	store.slabs_len = (uint64_t)(store.most + 1) * sizeof(struct slab);
	at = host_map_private(store.slabs_len, PROT_READ | PROT_WRITE);
	if (sys_failed(at))
		return (int)at;
	store.slabs = (struct slab *)at;
	return 0;
}

static int start_slabs(uint64_t size, const char **why)
{
	int err;

	store.unit = store.codec ? UNIT_PACKED : UF_PAGE_SIZE;
	store.slab_size = store.unit * SLAB_UNITS;
	store.most = (uint32_t)(size / store.slab_size ? size / store.slab_size : 1);
	err = make_slabs();
	if (err != 0)
		*why = "there is no address space for the bookkeeping of swap";
	return err;
}

int host_swap_init(const struct host_swap_config *config, const char **why)
{
	uint64_t size = config->size;
	int err;

	*why = "";
	if (store.ready)
		return 0;
	store.tell = config->tell;
	if (config->none)
		return 0;
	store.fd = -1;
	store.codec = config->codec;
	for (size_t i = 0; config->path && i < sizeof(store.path) - 1 && config->path[i]; i++)
		store.path[i] = config->path[i];
	store.peak = config->peak;
	if (size == 0)
		size = config->path ? FILE_MOST : memory_size();
	err = config->path ? start_file(config->path, why) : start_memory(size, why);
	if (err == 0 && !config->path)
		size = store.memory_len;
	if (err == 0)
		err = start_contexts(why);
	if (err == 0)
		err = start_slabs(size, why);
	store.ready = err == 0;
	return err;
}

/* ---- Fork ---- */

void swap_before_fork(uint32_t fork)
{
	if (!store.ready || store.fd < 0 || store.unmade)
		return;
	if (!store.holds)
		store.held_since = fork;
	store.holds = true;
	for (uint32_t i = 1; i <= store.made; i++)
		memcpy(store.slabs[i].held, store.slabs[i].used, sizeof(store.slabs[i].held));
}

bool swap_inherited(void)
{
	return store.holds;
}

/*
 * What the parent had is read from its file; a store of the child's own begins when it is needed.
 * Beyond so many generations there is none.
 */
static void begin_generation(void)
{
	if (store.generation == GENERATIONS_MAX - 1) {
		store.ready = false;
		return;
	}
	if (!store.unmade)
		parents[store.generation] = (struct generation){store.fd, store.slabs, store.made};
	store.generation++;
	store.unmade = true;
	store.slabs = NULL;
	store.made = store.free = store.empty = store.empty_count = 0;
	memset(store.partial, 0, sizeof(store.partial));
	store.holds = false;
	atomic_store(&store.used, 0);
}

void swap_after_fork(void)
{
	store.lock = (struct mach_lock){0};
	for (uint32_t i = 0; i < store.contexts; i++)
		store.context[i].lock = (struct mach_lock){0};
	if (store.ready && store.fd >= 0)
		begin_generation();
	atomic_store(&store.told, false);
}

/* Lock held. */
static bool make_own(void)
{
	const char *why;

	if (!store.unmade)
		return true;
	if (make_slabs() != 0)
		return false;
	if (start_file(store.path, &why) != 0) {
		sys_munmap((uint64_t)store.slabs, store.slabs_len);
		store.ready = false;
		return false;
	}
	store.unmade = false;
	return true;
}

uint64_t host_swap_used(void)
{
	return atomic_load_explicit(&store.used, memory_order_relaxed);
}

/* ---- Slabs. The store's lock is held. ---- */

static void list_add(uint32_t *list, uint32_t i)
{
	struct slab *s = &store.slabs[i];

	s->prev = 0;
	s->next = *list;
	if (*list)
		store.slabs[*list].prev = i;
	*list = i;
}

static void list_remove(uint32_t *list, uint32_t i)
{
	struct slab *s = &store.slabs[i];

	if (s->prev)
		store.slabs[s->prev].next = s->next;
	else
		*list = s->next;
	if (s->next)
		store.slabs[s->next].prev = s->prev;
}

static uint64_t slab_offset(uint32_t i)
{
	return (uint64_t)(i - 1) * store.slab_size;
}

/* Beyond the program's limit on file sizes a write is a signal. */
static bool within_limit(uint64_t end)
{
	struct rlimit lim;

	return store.fd < 0 || sys_rlimit(RLIMIT_FSIZE, NULL, &lim) != 0 || lim.rlim_cur >= end;
}

/* Have the blocks of a slab at hand. On a file system that cannot promise them, writing tells. */
static bool back(uint32_t i)
{
	int err;

	if (store.fd < 0)
		return true;
	if (!within_limit(slab_offset(i) + store.slab_size))
		return false;
	do
		err = sys_fallocate(store.fd, 0, slab_offset(i), store.slab_size);
	while (err == -EINTR);
	return err == 0 || err == -EOPNOTSUPP || err == -ENOSYS;
}

static void unback(uint32_t i)
{
	if (store.fd < 0)
		sys_madvise(store.memory + slab_offset(i), store.slab_size, MADV_DONTNEED);
	else
		sys_fallocate(store.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, slab_offset(i),
			      store.slab_size);
}

/* A backed slab with nothing in it; 0: there is no more room. */
static uint32_t take_slab(void)
{
	uint32_t i = store.empty;

	if (i) {
		list_remove(&store.empty, i);
		store.empty_count--;
		return i;
	}
	i = store.free ? store.free : store.made + 1;
	if (i > store.most || !back(i))
		return 0;
	if (i == store.free)
		list_remove(&store.free, i);
	else
		store.made++;
	return i;
}

static void put_slab(uint32_t i)
{
	store.slabs[i].units = 0;
	if (store.empty_count < EMPTY_KEPT) {
		list_add(&store.empty, i);
		store.empty_count++;
	} else {
		unback(i);
		list_add(&store.free, i);
	}
}

static void remove_objects(uint32_t i, uint64_t *objects);

/* Slots that were only held for children are free when there are none. */
static void let_go_held(void)
{
	if (!store.holds || fork_children(store.held_since))
		return;
	store.holds = false;
	for (uint32_t i = 1; i <= store.made; i++) {
		struct slab *s = &store.slabs[i];
		uint64_t gone[SLAB_WORDS];

		memcpy(gone, s->gone, sizeof(gone));
		memset(s->held, 0, sizeof(s->held));
		memset(s->gone, 0, sizeof(s->gone));
		remove_objects(i, gone);
	}
}

static uint32_t free_place(const struct slab *s)
{
	uint32_t word = 0;

	while (s->used[word] == ~0ull)
		word++;
	return word * 64 + (uint32_t)__builtin_ctzll(~s->used[word]);
}

static void note_used(uint64_t more)
{
	uint64_t now = atomic_fetch_add_explicit(&store.used, more, memory_order_relaxed) + more;

	if (store.peak && now > atomic_load_explicit(store.peak, memory_order_relaxed))
		atomic_store_explicit(store.peak, now, memory_order_relaxed);
}

/*
 * A slab with room for an object of so many units: one of that size, or, when there is no room for
 * another of those, of the next that are larger; but not of whole pages, which are kept as they
 * are. 0: there is none.
 */
static uint32_t slab_for(uint32_t units)
{
	uint32_t whole = (uint32_t)(UF_PAGE_SIZE / store.unit), i = store.partial[units];

	if (i)
		return i;
	i = take_slab();
	if (!i && store.holds) {
		let_go_held();
		i = store.partial[units] ? 0 : take_slab();
		if (store.partial[units])
			return store.partial[units];
	}
	if (i) {
		store.slabs[i].units = (uint8_t)units;
		list_add(&store.partial[units], i);
	}
	while (!i && ++units < whole)
		i = store.partial[units];
	return i;
}

/* A slot for an object of so many units; 0: there is no room. Takes the lock. */
static uint64_t take_slot(uint32_t units)
{
	uint32_t i, place;
	struct slab *s;

	mach_lock(&store.lock);
	i = make_own() ? slab_for(units) : 0;
	if (!i) {
		mach_unlock(&store.lock);
		return 0;
	}
	s = &store.slabs[i];
	units = s->units;
	place = free_place(s);
	s->used[place / 64] |= (uint64_t)1 << (place % 64);
	if (++s->count == SLAB_UNITS / units)
		list_remove(&store.partial[units], i);
	mach_unlock(&store.lock);
	note_used(units * store.unit);
	return ((uint64_t)store.generation << GENERATION_SHIFT) +
	       (SLOT_FIRST + (uint64_t)(i - 1) * SLAB_UNITS + place);
}

struct place {
	int fd;
	struct slab *slabs;
	uint32_t slab, index, units;
	uint64_t offset;
};

/* Lock held. False: no such slot is in use. */
static bool find_slot(uint64_t slot, struct place *p)
{
	uint64_t of = slot >> GENERATION_SHIFT, n;
	const struct generation now = {store.fd, store.slabs, store.made};
	const struct generation *g = &now;
	const struct slab *s;

	if (of > store.generation)
		return false;
	if (of < store.generation)
		g = &parents[of];
	slot -= of << GENERATION_SHIFT;
	n = slot - SLOT_FIRST;
	if (slot < SLOT_FIRST || n / SLAB_UNITS >= g->made)
		return false;
	p->fd = g->fd;
	p->slabs = g->slabs;
	p->slab = (uint32_t)(n / SLAB_UNITS) + 1;
	p->index = (uint32_t)(n % SLAB_UNITS);
	s = &g->slabs[p->slab];
	p->units = s->units;
	p->offset = slab_offset(p->slab) + p->index * p->units * store.unit;
	return p->units != 0 && (s->used[p->index / 64] >> (p->index % 64) & 1);
}

/* Where a slot in use is; it stays there as long as it is. False: no such slot is in use. */
static bool locate(uint64_t slot, struct place *p)
{
	bool found;

	mach_lock(&store.lock);
	found = find_slot(slot, p);
	mach_unlock(&store.lock);
	return found;
}

/* Lock held: these objects of a slab of ours are used no more. */
static void remove_objects(uint32_t i, uint64_t *objects)
{
	struct slab *s = &store.slabs[i];
	uint32_t n = 0;

	for (unsigned w = 0; w < SLAB_WORDS; w++) {
		objects[w] &= s->used[w];
		n += (uint32_t)count_bits(objects[w]);
		s->used[w] &= ~objects[w];
	}
	if (n == 0)
		return;
	if (s->count == SLAB_UNITS / s->units)
		list_add(&store.partial[s->units], i);
	atomic_fetch_sub_explicit(&store.used, (uint64_t)n * s->units * store.unit,
				  memory_order_relaxed);
	s->count = (uint16_t)(s->count - n);
	if (s->count == 0) {
		list_remove(&store.partial[s->units], i);
		put_slab(i);
	}
}

static void free_own(const struct place *p)
{
	struct slab *s = &store.slabs[p->slab];
	uint64_t bit = (uint64_t)1 << (p->index % 64), objects[SLAB_WORDS] = {0};

	if (s->held[p->index / 64] & bit) {
		s->gone[p->index / 64] |= bit;
		let_go_held();
		return;
	}
	objects[p->index / 64] = bit;
	remove_objects(p->slab, objects);
}

/* A parent's slot is the parent's to use again. */
void mach_swap_free(uint64_t slot)
{
	struct place p;

	if (slot == SLOT_ZERO)
		return;
	mach_lock(&store.lock);
	if (find_slot(slot, &p)) {
		if (p.slabs == store.slabs && store.ready)
			free_own(&p);
		else
			p.slabs[p.slab].used[p.index / 64] &= ~((uint64_t)1 << (p.index % 64));
	}
	mach_unlock(&store.lock);
}

/* ---- Contents ---- */

static struct context *take_context(void)
{
	uint32_t first = mach_tid(), free;
	struct context *c;

	for (uint32_t i = 0; i < store.contexts; i++) {
		c = &store.context[(first + i) % store.contexts];
		free = 0;
		if (atomic_compare_exchange_strong(&c->lock.word, &free, 1))
			return c;
	}
	c = &store.context[first % store.contexts];
	mach_lock(&c->lock);
	return c;
}

static void put_context(struct context *c)
{
	mach_unlock(&c->lock);
}

static bool all_zero(const uint8_t *page)
{
	return *(const uint64_t *)(const void *)page == 0 &&
	       memcmp(page, page + 8, UF_PAGE_SIZE - 8) == 0;
}

static bool write_slot(uint64_t slot, const void *buf, size_t len)
{
	struct place p;
	long n;

	if (!locate(slot, &p))
		return false;
	if (store.fd < 0) {
		memcpy((void *)(store.memory + p.offset), buf, len);
		return true;
	}
	if (!within_limit(p.offset + len))
		return false;
	do
		n = sys_pwrite(store.fd, buf, len, p.offset);
	while (n == -EINTR);
	return n == (long)len;
}

/* The contents of a slot, in the context's buffer or where they are; NULL: they cannot be read. */
static const uint8_t *read_slot(const struct place *p, struct context *c)
{
	size_t len = p->units * store.unit;
	long n;

	if (store.fd < 0)
		return (const uint8_t *)(store.memory + p->offset);
	do
		n = sys_pread(p->fd, c->packed, len, p->offset);
	while (n == -EINTR);
	return n == (long)len ? c->packed : NULL;
}

static void tell_full(void)
{
	static const char none[] = "userfault: there is no swap store: pages that do not fit under "
				   "the memory limit are refused\n";
	static const char full[] = "userfault: the swap store is full: pages that do not fit under "
				   "the memory limit are refused\n";

	if (!store.tell || atomic_exchange(&store.told, true))
		return;
	if (store.ready)
		sys_write(2, full, sizeof(full) - 1);
	else
		sys_write(2, none, sizeof(none) - 1);
}

/* What is to be written for the context's page: the length, 0 for the page itself. */
static size_t pack(struct context *c)
{
	size_t len = 0;

	if (store.codec)
		len = store.codec->compress(c->codec, c->packed + 2, UF_PAGE_SIZE - store.unit - 2,
					    c->page);
	if (len == 0)
		return 0;
	c->packed[0] = (uint8_t)len;
	c->packed[1] = (uint8_t)(len >> 8);
	return len + 2;
}

static int save(struct context *c, uint64_t *slot)
{
	size_t len;

	if (all_zero(c->page)) {
		*slot = SLOT_ZERO;
		return 0;
	}
	len = pack(c);
	*slot = take_slot((uint32_t)(((len ? len : UF_PAGE_SIZE) + store.unit - 1) / store.unit));
	if (*slot == 0)
		return -ENOSPC;
	if (write_slot(*slot, len ? c->packed : c->page, len ? len : UF_PAGE_SIZE))
		return 0;
	mach_swap_free(*slot);
	return -ENOSPC;
}

int mach_swap_out(const struct mach_span *span, uint64_t page, uint64_t *slot)
{
	struct context *c;
	int err = -ENOSPC;

	if (store.ready) {
		c = take_context();
		err = mach_frames_read(span, page, c->page);
		if (err == 0)
			err = save(c, slot);
		put_context(c);
	}
	if (err == -ENOSPC)
		tell_full();
	return err;
}

/* The page's contents, or NULL. */
static const uint8_t *load(struct context *c, const struct place *p)
{
	const uint8_t *got = read_slot(p, c);
	size_t len;

	if (!got || p->units * store.unit == UF_PAGE_SIZE)
		return got;
	len = (size_t)(got[0] | got[1] << 8);
	if (len + 2 > p->units * store.unit ||
	    !store.codec->decompress(c->codec, c->page, got + 2, len))
		return NULL;
	return c->page;
}

int mach_swap_in(const struct mach_span *span, uint64_t page, uint64_t slot)
{
	const uint8_t *contents;
	struct context *c;
	struct place p;
	int err = 0;

	if (slot == SLOT_ZERO)
		return mach_frames_zero(span, page, 1);
	if (!locate(slot, &p))
		return -EIO;
	c = take_context();
	contents = load(c, &p);
	if (!contents)
		err = -EIO;
	else if (mach_frames_write(span, page, 1, contents) != 1)
		err = -ENOMEM;
	put_context(c);
	if (err == 0)
		mach_swap_free(slot);
	return err;
}
