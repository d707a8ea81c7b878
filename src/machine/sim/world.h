/*
 * world.h - inside the simulated machine: the pages of the program's window and what is behind
 * them.
 */
#ifndef UF_SIM_WORLD_H
#define UF_SIM_WORLD_H

#include "machine/sim/sched.h"

#define PAGE_WORDS (UF_PAGE_SIZE / sizeof(uint64_t))

/* Contents. A frame is complete once something filled it; until then it holds rubbish. */
struct sim_frame {
	_Atomic bool complete;
	uint64_t word[PAGE_WORDS];
};

/*
 * A file of the program. Its pages come and go in granules: one page, or a huge one's 512, which
 * are one array of frames. NULL is a hole.
 */
struct sim_file {
	enum mach_vma_kind kind;
	uint64_t ino;
	uint64_t size;	  /* pages before its end */
	uint64_t most;	  /* pages it can ever have */
	uint64_t granule; /* in pages */
	uint64_t used;	  /* pages it has contents for */
	uint64_t room;	  /* most of them */
	bool sealed;
	struct sim_frame **page; /* by granule */
};

/*
 * Frames, forked, aside: for FRAMES. File, copy, mapped: for maps in place, the last two by
 * granule.
 */
struct sim_map {
	bool used;
	_Atomic bool frozen; /* shared by a fork: nothing may change */
	bool *forked;	     /* and not written or filled since */
	enum mach_map_kind kind;
	uint64_t npages, granule;
	struct sim_frame *frames;
	struct sim_frame **aside; /* NULL where nothing stands aside */
	uint64_t *where;	  /* the program's address that shows the page, 0: none */
	struct sim_file *file;
	uint64_t file_page;
	struct sim_frame **copy; /* the program's private copies */
	bool *mapped;		 /* the host has a page in its table */
};

enum sim_page_kind {
	SIM_HOLE,
	SIM_NATIVE,
	SIM_MANAGED
};

struct sim_page {
	_Atomic uint32_t lock;
	enum sim_page_kind kind;
	struct mach_vma vma;	  /* native: attributes (start and end unused) */
	struct sim_frame *native; /* native: contents, or NULL; of a granule, at its first page */
	struct sim_file *file;	  /* native: a mapping of this file */
	uint64_t file_page;
	bool mapped;	     /* native, of a file: the host has a page in its table */
	uint32_t tlb;	     /* managed */
	struct sim_map *map; /* managed */
	uint64_t index;	     /* managed: page of the map */
};

extern struct sim_page *sim_pages;

/* The page of an address in the window, or NULL. */
struct sim_page *sim_page_at(uint64_t addr);
/* The same, for callers that must have a page. */
struct sim_page *sim_page_must(uint64_t addr);
uint64_t sim_page_addr(const struct sim_page *p);

/* Let through so much; how many pages are let through at all. The page is locked. */
void sim_page_set_tlb(struct sim_page *p, uint32_t tlb);
extern _Atomic uint64_t sim_open_pages;

/* A page's own lock: an access and a shootdown exclude each other. Nothing is scheduled inside. */
void sim_page_lock(struct sim_page *p);
void sim_page_unlock(struct sim_page *p);

/* Make it a hole, whatever it is. */
void sim_page_clear(struct sim_page *p);
/* The same for a managed page that goes elsewhere: its private copy stays its map's. */
void sim_page_leave(struct sim_page *p);

struct sim_frame *sim_frames_new(uint64_t n);
/* A frame that holds nothing any more, and rubbish. */
void sim_frame_spoil(struct sim_frame *f);
/* Contents go over with scheduling points between; dst is nobody else's. */
void sim_frames_fill(struct sim_frame *dst, const struct sim_frame *src, uint64_t n);
struct sim_map *sim_map_of(const struct mach_map *map);

/*
 * Where contents of mappings of files are: one lock for all of it, inside a page's own. The
 * functions below are called with it held.
 */
void sim_files_lock(void);
void sim_files_unlock(void);

bool sim_in_place(const struct sim_page *p);
/*
 * The frame that an access of a mapping of a file meets, made or copied if the host would do that;
 * NULL: past the end, or no room.
 */
struct sim_frame *sim_file_access(struct sim_page *p, bool write);
/* The frame without making any; NULL: none. */
struct sim_frame *sim_file_shown(const struct sim_page *p);
struct sim_frame *sim_map_shown(const struct sim_map *m, uint64_t page);
/* The page stops showing its file. */
void sim_file_unmap(struct sim_page *p);
/* Put a granule's frames at a page of a file (or make it a hole: NULL). Frees what was there. */
void sim_file_put(struct sim_file *file, uint64_t page, struct sim_frame *frames);
/* Is there a page, and may there be one? */
struct sim_frame *sim_file_at(const struct sim_file *file, uint64_t page);
bool sim_file_has_room(const struct sim_file *file);
/* Fails the run when one of the pages can be accessed in a managed mapping, private copies aside.
 */
void sim_file_must_be_closed(const struct sim_file *file, uint64_t page, uint64_t n);

/* Make holes of them, and take them out of all mappings. Files not locked. */
void sim_file_take(struct sim_file *file, uint64_t page, uint64_t n);

/* The file that a descriptor, or a map, is of; NULL: none. */
struct sim_file *sim_file_of_fd(int fd);
struct sim_file *sim_file_of_ino(uint64_t ino);
void sim_files_stop(void);

/* Make the page a native one that shows a file. */
void sim_page_show_file(struct sim_page *p, const struct mach_vma *like, struct sim_file *file,
			uint64_t file_page);

/* Contents of the map change: a child has its own from now on. */
void sim_map_unshare(struct sim_map *m);

/* Sometimes the host forgets what it let through. */
void sim_maybe_evict(void);

#endif
