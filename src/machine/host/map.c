/* map.c - how a stretch of the program's memory becomes ours, moves, and goes. */
#include "machine/host/internal.h"

struct host_map *map_init(struct mach_map *map, uint64_t npages, const struct trap_ops *trap,
			  uint64_t granule)
{
	struct host_map *hm = registry_new_map(npages, trap, granule);

	if (!hm)
		return NULL;
	hm->in_place = map->kind != MACH_MAP_FRAMES;
	map->npages = npages;
	map->id = arena_ref(hm);
	map->tlb = arena_ref(hm->tlb);
	map->chunk_pages = hm->chunk;
	return hm;
}

static struct host_map *map_init_frames(struct mach_map *map, uint64_t npages)
{
	struct host_map *hm;

	memset(map, 0, sizeof(*map));
	map->kind = MACH_MAP_FRAMES;
	map->page_shift = UF_PAGE_SHIFT;
	hm = map_init(map, npages, host.trap, 1);
	if (hm && frames_reserve(map, npages) != 0) {
		registry_drop_map(hm);
		return NULL;
	}
	return hm;
}

static void map_fini(struct mach_map *map, struct host_map *hm)
{
	if (hm->in_place) {
		in_place_release(map, hm);
	} else {
		aside_release(map, hm);
		frames_release(map);
	}
	registry_drop_map(hm);
	memset(map, 0, sizeof(*map));
}

/* Put the closed mapping of the map's extent at addr, in one step over whatever is there. */
static int map_over(const struct mach_map *map, uint64_t addr)
{
	uint64_t len = map->npages << UF_PAGE_SHIFT;
	long at = -ENOMEM;

	for (int tries = 0; tries < 2 && at == -ENOMEM; tries++) {
		if (tries > 0)
			tlb_evict(RETRY_SPLITS);
		at = sys_mmap(addr, len, PROT_NONE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
			      host.frames_fd, map->extent << UF_PAGE_SHIFT);
	}
	if (sys_failed(at))
		return -ENOMEM;
	/*
	 * A child that nobody knows of must not reach our frames (fork.c lets the others have the
	 * mapping, to read); locked memory cannot be guarded.
	 */
	sys_madvise(addr, len, MADV_DONTFORK);
	sys_munlock(addr, len);
	return 0;
}

void map_register(const struct mach_map *map, uint64_t addr, uint32_t prot)
{
	const struct mach_span span = {(struct mach_map *)map, addr, 0, map->npages, prot};

	mach_write_lock(&registry.lock);
	registry_remove(addr, map->npages);
	registry_add(&span);
	mach_write_unlock(&registry.lock);
}

/*
 * Move what stands at addr aside. MREMAP_DONTUNMAP leaves the range mapped, so that nobody else's
 * mmap can land there; without it (Linux before 5.7) the range is free for an instant.
 */
static int move_aside(struct mach_map *map, struct host_map *hm, uint64_t addr)
{
	uint64_t len = map->npages << UF_PAGE_SHIFT;
	_Atomic uint64_t *settled = arena_alloc((map->npages + 63) / 64 * 8);
	long at;

	if (!settled)
		return -ENOMEM;
	at = sys_mremap(addr, len, len, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
	if (at == -EINVAL) {
		long place = sys_mmap(0, len, PROT_NONE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		at = sys_failed(place) ? place
				       : sys_mremap(addr, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
						    (uint64_t)place);
	}
	if (sys_failed(at)) {
		arena_free((void *)settled, (map->npages + 63) / 64 * 8);
		return -ENOMEM;
	}
	aside_begin(map, hm, (uint64_t)at, settled);
	return 0;
}

/* Undo move_aside: the contents go back where they were. */
static void move_back(struct mach_map *map, struct host_map *hm, uint64_t addr)
{
	if (!hm->settled)
		return;
	sys_mremap(hm->aside, hm->aside_len, hm->aside_len, MREMAP_MAYMOVE | MREMAP_FIXED, addr);
	atomic_store(&hm->unsettled, 0);
	atomic_fetch_sub(&registry.asides, 1);
	map->aside = 0;
}

/*
 * Closed before anything is looked at: what other threads write until then is seen, and what they
 * try later traps and waits for the lock that the caller holds.
 */
int mach_map_adopt(struct mach_map *map, uint64_t addr, uint64_t npages, uint32_t prot)
{
	uint64_t len = npages << UF_PAGE_SHIFT, sp = cpu_stack_pointer();
	struct host_map *hm;
	int err;

	/* The stack this runs on cannot be taken away under it. */
	if (sp >= addr && sp < addr + len)
		return -ENOMEM;
	err = host_arm();
	if (err != 0)
		return err;
	hm = map_init_frames(map, npages);
	if (!hm)
		return -ENOMEM;
	sys_munlock(addr, len);
	err = sys_mprotect(addr, len, PROT_NONE);
	if (err == 0 && pagemap_any(addr, len))
		err = move_aside(map, hm, addr);
	if (err == 0) {
		err = map_over(map, addr);
		if (err != 0)
			move_back(map, hm, addr);
	}
	if (err != 0) {
		sys_mprotect(addr, len, (int)prot);
		map_fini(map, hm);
		return -ENOMEM;
	}
	map_register(map, addr, prot);
	return 0;
}

int mach_map_fresh(struct mach_map *map, uint64_t addr, uint64_t npages, uint32_t prot)
{
	struct host_map *hm;
	int err = host_arm();

	if (err != 0)
		return err;
	hm = map_init_frames(map, npages);
	if (!hm)
		return -ENOMEM;
	err = map_over(map, addr);
	if (err != 0) {
		map_fini(map, hm);
		return err;
	}
	map_register(map, addr, prot);
	return 0;
}

void mach_map_destroy(struct mach_map *map)
{
	struct host_map *hm = host_map_of(map);

	if (!hm)
		return;
	map_fini(map, hm);
}

/*
 * Hosts before Linux 6.17 move one mapping at a time, so the stretch is made one first; its pages
 * come back as TLB misses.
 */
/* Hosts before Linux 5.13 cannot keep the place of a shared mapping: then it is free for an
 * instant. */
static long host_move(uint64_t from, uint64_t len, uint64_t to, bool keep)
{
	const int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	long at = -EINVAL;

	if (keep)
		at = sys_mremap(from, len, len, flags | MREMAP_DONTUNMAP, to);
	return at == -EINVAL ? sys_mremap(from, len, len, flags, to) : at;
}

/* Page by page, of huge pages that are host mappings of their own. */
static long host_move_apart(uint64_t from, uint64_t len, uint64_t to)
{
	const uint64_t piece = 1ull << HUGE_SHIFT;
	const int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	uint64_t done = 0;
	long at = (long)to;

	for (; done < len && !sys_failed(at); done += piece)
		at = sys_mremap(from + done, piece, piece, flags, to + done);
	if (!sys_failed(at))
		return (long)to;
	for (done -= piece; done > 0; done -= piece)
		sys_mremap(to + done - piece, piece, piece, flags, from + done - piece);
	return at;
}

int mach_map_move(const struct mach_span *from, uint64_t to, bool keep)
{
	const struct mach_span there = {from->map, to, from->first, from->npages, from->prot};
	struct host_map *hm = host_map_of(from->map);
	uint64_t len = from->npages << UF_PAGE_SHIFT;
	long at = -ENOMEM;

	mach_write_lock(&registry.lock);
	mach_write_lock(&hm->lock);
	tlb_protect_always(hm, from->addr, from->first, from->npages, PROT_NONE);
	mach_write_unlock(&hm->lock);
	if (registry_room(3))
		at = host_move(from->addr, len, to, keep);
	if (at == -EFAULT && hm->apart)
		at = host_move_apart(from->addr, len, to);
	if (!sys_failed(at)) {
		registry_remove(from->addr, from->npages);
		registry_remove(to, from->npages);
		registry_add(&there);
	}
	mach_write_unlock(&registry.lock);
	if (sys_failed(at))
		return -ENOMEM;
	return 0;
}

int mach_reserve(uint64_t hint, uint64_t len, uint64_t *addr)
{
	long at =
		sys_mmap(hint, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == -ENOMEM) {
		tlb_evict(RETRY_SPLITS);
		at = sys_mmap(hint, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			      0);
	}
	if (sys_failed(at))
		return -ENOMEM;
	*addr = (uint64_t)at;
	return 0;
}

int mach_munmap(uint64_t addr, uint64_t len)
{
	int err = -ENOMEM;

	for (int tries = 0; tries < 2 && err == -ENOMEM; tries++) {
		if (tries > 0)
			tlb_evict(RETRY_SPLITS);
		mach_write_lock(&registry.lock);
		if (registry_room(1))
			err = sys_munmap(addr, len);
		if (err == 0)
			registry_remove(addr, len >> UF_PAGE_SHIFT);
		mach_write_unlock(&registry.lock);
	}
	return err;
}

int mach_mmap_over(uint64_t addr, uint64_t len, int prot, int flags, int fd, uint64_t off)
{
	long at = -ENOMEM;

	for (int tries = 0; tries < 2 && at == -ENOMEM; tries++) {
		if (tries > 0)
			tlb_evict(RETRY_SPLITS);
		mach_write_lock(&registry.lock);
		if (registry_room(1))
			at = sys_mmap(addr, len, prot, flags | MAP_FIXED, fd, off);
		if (!sys_failed(at))
			registry_remove(addr, len >> UF_PAGE_SHIFT);
		mach_write_unlock(&registry.lock);
	}
	if (sys_failed(at))
		return (int)at;
	return 0;
}

bool map_managed(uint64_t addr, uint64_t len)
{
	bool managed;
	uint32_t i;

	mach_read_lock(&registry.lock);
	i = registry_find(addr);
	managed = i < registry.count && registry.segments[i].addr < addr + len;
	mach_read_unlock(&registry.lock);
	return managed;
}

/* ---- Still there? ---- */

/* Which file the map shows, and which page of it comes first. */
static int shown_file(const struct mach_map *map, uint64_t *dev, uint64_t *ino, uint64_t *first)
{
	const struct host_file *f = arena_at((uf_ref)map->file);
	struct stat st;

	if (map->kind != MACH_MAP_FRAMES) {
		*dev = f->dev;
		*ino = f->ino;
		*first = map->file_page;
		return 0;
	}
	if (sys_fstat(frames_file(host_map_of(map)), &st) != 0)
		return -EBADF;
	*dev = st.st_dev;
	*ino = st.st_ino;
	*first = map->extent;
	return 0;
}

bool mach_map_stands(const struct mach_span *span)
{
	uint64_t addr = span->addr, end = addr + (span->npages << UF_PAGE_SHIFT), dev, ino, first;
	struct mach_vma vma = {0};
	struct vma_raw raw;

	if (shown_file(span->map, &dev, &ino, &first) != 0)
		return true;
	while (addr < end) {
		uint64_t page = first + span->first + ((addr - span->addr) >> UF_PAGE_SHIFT);

		if (vma_raw_next(addr, &vma, &raw) != 0 || vma.start > addr || raw.inode != ino ||
		    vma_device(&raw) != dev ||
		    (raw.offset + addr - vma.start) >> UF_PAGE_SHIFT != page)
			return false;
		addr = vma.end;
	}
	return true;
}

void mach_map_left(uint64_t addr, uint64_t npages)
{
	mach_write_lock(&registry.lock);
	if (registry_room(1))
		registry_remove(addr, npages);
	mach_write_unlock(&registry.lock);
}
