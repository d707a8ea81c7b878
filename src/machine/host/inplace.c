/*
 * inplace.c - maps that stay where they are: the program's own mappings of files.
 *
 * The mapping itself is what is closed and opened. A shared one gets a hidden alias, a second
 * mapping of the same pages of the file: a duplicate that the host makes of any shared mapping,
 * whoever has the descriptor, or one from a descriptor where it cannot (huge pages).
 */
#include "machine/host/internal.h"

#define PLACE_ALIGN (1ull << HUGE_SHIFT)

/* ---- Aliases ---- */

/*
 * Room for a mapping that stands to the boundaries of huge pages as `like`, its place in the file,
 * does, so that the host can use those for it.
 */
static long reserve_place(uint64_t len, uint64_t like)
{
	uint64_t slack = len >= PLACE_ALIGN ? PLACE_ALIGN : 0, at, end;
	long room = sys_mmap(0, len + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			     -1, 0);

	if (sys_failed(room) || slack == 0)
		return room;
	end = (uint64_t)room + len + slack;
	at = (uint64_t)room + ((like - (uint64_t)room) & (PLACE_ALIGN - 1));
	if (at > (uint64_t)room)
		sys_munmap((uint64_t)room, at - (uint64_t)room);
	if (at + len < end)
		sys_munmap(at + len, end - at - len);
	return (long)at;
}

static long map_file(const struct host_file *f, uint64_t at, uint64_t len, uint64_t file_page,
		     bool shared)
{
	long got;

	if (f->fd < 0)
		return -EBADF;
	got = sys_mmap(at, len, PROT_NONE,
		       (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED | MAP_NORESERVE, f->fd,
		       file_page << UF_PAGE_SHIFT);
	if (!sys_failed(got))
		sys_munlock(at, len);
	return got;
}

/* The program's mapping at addr has its flags and file; the duplicate has the same. */
static int make_alias(struct mach_map *map, struct host_map *hm, uint64_t addr)
{
	const struct host_file *f = file_of(map);
	uint64_t len = map->npages << UF_PAGE_SHIFT;
	long place = reserve_place(len, map->file_page << UF_PAGE_SHIFT), at;

	if (sys_failed(place))
		return -ENOMEM;
	at = sys_mremap(addr, 0, len, MREMAP_MAYMOVE | MREMAP_FIXED, (uint64_t)place);
	if (sys_failed(at))
		at = map_file(f, (uint64_t)place, len, map->file_page, true);
	if (sys_failed(at)) {
		sys_munmap((uint64_t)place, len);
		return at == -ENOMEM ? -ENOMEM : -EINVAL;
	}
	sys_madvise((uint64_t)at, len, MADV_DONTDUMP);
	if (f->grows_large)
		sys_madvise((uint64_t)at, len, MADV_NOHUGEPAGE);
	if (sys_mprotect((uint64_t)at, len, PROT_READ | PROT_WRITE) != 0)
		sys_mprotect((uint64_t)at, len, PROT_READ);
	map->alias = (uint64_t)at;
	hm->alias = (uint64_t)at;
	hm->alias_len = len;
	atomic_fetch_add(&registry.asides, 1);
	return 0;
}

bool in_place_own(uint64_t addr, uint64_t len)
{
	bool own = false;

	if (atomic_load_explicit(&registry.asides, memory_order_relaxed) == 0)
		return false;
	mach_read_lock(&registry.lock);
	for (struct host_map *hm = arena_at(registry.maps); hm && !own; hm = arena_at(hm->next))
		own = hm->alias != 0 && addr < hm->alias + hm->alias_len && hm->alias < addr + len;
	mach_read_unlock(&registry.lock);
	return own;
}

void in_place_release(struct mach_map *map, struct host_map *hm)
{
	if (hm->alias) {
		sys_munmap(hm->alias, hm->alias_len);
		hm->alias = 0;
		atomic_fetch_sub(&registry.asides, 1);
	}
	huge_release(hm);
	host_file_put(file_of(map));
}

/* ---- Maps ---- */

/* Guards cannot close huge pages, nor pages that are to be written while they are closed. */
static const struct trap_ops *trap_for(const struct mach_map *map)
{
	const struct host_file *f = file_of(map);
	bool ordinary = f->kind == MACH_VMA_SHMEM || f->kind == MACH_VMA_FILE || f->huge;

	return map->kind == MACH_MAP_SHARED && ordinary ? host.trap : &trap_mprotect;
}

/* The map's file is held already, and is let go when this fails. */
static struct host_map *init_in_place(struct mach_map *map, uint64_t npages, struct host_file *f,
				      bool shared, uint64_t file_page)
{
	struct host_map *hm;

	memset(map, 0, sizeof(*map));
	map->kind = shared ? MACH_MAP_SHARED : MACH_MAP_PRIVATE;
	map->page_shift = f->shift;
	map->file = arena_ref(f);
	map->file_page = file_page;
	hm = map_init(map, npages, trap_for(map), host_file_granule(f));
	if (!hm)
		host_file_put(f);
	return hm;
}

static void drop_in_place(struct mach_map *map, struct host_map *hm)
{
	in_place_release(map, hm);
	registry_drop_map(hm);
	memset(map, 0, sizeof(*map));
}

/* Is there a way to make pages of it? Memory that is never filled needs none. */
static bool fillable(const struct mach_vma *vma)
{
	return vma->shared || fill_memory_fd() >= 0;
}

/*
 * Closed before anything is looked at, as with mach_map_adopt; what the program has mapped there
 * stays mapped. Memory that the host keeps locked by itself must stay so.
 */
int mach_map_adopt_file(struct mach_map *map, uint64_t addr, uint64_t npages,
			const struct mach_vma *vma)
{
	uint64_t len = npages << UF_PAGE_SHIFT, sp = cpu_stack_pointer();
	struct host_file *f;
	struct host_map *hm;
	int err;

	if (sp >= addr && sp < addr + len)
		return -ENOMEM;
	err = host_arm();
	if (err != 0)
		return err;
	if (!fillable(vma))
		return -EINVAL;
	f = host_file_get(addr, vma);
	if (!f)
		return -ENOMEM;
	hm = init_in_place(map, npages, f, vma->shared,
			   vma->file_page + ((addr - vma->start) >> UF_PAGE_SHIFT));
	if (!hm)
		return -ENOMEM;
	if (vma->kind != MACH_VMA_SECRET)
		sys_munlock(addr, len);
	err = sys_mprotect(addr, len, PROT_NONE) == 0 ? 0 : -ENOMEM;
	if (err == 0 && vma->shared)
		err = make_alias(map, hm, addr);
	if (err != 0) {
		sys_mprotect(addr, len, (int)vma->prot);
		drop_in_place(map, hm);
		return err;
	}
	atomic_store(&hm->prot, vma->prot);
	map_register(map, addr, vma->prot);
	if (!vma->shared)
		huge_may_put(hm, f, addr);
	if (!vma->shared && f->grows_large)
		sys_madvise(addr, len, MADV_NOHUGEPAGE);
	if (f->huge && !vma->shared)
		fill_settle(&(struct mach_span){.map = map, .addr = addr, .npages = npages});
	return 0;
}

/* ---- Extending ---- */

/* Does the host have just this part of the file at addr? */
static bool stands_there(const struct mach_map *map, uint64_t addr)
{
	const struct host_file *f = file_of(map);
	uint64_t end = addr + (map->npages << UF_PAGE_SHIFT);
	struct mach_vma vma = {0};
	struct vma_raw raw;

	while (addr < end) {
		if (vma_raw_next(addr, &vma, &raw) != 0 || vma.start > addr ||
		    raw.inode != f->ino || vma_device(&raw) != f->dev ||
		    vma.shared != (map->kind == MACH_MAP_SHARED) ||
		    (raw.offset >> UF_PAGE_SHIFT) + ((addr - vma.start) >> UF_PAGE_SHIFT) !=
			    map->file_page + map->npages - ((end - addr) >> UF_PAGE_SHIFT))
			return false;
		addr = vma.end;
	}
	return true;
}

/* Let the mapping that ends at addr grow over it. */
static long grow_neighbour(uint64_t addr, uint64_t len)
{
	long at;

	sys_munmap(addr, len);
	at = sys_mremap(addr - UF_PAGE_SIZE, UF_PAGE_SIZE, UF_PAGE_SIZE + len, 0, 0);
	return sys_failed(at) ? at : (long)addr;
}

/*
 * From a page that the other map's alias shows on: made elsewhere first, as that page need not be
 * the first one that is wanted.
 */
static long duplicate(const struct mach_map *like, uint64_t first, uint64_t addr, uint64_t len)
{
	uint64_t anchor = first < like->npages ? first : like->npages - 1;
	uint64_t extra = (first - anchor) << UF_PAGE_SHIFT;
	long at;

	if (!like->alias)
		return -EINVAL;
	at = sys_mremap(like->alias + (anchor << UF_PAGE_SHIFT), 0, extra + len, MREMAP_MAYMOVE, 0);
	if (sys_failed(at))
		return at;
	if (extra > 0)
		sys_munmap((uint64_t)at, extra);
	sys_mprotect((uint64_t)at + extra, len, PROT_NONE);
	sys_madvise((uint64_t)at + extra, len, MADV_DODUMP);
	return sys_mremap((uint64_t)at + extra, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, addr);
}

static bool ends_with(uint64_t addr, const struct mach_map *like, uint64_t first)
{
	const struct host_segment *s;
	bool ends = false;
	uint32_t i;

	mach_read_lock(&registry.lock);
	i = registry_find(addr - UF_PAGE_SIZE);
	if (i < registry.count) {
		s = &registry.segments[i];
		ends = s->map == like->id && s->addr + (s->npages << UF_PAGE_SHIFT) == addr &&
		       s->first + s->npages == first;
	}
	mach_read_unlock(&registry.lock);
	return ends;
}

/* Put the host's mapping of the map's pages at addr, if it is not there already, and close it. */
static int place_mapping(const struct mach_map *map, const struct mach_map *like, uint64_t first,
			 uint64_t addr)
{
	uint64_t len = map->npages << UF_PAGE_SHIFT;
	long at = (long)addr;

	if (!stands_there(map, addr)) {
		at = map_file(file_of(map), addr, len, map->file_page,
			      map->kind == MACH_MAP_SHARED);
		if (sys_failed(at))
			at = duplicate(like, first, addr, len);
		if (sys_failed(at) && ends_with(addr, like, first))
			at = grow_neighbour(addr, len);
	}
	if (sys_failed(at))
		return -ENOMEM;
	return sys_mprotect(addr, len, PROT_NONE) == 0 ? 0 : -ENOMEM;
}

int mach_map_extend(struct mach_map *map, const struct mach_map *like, uint64_t first,
		    uint64_t addr, uint64_t npages)
{
	const uint32_t prot = atomic_load(&host_map_of(like)->prot);
	struct host_map *hm;
	int err;

	if (like->kind == MACH_MAP_FRAMES)
		return mach_map_fresh(map, addr, npages, prot);
	hm = init_in_place(map, npages, host_file_hold(file_of(like)),
			   like->kind == MACH_MAP_SHARED, like->file_page + first);
	if (!hm)
		return -ENOMEM;
	err = place_mapping(map, like, first, addr);
	if (err == 0 && like->kind == MACH_MAP_SHARED)
		err = make_alias(map, hm, addr);
	if (err != 0) {
		drop_in_place(map, hm);
		return -ENOMEM;
	}
	atomic_store(&hm->prot, prot);
	map_register(map, addr, prot);
	return 0;
}

/* ---- Pages ---- */

/* A guard is something in the host's page table, too. */
static void query_pages(const struct mach_span *span, uint64_t page, uint64_t n,
			enum pagemap_what what, uint64_t *bits)
{
	const struct host_map *hm = host_map_of(span->map);

	pagemap_query(span_addr(span, page), n, what, bits);
	for (uint64_t i = 0; what == PAGEMAP_HERE && i < n; i++) {
		if (hm->tlb[page + i] & TLB_GUARD)
			bits[i / 64] &= ~(1ull << (i % 64));
	}
}

/* A huge page that is ordinary memory is there, or private, when any part of it is. */
static void query_span(const struct mach_span *span, uint64_t page, uint64_t n,
		       enum pagemap_what what, uint64_t *bits)
{
	uint64_t whole[HUGE_PAGES / 64] = {0}, any = 0;

	memset(bits, 0, (n + 63) / 64 * 8);
	if (span->map->kind == MACH_MAP_FRAMES || span->addr == 0)
		return;
	if (!file_of(span->map)->huge) {
		query_pages(span, page, n, what, bits);
		return;
	}
	query_pages(span, page & ~(HUGE_PAGES - 1), HUGE_PAGES, what, whole);
	for (unsigned i = 0; i < HUGE_PAGES / 64; i++)
		any |= whole[i];
	if (any)
		memset(bits, 0xff, (n + 63) / 64 * 8);
}

void mach_pages_mapped(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits)
{
	query_span(span, page, n, PAGEMAP_HERE, bits);
}

void mach_pages_private(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits)
{
	if (span->map->kind == MACH_MAP_PRIVATE)
		query_span(span, page, n, PAGEMAP_PRIVATE, bits);
	else
		memset(bits, 0, (n + 63) / 64 * 8);
}

/*
 * To collapse, the host wants one mapping, and page tables without guards: the range is closed by
 * protection alone, and opened again when it is touched.
 */
static void close_plainly(const struct mach_span *span, uint64_t page, uint64_t n)
{
	struct host_map *hm = host_map_of(span->map);
	uint64_t addr = span_addr(span, page);

	mach_write_lock(&hm->lock);
	if (tlb_protect_always(hm, addr, page, n, PROT_NONE) == 0 && hm->trap == &trap_guard &&
	    sys_madvise(addr, n << UF_PAGE_SHIFT, MADV_GUARD_REMOVE) == 0) {
		for (uint64_t p = page; p < page + n; p++)
			hm->tlb[p] &= (uint8_t)~TLB_GUARD;
	}
	mach_write_unlock(&hm->lock);
}

int mach_file_advise(const struct mach_span *span, uint64_t page, uint64_t n, int advice)
{
	if (advice == MADV_COLLAPSE)
		close_plainly(span, page, n);
	if (advice == MADV_DONTFORK || advice == MADV_DONTDUMP || advice == MADV_WIPEONFORK)
		atomic_store(&host_map_of(span->map)->replaceable, false);
	return sys_madvise(span_addr(span, page), n << UF_PAGE_SHIFT, advice);
}
