/*
 * files.c - files of the simulated program: pages and holes, what mappings of them show, private
 * copies, and reads and writes by those who map nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/sim/access.h"
#include "machine/sim/world.h"

#define MAX_FILES 64
#define FILE_FD	  1000000
#define FILE_DEV  7

static struct sim_file *files[MAX_FILES];
static _Atomic uint32_t files_lock;

void sim_files_lock(void)
{
	while (atomic_exchange_explicit(&files_lock, 1, memory_order_acquire))
		mach_relax();
}

void sim_files_unlock(void)
{
	atomic_store_explicit(&files_lock, 0, memory_order_release);
}

/* ---- Files ---------------------------------------------------------------------------------- */

struct sim_file *sim_file_new(enum mach_vma_kind kind, uint64_t size, uint64_t most,
			      uint32_t page_shift)
{
	struct sim_file *f = calloc(1, sizeof(*f));
	unsigned i = 0;

	while (i < MAX_FILES && files[i])
		i++;
	if (!f || i == MAX_FILES)
		sim_fail("too many files");
	f->kind = kind;
	f->ino = i + 1;
	f->granule = 1ull << (page_shift - UF_PAGE_SHIFT);
	f->size = size;
	f->most = f->room = most;
	if (size > most || size % f->granule || most % f->granule)
		sim_fail("a file of half a huge page");
	f->page = calloc(most / f->granule, sizeof(*f->page));
	files[i] = f;
	return f;
}

void sim_files_stop(void)
{
	for (unsigned i = 0; i < MAX_FILES; i++) {
		if (!files[i])
			continue;
		for (uint64_t g = 0; g < files[i]->most / files[i]->granule; g++)
			free(files[i]->page[g]);
		free(files[i]->page);
		free(files[i]);
		files[i] = NULL;
	}
}

int sim_file_fd(const struct sim_file *file)
{
	return FILE_FD + (int)file->ino;
}

struct sim_file *sim_file_of_ino(uint64_t ino)
{
	return ino >= 1 && ino <= MAX_FILES ? files[ino - 1] : NULL;
}

struct sim_file *sim_file_of_fd(int fd)
{
	return fd > FILE_FD ? sim_file_of_ino((uint64_t)(fd - FILE_FD)) : NULL;
}

void sim_file_id(const struct sim_file *file, uint64_t *dev, uint64_t *ino)
{
	*dev = FILE_DEV;
	*ino = file->ino;
}

uint64_t sim_file_size(const struct sim_file *file)
{
	uint64_t size;

	sim_files_lock();
	size = file->size;
	sim_files_unlock();
	return size;
}

void sim_file_seal(struct sim_file *file)
{
	file->sealed = true;
}

void sim_file_limit(struct sim_file *file, uint64_t pages)
{
	sim_files_lock();
	file->room = pages;
	sim_files_unlock();
}

struct sim_frame *sim_file_at(const struct sim_file *file, uint64_t page)
{
	struct sim_frame *frames;

	if (page >= file->size)
		return NULL;
	frames = file->page[page / file->granule];
	return frames ? frames + page % file->granule : NULL;
}

bool sim_file_has_room(const struct sim_file *file)
{
	return file->used + file->granule <= file->room;
}

void sim_file_put(struct sim_file *file, uint64_t page, struct sim_frame *frames)
{
	struct sim_frame **at = &file->page[page / file->granule];

	file->used += file->granule * ((frames != NULL) - (*at != NULL));
	free(*at);
	*at = frames;
}

/* The page, made of zeroes where the file has a hole, as the host does when it is touched. */
static struct sim_frame *file_touch(struct sim_file *file, uint64_t page)
{
	struct sim_frame *f = sim_file_at(file, page);

	if (f || page >= file->size || !sim_file_has_room(file))
		return f;
	sim_file_put(file, page, sim_frames_new(file->granule));
	return sim_file_at(file, page);
}

/* ---- What mappings show --------------------------------------------------------------------- */

bool sim_in_place(const struct sim_page *p)
{
	if (p->kind == SIM_NATIVE)
		return p->file;
	return p->kind == SIM_MANAGED && p->map->kind != MACH_MAP_FRAMES;
}

/* Where things of a page's granule stand, and which page of it this is. */
struct place {
	struct sim_file *file;
	uint64_t page, granule, offset;
	bool shared;
	struct sim_frame **copy;
	bool *mapped;
};

static struct place place_of(struct sim_page *p)
{
	struct place at;

	if (p->kind == SIM_NATIVE) {
		at.file = p->file;
		at.page = p->file_page;
		at.granule = p->file->granule;
		at.offset = at.page % at.granule;
		at.shared = p->vma.shared;
		at.copy = &(p - at.offset)->native;
		at.mapped = &(p - at.offset)->mapped;
	} else {
		at.file = p->map->file;
		at.page = p->map->file_page + p->index;
		at.granule = p->map->granule;
		at.offset = p->index % at.granule;
		at.shared = p->map->kind == MACH_MAP_SHARED;
		at.copy = &p->map->copy[p->index / at.granule];
		at.mapped = &p->map->mapped[p->index / at.granule];
	}
	return at;
}

struct sim_frame *sim_file_access(struct sim_page *p, bool write)
{
	struct place at = place_of(p);
	struct sim_frame *f;

	if (at.page >= at.file->size)
		return NULL;
	if (!at.shared && *at.copy) {
		*at.mapped = true;
		return *at.copy + at.offset;
	}
	f = file_touch(at.file, at.page);
	if (!f)
		return NULL;
	*at.mapped = true;
	if (at.shared || !write)
		return f;
	*at.copy = sim_frames_new(at.granule);
	memcpy(*at.copy, f - at.offset, at.granule * sizeof(*f));
	return *at.copy + at.offset;
}

struct sim_frame *sim_map_shown(const struct sim_map *m, uint64_t page)
{
	if (m->copy[page / m->granule])
		return m->copy[page / m->granule] + page % m->granule;
	return sim_file_at(m->file, m->file_page + page);
}

struct sim_frame *sim_file_shown(const struct sim_page *p)
{
	if (p->kind == SIM_MANAGED)
		return sim_map_shown(p->map, p->index);
	if ((p - p->file_page % p->file->granule)->native)
		return (p - p->file_page % p->file->granule)->native +
		       p->file_page % p->file->granule;
	return sim_file_at(p->file, p->file_page);
}

void sim_file_unmap(struct sim_page *p)
{
	struct place at = place_of(p);

	if (at.offset == 0) {
		free(*at.copy);
		*at.copy = NULL;
		*at.mapped = false;
	}
	p->file = NULL;
}

bool sim_file_mapped(uint64_t addr)
{
	struct sim_page *p = sim_page_must(addr);

	return sim_in_place(p) && *place_of(p).mapped;
}

bool sim_file_copied(uint64_t addr)
{
	struct sim_page *p = sim_page_must(addr);

	return sim_in_place(p) && *place_of(p).copy;
}

void sim_page_show_file(struct sim_page *p, const struct mach_vma *like, struct sim_file *file,
			uint64_t file_page)
{
	sim_page_clear(p);
	sim_page_lock(p);
	p->kind = SIM_NATIVE;
	p->vma = *like;
	p->file = file;
	p->file_page = file_page;
	p->mapped = false;
	sim_page_unlock(p);
}

void sim_mmap_file(uint64_t addr, uint64_t len, uint32_t prot, bool shared, struct sim_file *file,
		   uint64_t page)
{
	struct mach_vma like = {
		.prot = prot, .kind = file->kind, .shared = shared, .maywrite = true};

	sim_point();
	like.page_shift = file->granule == 1 ? UF_PAGE_SHIFT : 21;
	sim_file_id(file, &like.dev, &like.ino);
	if (page % file->granule || addr % (file->granule * UF_PAGE_SIZE) ||
	    len % (file->granule * UF_PAGE_SIZE))
		sim_fail("a mapping of half a huge page");
	for (uint64_t i = 0; i < len / UF_PAGE_SIZE; i++)
		sim_page_show_file(sim_page_must(addr + i * UF_PAGE_SIZE), &like, file, page + i);
}

/* ---- Without a mapping ---------------------------------------------------------------------- */

bool sim_file_read(struct sim_file *file, uint64_t page, uint64_t *words)
{
	struct sim_frame *f;
	bool inside;

	sim_point();
	sim_files_lock();
	inside = page < file->size;
	f = sim_file_at(file, page);
	if (f)
		memcpy(words, f->word, UF_PAGE_SIZE);
	else
		memset(words, 0, UF_PAGE_SIZE);
	sim_files_unlock();
	return inside;
}

bool sim_file_write(struct sim_file *file, uint64_t page, const uint64_t *words)
{
	struct sim_frame *f;

	sim_point();
	sim_files_lock();
	f = file_touch(file, page);
	if (f)
		memcpy(f->word, words, UF_PAGE_SIZE);
	sim_files_unlock();
	return f;
}

const uint64_t *sim_file_peek(struct sim_file *file, uint64_t page)
{
	struct sim_frame *f = sim_file_at(file, page);

	return f ? f->word : NULL;
}

/* ---- Pages that go -------------------------------------------------------------------------- */

void sim_file_must_be_closed(const struct sim_file *file, uint64_t page, uint64_t n)
{
	for (uint64_t i = 0; i < sim_config.pages; i++) {
		struct sim_page *p = &sim_pages[i];
		bool open;

		sim_page_lock(p);
		open = p->kind == SIM_MANAGED && p->tlb && p->map->file == file &&
		       p->map->file_page + p->index - page < n &&
		       (file->granule > 1 || !p->map->copy[p->index]);
		sim_page_unlock(p);
		if (open)
			sim_fail("page %#llx shows page %llu of a file, which goes, and is open",
				 (unsigned long long)sim_page_addr(p),
				 (unsigned long long)(p->map->file_page + p->index));
	}
}

static void unmap_page(struct place at, const struct sim_file *file, uint64_t page, uint64_t n,
		       bool private_too)
{
	if (at.file != file || at.page - page >= n || at.offset)
		return;
	if (private_too) {
		free(*at.copy);
		*at.copy = NULL;
	}
	if (!*at.copy)
		*at.mapped = false;
}

/* The host takes the pages out of its tables; private copies only when the file ends before them.
 */
static void unmap_pages(struct sim_file *file, uint64_t page, uint64_t n, bool private_too)
{
	for (uint64_t i = 0; i < sim_config.pages; i++) {
		struct sim_page *p = &sim_pages[i];

		sim_page_lock(p);
		sim_files_lock();
		if (sim_in_place(p))
			unmap_page(place_of(p), file, page, n, private_too);
		sim_files_unlock();
		sim_page_unlock(p);
	}
}

static void free_pages(struct sim_file *file, uint64_t page, uint64_t n)
{
	for (uint64_t i = 0; i < n; i += file->granule)
		sim_file_put(file, page + i, NULL);
}

int sim_file_truncate(struct sim_file *file, uint64_t size)
{
	uint64_t cut = file->size > size ? file->size - size : 0;

	sim_point();
	if (size > file->most || size % file->granule)
		return -EINVAL;
	sim_file_must_be_closed(file, size, cut);
	sim_files_lock();
	free_pages(file, size, cut);
	file->size = size;
	sim_files_unlock();
	unmap_pages(file, size, file->most, true);
	return 0;
}

void sim_file_take(struct sim_file *file, uint64_t page, uint64_t n)
{
	sim_file_must_be_closed(file, page, n);
	sim_files_lock();
	free_pages(file, page, n);
	sim_files_unlock();
	/* Private copies of huge pages go too, as on the kernel. */
	unmap_pages(file, page, n, file->granule > 1);
}

int sim_file_punch(struct sim_file *file, uint64_t page, uint64_t n)
{
	sim_point();
	if (page % file->granule || n % file->granule)
		return -EINVAL;
	if (file->sealed)
		return -EPERM;
	n = page >= file->size ? 0 : n < file->size - page ? n : file->size - page;
	sim_file_take(file, page, n);
	return 0;
}
