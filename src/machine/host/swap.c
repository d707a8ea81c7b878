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

struct slab {
	uint64_t used[SLAB_UNITS / 64];
	uint32_t prev, next; /* in its list; numbers from 1 on */
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
} store;

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
	return 0;
}

/* As much of `size` as there is address space for. A forked child has its parent's. */
static int start_memory(uint64_t size, const char **why)
{
	struct rlimit space;
	long at;

	if (store.memory != 0)
		return 0;
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

	if (store.buffers == 0) {
		at = host_map_private(each * n, PROT_READ | PROT_WRITE);
		if (sys_failed(at)) {
			*why = "there is no memory for compression";
			return (int)at;
		}
		store.buffers = (uint64_t)at;
		store.buffers_len = each * n;
		store.contexts = n;
	}
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

static int start_slabs(uint64_t size, const char **why)
{
	long at;

	store.unit = store.codec ? UNIT_PACKED : UF_PAGE_SIZE;
	store.slab_size = store.unit * SLAB_UNITS;
	store.most = (uint32_t)(size / store.slab_size ? size / store.slab_size : 1);
	if (store.slabs)
		return 0;
	store.slabs_len = (uint64_t)(store.most + 1) * sizeof(struct slab);
	at = host_map_private(store.slabs_len, PROT_READ | PROT_WRITE);
	if (sys_failed(at)) {
		*why = "there is no address space for the bookkeeping of swap";
		return (int)at;
	}
	store.slabs = (struct slab *)at;
	return 0;
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

/* The child's store has nothing in it, and the parent's file is none of its business. */
void swap_after_fork(void)
{
	store.ready = false;
	store.lock = (struct mach_lock){0};
	for (uint32_t i = 0; i < store.contexts; i++)
		store.context[i].lock = (struct mach_lock){0};
	if (store.buffers)
		sys_madvise(store.buffers, store.buffers_len, MADV_DONTNEED);
	if (store.memory)
		sys_madvise(store.memory, store.memory_len, MADV_DONTNEED);
	if (store.slabs)
		sys_madvise((uint64_t)store.slabs, store.slabs_len, MADV_DONTNEED);
	store.made = store.free = store.empty = store.empty_count = 0;
	memset(store.partial, 0, sizeof(store.partial));
	atomic_store(&store.used, 0);
	atomic_store(&store.told, false);
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
	i = slab_for(units);
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
	return SLOT_FIRST + (uint64_t)(i - 1) * SLAB_UNITS + place;
}

struct place {
	uint32_t slab, index, units;
	uint64_t offset;
};

/* Lock held. False: no such slot is in use. */
static bool find_slot(uint64_t slot, struct place *p)
{
	uint64_t n = slot - SLOT_FIRST;
	const struct slab *s;

	if (slot < SLOT_FIRST || n / SLAB_UNITS >= store.made)
		return false;
	p->slab = (uint32_t)(n / SLAB_UNITS) + 1;
	p->index = (uint32_t)(n % SLAB_UNITS);
	s = &store.slabs[p->slab];
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

void mach_swap_free(uint64_t slot)
{
	struct place p;
	struct slab *s;

	if (slot == SLOT_ZERO)
		return;
	mach_lock(&store.lock);
	if (find_slot(slot, &p)) {
		s = &store.slabs[p.slab];
		if (s->count == SLAB_UNITS / p.units)
			list_add(&store.partial[p.units], p.slab);
		s->used[p.index / 64] &= ~((uint64_t)1 << (p.index % 64));
		if (--s->count == 0) {
			list_remove(&store.partial[p.units], p.slab);
			put_slab(p.slab);
		}
		atomic_fetch_sub_explicit(&store.used, p.units * store.unit, memory_order_relaxed);
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
		n = sys_pread(store.fd, c->packed, len, p->offset);
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
	if (!store.ready || !locate(slot, &p))
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
