/*
 * internal.h - what the files of the host machine share.
 *
 *   init.c      start-up, arena, configuration
 *   signal.c    the trap handler, the program's SIGSEGV
 *   fd.c        hidden descriptors, small reads
 *   wait.c      waiting, waking, time, entering
 *   notify.c    the descriptor a reader polls
 *   registry.c  which map stands where
 *   map.c       adopt, move, destroy
 *   aside.c     earlier contents of what was adopted
 *   inplace.c   maps that stay where they are: the program's mappings of files
 *   file.c      the files they show: which, how long, what is in them
 *   find.c      a descriptor of a file that is mapped
 *   fill.c      making pages of a file, and private copies
 *   hugetlb.c   which huge pages a file has
 *   frames.c    extents of frames
 *   contents.c  mach_frames_*: the contents of a page, wherever they are
 *   unshare.c   extents that a fork shares, and maps that are copied on write
 *   swap.c      where pages go that leave memory
 *   tlb.c       TLB bytes, budget, eviction
 *   trap_*.c    how a page is closed and opened
 *   vma.c       what the host has mapped
 *   pagemap.c   which pages the host has in a range
 *   altstack.c  alternate stacks
 *   fork.c      before and after a fork; which children are alive
 *   probe.c     what works here
 *   lock.c      futex locks
 *
 * Lock order: (the mm's locks) -> registry lock -> a map's TLB lock -> frames lock -> arena lock;
 * and (the mm's locks) -> a file's group lock -> the files' lock -> arena lock. Whoever holds a
 * map's TLB lock and needs the registry lets go of the former first.
 */
#ifndef UF_HOST_INTERNAL_H
#define UF_HOST_INTERNAL_H

#include <string.h>

#include "machine/host/host.h"
#include "machine/host/sys.h"
#include "mm/arena.h"

/* Not the builtin, which may be a call into the compiler's library. */
static inline uint64_t count_bits(uint64_t x)
{
	x -= (x >> 1) & 0x5555555555555555;
	x = (x & 0x3333333333333333) + ((x >> 2) & 0x3333333333333333);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return (x * 0x0101010101010101) >> 56;
}

/* ---- init.c ---- */

struct host_state {
	bool ready;
	const struct trap_ops *trap;
	uint64_t warm_limit;
	uint64_t arena_addr, arena_len;
	int frames_fd;
	uint32_t cpus;	   /* that this process may use; 1: never spin */
	uint32_t max_maps; /* vm.max_map_count */
};
extern struct host_state host;

/* A hidden memory file of this length. */
int host_memory_file(const char *name, uint64_t len);
/* A shared mapping of such a file that takes no memory until touched; at addr, 0: anywhere. */
long host_map_sparse(uint64_t addr, uint64_t len, int fd, uint64_t off);
/* Private zeroed memory of ours that takes none until touched; kept for good. */
long host_map_private(uint64_t len, int prot);

/* ---- fd.c ---- */

/* In a forked child: all hidden descriptors but those that are kept. */
void host_close_unkept(void);
/* The whole of a small file, zero-terminated: its length, or a negative errno. */
long host_read_file(const char *path, char *buf, size_t size);
/* The decimal number at *p, which is moved behind it. */
uint64_t host_parse_number(const char **p);
bool host_begins(const char *s, const char *with);
/* Append to buf at *at. */
void host_put_number(char *buf, size_t *at, uint64_t value);
void host_put_hex(char *buf, size_t *at, uint64_t value);

/* ---- registry.c: which map stands where ---- */

#define ASIDE_BLOCKS 256

/*
 * The machine's own record of a map; struct mach_map.id is a reference to it. `lock`: read for what
 * changes single bytes of pages that the caller is responsible for, write for what changes other
 * pages' bytes or the number of host mappings.
 */
struct trap_ops;

struct host_map {
	struct mach_rwlock lock;
	const struct trap_ops *trap;
	uint8_t *tlb; /* one TLB_ byte per page */
	uint64_t npages, chunk;
	uint64_t splits;	 /* places inside the map where the host protection changes */
	_Atomic uint64_t last;	 /* page opened last, by itself */
	_Atomic uint32_t streak; /* how many such opens went one page on from the one before */
	uint64_t aside, aside_len;
	_Atomic uint64_t *settled; /* bit per page: nothing (any more) aside; NULL without aside */
	_Atomic uint64_t unsettled;
	uint64_t aside_block; /* pages that become readable together */
	_Atomic uint64_t readable[ASIDE_BLOCKS / 64];
	uint64_t alias, alias_len; /* of a map in place: its own mapping of the file */
	_Atomic uint32_t prot;	   /* of the span of such a map that was named last */
	bool in_place;
	_Atomic uint32_t share; /* enum map_share */
	uint32_t file;		/* whose extent: 0: this process's; or of a parent, see frames.c */
	uint32_t since;		/* the first fork since which it is shared */
	_Atomic bool marked;	/* pages may have TLB_FORKED, or TLB_RESTORE */
	/*
	 * Of private huge pages: they may be put in place as host mappings of their own, which hold
	 * no page in reserve where the program's does not. apart: bit per huge page that is one.
	 */
	_Atomic bool replaceable;
	bool noreserve;
	uint64_t *apart;
	uf_ref prev, next;
};

/*
 * What a FRAMES map is to other processes. Its own: nobody else sees the extent. Frozen: children
 * do, and the program's mapping shows the extent for reading only. Copied: the same, but the
 * program has a private mapping of the extent, so that the host copies on write.
 */
enum map_share {
	MAP_OWN,
	MAP_FROZEN,
	MAP_COPIED,
};

/* A stretch of the program's addresses where pages of a map stand. */
struct host_segment {
	uint64_t addr, npages, first;
	uf_ref map;
};

/* Of this address space, and in private memory: a forked child has its own. */
struct host_registry {
	struct mach_rwlock lock;
	struct host_segment *segments; /* sorted by address */
	uint32_t count;
	uf_ref maps; /* list of struct host_map */
	_Atomic uint64_t splits, asides;
};
extern struct host_registry registry;

static inline struct host_map *host_map_of(const struct mach_map *map)
{
	return arena_at(map->id);
}

int registry_init(void);
void registry_after_fork(void);
/* With the lock held for writing. Is there room for `n` more segments? */
bool registry_room(uint32_t n);
void registry_add(const struct mach_span *span);
void registry_remove(uint64_t addr, uint64_t npages);
/* The index of the first segment that ends above addr. Lock held, for reading at least. */
uint32_t registry_find(uint64_t addr);

/*
 * These take the lock themselves. new_map: NULL when the arena is full; chunks are of `granule`
 * pages at least.
 */
struct host_map *registry_new_map(uint64_t npages, const struct trap_ops *trap, uint64_t granule);
void registry_drop_map(struct host_map *hm);

/* Host mappings that the managed ranges take, at most. */
uint64_t registry_mappings(void);

/* ---- frames.c ---- */

int frames_init(void);
int frames_reserve(struct mach_map *map, uint64_t npages);
void frames_release(struct mach_map *map);
bool frames_own(uint64_t addr, uint64_t len);
/* What mach_frames_* do where the contents are in an extent. */
long frames_copy(const struct mach_map *map, uint64_t page, uint64_t n, uint64_t src);
void frames_zero(const struct mach_map *map, uint64_t page, uint64_t n);
int frames_move(const struct mach_map *dst, uint64_t dpage, const struct mach_map *src,
		uint64_t spage, uint64_t n);
void frames_drop(const struct mach_map *map, uint64_t page, uint64_t n);
void frames_give(const struct mach_map *map, uint64_t page, uint64_t n);
void *frames_pointer(const struct mach_map *map, uint64_t page);
/* Was the page ever filled, since it was dropped and given back? */
bool frames_present(const struct mach_map *map, uint64_t page);
/* Do all these pages surely have frames? */
bool frames_allocated(const struct mach_map *map, uint64_t page, uint64_t n);
uint64_t frames_idle(void);

/*
 * The file that the map's extent is in: this process's, or one inherited from a parent, whose
 * descriptor is kept as long as maps need it, and tells that parent that a child is alive.
 */
int frames_file(const struct host_map *hm);
/* In the child: all maps of the process's own file are inherited, by this descriptor. */
void frames_after_fork(int fd, bool shares_files);
/* Read what a frozen page has. */
int frames_read_frozen(const struct mach_map *map, uint64_t page, void *buf);

/* ---- unshare.c ---- */

/* The map's contents can be changed, by way of its extent (true), or of the program's mapping. */
int unshare_map(const struct mach_map *map);
bool unshare_in_extent(const struct mach_map *map);
/* A registered map is shared by the fork of this number. Exclusive: no lock is held by anybody. */
void unshare_freeze(struct host_map *hm, uint32_t fork);
/* The pages have new contents, which nobody shares. */
void unshare_filled(const struct mach_map *map, uint64_t page, uint64_t n);
/* Their contents are about to be drawn from there, where a fork may have shared them. */
void unshare_drawn(const struct mach_map *map, uint64_t page, uint64_t n, uint64_t from);
/* They may be written from now on. Write lock held. */
void unshare_opened(struct host_map *hm, const struct mach_span *span, uint64_t page, uint64_t n);
/* They may not be, for another reason than a fork. Lock held. */
void unshare_limited(struct host_map *hm, uint64_t page, uint64_t n);

/* Contents of a copied map; as frames_*. The pages are closed. */
long copied_copy(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src);
int copied_zero(const struct mach_span *span, uint64_t page, uint64_t n);
void copied_drop(const struct mach_span *span, uint64_t page, uint64_t n);
int copied_read(const struct mach_span *span, uint64_t page, void *buf);

/* ---- aside.c ---- */

/* Does [addr, addr + len) touch an aside range? */
bool aside_own(uint64_t addr, uint64_t len);
/* Note that what stood in the map's range now stands at addr, and cannot be read there yet. */
void aside_begin(struct mach_map *map, struct host_map *hm, uint64_t addr,
		 _Atomic uint64_t *settled);
void aside_release(struct mach_map *map, struct host_map *hm);

/* ---- pagemap.c ---- */

enum pagemap_what {
	PAGEMAP_HERE,	/* the host has a page there, in memory or in swap */
	PAGEMAP_PRIVATE /* ... which is no file's, but the mapping's own */
};
/* Set bit i of bits[] where page i of the n from addr on is such. */
void pagemap_query(uint64_t addr, uint64_t n, enum pagemap_what what, uint64_t *bits);
/* Has the host any page in [addr, addr + len)? */
bool pagemap_any(uint64_t addr, uint64_t len);
/* How many of the n pages from addr on are the mapping's own, and nobody else's. */
uint64_t pagemap_exclusive(uint64_t addr, uint64_t n);
void pagemap_after_fork(void);

/* ---- find.c: a descriptor for what is mapped ---- */

/*
 * A hidden descriptor of the file that the mapping at addr shows, for writing if `write` and that
 * is possible; negative: there is no way to one. *ours: nobody else has its open file description.
 */
int find_descriptor(uint64_t addr, const struct mach_vma *vma, bool write, bool *ours);
/* Is the file's memory to be taken for huge pages (host_note_huge)? */
bool note_is_huge(uint64_t dev, uint64_t ino);
void notes_after_fork(void);

/* ---- file.c: the files that maps in place show ---- */

#define HUGE_SHIFT 21
#define HUGE_PAGES (1ull << (HUGE_SHIFT - UF_PAGE_SHIFT))

/* Locks of groups, below. */
#define HOST_FILE_GROUPS 64

struct host_file {
	uint64_t dev, ino;
	enum mach_vma_kind kind;
	uint32_t shift;		  /* of the host's pages */
	bool huge;		  /* ordinary pages that are to be taken for huge ones */
	bool nobodys;		  /* it stands for private anonymous memory, and has no pages */
	bool write;		  /* the descriptor was looked for to write */
	bool ours;		  /* nobody else has the open file description */
	bool grows_large;	  /* the host may make more pages of it than it was asked for */
	int fd;			  /* -1: none found */
	_Atomic bool makes_pages; /* pwrite does */
	_Atomic uint32_t maps;
	struct mach_lock lock; /* the two below */
	uint64_t *known;       /* of huge pages: bit per page that the file has, as far as known */
	uint64_t known_pages, known_count;
	uf_ref made[HOST_FILE_GROUPS]; /* made.c; each under the lock of its groups */
	_Atomic bool any_made;
	uf_ref next;
};

static inline struct host_file *file_of(const struct mach_map *map)
{
	return arena_at((uf_ref)map->file);
}

/* The record of the file that the mapping at addr shows, made if there is none. NULL: no memory. */
struct host_file *host_file_get(uint64_t addr, const struct mach_vma *vma);
struct host_file *host_file_hold(struct host_file *f);
void host_file_put(struct host_file *f);
void host_file_after_fork(void);

/*
 * How many pages of the file lie between page `from` and its end; many, when nobody knows. *part:
 * the last of them is one that the file ends in.
 */
uint64_t host_file_room(const struct host_file *f, uint64_t from, bool *part);

/*
 * Filling and looking at the pages of 2 MiB of a file are done under a lock of these. The first
 * gives how many of the n pages from `page` on lie in the same 2 MiB.
 */
uint64_t host_file_group(const struct mach_map *map, uint64_t page, uint64_t n);
void host_file_lock(const struct mach_map *map, uint64_t page);
void host_file_unlock(const struct mach_map *map, uint64_t page);

/* How many pages the file gets or loses at a time. */
static inline uint64_t host_file_granule(const struct host_file *f)
{
	return f->huge ? HUGE_PAGES : 1ull << (f->shift - UF_PAGE_SHIFT);
}

/* Which of the n pages of a group the file has. The group is locked. */
void host_file_look(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits);
/* The same by the host's own pages, where those are ordinary ones. */
void host_file_look_pages(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits);
/* How many pages from `page` on the file has (there) or has not. Locked. */
uint64_t host_file_run(const struct mach_span *span, uint64_t page, uint64_t n, bool there);
/* Take pages that were made by mistake out of the file again. Locked. Or a negative errno. */
int host_file_unmake(const struct mach_map *map, uint64_t page, uint64_t n);

/* ---- made.c: pages that nobody asked for ---- */

/* The n pages of the file from `page` on, in one group, were made for private copies only. */
void made_note(struct host_file *f, uint64_t page, uint64_t n);
/* They are the file's from now on. */
void made_forget(struct host_file *f, uint64_t page, uint64_t n);
/* Clear bits[] where pages of the map's file are such, and nobody has written to them since. */
void made_leave_out(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits);
void made_free(struct host_file *f);

/* ---- hugetlb.c ---- */

/* Has the file this huge page? As host_file_look. */
bool huge_look(const struct mach_span *span, uint64_t page);
/* Huge pages were made or have gone. */
void huge_note(struct host_file *f, uint64_t page, uint64_t n, bool there);
/* What the program's mapping that begins at start has to be for huge_put. */
void huge_may_put(struct host_map *hm, const struct host_file *f, uint64_t start);
/*
 * Make a private huge page elsewhere and put it in place; src NULL: of zeroes. Locked. How many
 * pages; 0: not in this way; -EFAULT: the source.
 */
long huge_put(const struct mach_span *span, uint64_t page, const void *src);
void huge_release(struct host_map *hm);

/* ---- fill.c: contents of maps in place ---- */

/* What mach_frames_* do there. */
long fill_copy(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src);
int fill_zero(const struct mach_span *span, uint64_t page, uint64_t n);
void fill_drop(const struct mach_span *span, uint64_t page, uint64_t n);
int fill_read(const struct mach_span *span, uint64_t page, void *buf);
/* Take pages that were read elsewhere out of the map, for good. */
void fill_take(const struct mach_span *span, uint64_t page, uint64_t n);
/*
 * A new private map of memory that is taken for huge pages: those never come by way of the file.
 * What the program has touched becomes the mapping's own, and the file loses the pages of zeroes
 * that came of that.
 */
void fill_settle(const struct mach_span *span);
/* Has that page of the file no contents? It has a descriptor. */
bool fill_still_zero(const struct host_file *f, uint64_t page);
/* Descriptor of /proc/self/mem, through which closed private pages can be written; or negative. */
int fill_memory_fd(void);
/* Write to closed pages of a private mapping. How many pages; -EFAULT: the source; -ENOMEM. */
long fill_write_private(uint64_t addr, uint64_t n, uint64_t src);
/* The same with zeroes. */
long fill_zero_private(uint64_t addr, uint64_t n);
void fill_after_fork(void);

/* ---- inplace.c ---- */

bool in_place_own(uint64_t addr, uint64_t len);
void in_place_release(struct mach_map *map, struct host_map *hm);

/* ---- tlb.c ---- */

/*
 * A page lets through nothing while TLB_GUARD is set or its TLB_PROT is 0; else TLB_PROT, which is
 * the protection of the host mapping there. The bytes tell exactly what the host has, so that a
 * change costs no system call that is not needed.
 */
#define TLB_PROT  7u
#define TLB_GUARD 8u
/* Opened since it was last guarded: the host may still have mapped its frame. */
#define TLB_SEEN 16u
/* Shared by a fork, and neither written nor filled since, as far as this process did it. */
#define TLB_FORKED 32u
/* It was let through for writing when a fork took that away. */
#define TLB_RESTORE 64u

struct trap_ops {
	const char *name;
	/*
	 * mach_tlb_open_set, with bits NULL for all pages, and mach_tlb_limit. hm->lock is held,
	 * for writing if may_split; without it they return -EAGAIN, with nothing let through that
	 * should not be, when they would have to change host mappings or the bytes of other pages.
	 * -ENOMEM from open: no room in the host or the budget.
	 */
	int (*open)(struct host_map *hm, const struct mach_span *span, uint64_t page, uint64_t n,
		    const uint64_t *bits, uint32_t prot, bool may_split);
	int (*limit)(struct host_map *hm, const struct mach_span *span, uint64_t page, uint64_t n,
		     uint32_t prot, bool may_split);
	/*
	 * Close pages [page, page + n), which stand at addr, for room: afterwards they have one
	 * protection, `around` if the trap can do that. Write lock held.
	 */
	void (*evict)(struct host_map *hm, uint64_t addr, uint64_t page, uint64_t n,
		      uint32_t around);
};
extern const struct trap_ops trap_guard, trap_mprotect;

static inline uint64_t span_addr(const struct mach_span *span, uint64_t page)
{
	return span->addr + ((page - span->first) << UF_PAGE_SHIFT);
}

static inline uint32_t tlb_prot(const struct host_map *hm, uint64_t page)
{
	return hm->tlb[page] & TLB_PROT;
}

static inline bool tlb_guarded(const struct host_map *hm, uint64_t page)
{
	return hm->tlb[page] & TLB_GUARD;
}

/* Pages to open, from `page` on: those whose bit is set, or all when there are no bits. */
struct tlb_set {
	uint64_t page;
	const uint64_t *bits;
};

static inline bool tlb_in_set(const struct tlb_set *set, uint64_t page)
{
	uint64_t i = page - set->page;

	return !set->bits || (set->bits[i / 64] >> (i % 64) & 1);
}

/* Shrink [*page, *end) to begin and end with pages of the set that have not this protection yet. */
bool tlb_narrow(const struct host_map *hm, const struct tlb_set *set, uint64_t *page, uint64_t *end,
		uint32_t prot);
/* How many pages from `page` on, up to `end`, have its TLB_PROT. */
uint64_t tlb_run(const struct host_map *hm, uint64_t page, uint64_t end);
/* mprotect, bytes and counting; the write lock is held. -ENOMEM: the host or the budget is full. */
int tlb_protect(struct host_map *hm, uint64_t addr, uint64_t page, uint64_t n, uint32_t prot);
/* As tlb_protect, but the budget may be exceeded. */
int tlb_protect_always(struct host_map *hm, uint64_t addr, uint64_t page, uint64_t n,
		       uint32_t prot);
/* The bytes have changed with the host's mappings: count the splits anew. Write lock held. */
void tlb_recount(struct host_map *hm);
/* Close pages so that at least `want` host mappings merge. Returns how many did. */
uint64_t tlb_evict(uint64_t want);
/* Use this budget instead of the host's; 0: the host's. */
void tlb_set_budget(uint64_t budget);

/* ---- map.c ---- */

/* The machine's record of a map whose kind and page_shift are set already; NULL: no memory. */
struct host_map *map_init(struct mach_map *map, uint64_t npages, const struct trap_ops *trap,
			  uint64_t granule);
/* Its place in the program, instead of what was there. */
void map_register(const struct mach_map *map, uint64_t addr, uint32_t prot);
/* Host calls that found no room get some by closing this many pages' mappings. */
#define RETRY_SPLITS 256
/* Does [addr, addr + len) touch a managed stretch? */
bool map_managed(uint64_t addr, uint64_t len);

/* ---- signal.c, wait.c ---- */

struct mach_trap {
	siginfo_t *info;
	ucontext_t *uc;	      /* NULL: not a trap, but inside a system call of the program's */
	uint64_t deliverable; /* then: the signals that the program does not block */
};

#define SIG_BIT(sig) (1ull << ((sig)-1))
/* What a CPU raises in the middle of an instruction. */
#define SIG_RAISED (SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS))

/* Is this the siginfo of a wake-up by mach_wake? */
/* A signal that asks this process for what host_set_waiting has for it: then it is done. */
bool wait_is_asked(const siginfo_t *info);
bool wait_is_wakeup(const siginfo_t *info);
void wait_init(void);
void wait_after_fork(void);
void signal_after_fork(void);

/* ---- vma.c ---- */

/* What is known about a mapping before its kind is decided. */
struct vma_raw {
	uint64_t inode, offset, page_size;
	uint32_t major, minor;
	char name[512];
};
/* As mach_vma_next, but our own mappings too, and neither kind nor what follows from that. */
int vma_raw_next(uint64_t addr, struct mach_vma *vma, struct vma_raw *r);

/* The device, as stat(2) numbers it. */
uint64_t vma_device(const struct vma_raw *r);

/* What only smaps tells, of the mapping that begins at start. */
struct smaps_fields {
	uint64_t page_size;
	bool maywrite, noreserve, found;
	bool special; /* what madvise can make of a mapping: no part of cores, or of a child */
};
int smaps_read(uint64_t start, struct smaps_fields *fields);
void vma_after_fork(void);

/* ---- altstack.c, fork.c ---- */

void altstack_after_fork(void);
int fork_init(void);
/* Is a child alive that was forked with this number, or later? */
bool fork_children(uint32_t since);
/* Has this process been forked, or forked another? */
bool fork_ever(void);

#endif
