/*
 * made.c - pages that a file has only because of private copies: to copy from a hole the host makes
 * a page of the file first. Where that cannot be taken out of the file again, it is kept in mind,
 * and the file is said not to have it, as long as it has no contents.
 *
 * Everything here is done with the page's group locked.
 */
#include "machine/host/internal.h"

struct made {
	uint64_t group;
	uint64_t bits[HUGE_PAGES / 64];
	uf_ref next;
};

/* Groups that share a list share a lock, too. */
static uf_ref *list_of(struct host_file *f, uint64_t group)
{
	return &f->made[group % HOST_FILE_GROUPS];
}

static struct made *made_find(struct host_file *f, uint64_t group)
{
	struct made *made = arena_at(*list_of(f, group));

	while (made && made->group != group)
		made = arena_at(made->next);
	return made;
}

/* NULL: no memory; then the page stays the file's. */
static struct made *made_get(struct host_file *f, uint64_t group)
{
	struct made *made = made_find(f, group);

	if (made)
		return made;
	made = arena_alloc(sizeof(*made));
	if (!made)
		return NULL;
	made->group = group;
	made->next = *list_of(f, group);
	*list_of(f, group) = arena_ref(made);
	atomic_store(&f->any_made, true);
	return made;
}

void made_note(struct host_file *f, uint64_t page, uint64_t n)
{
	struct made *made = made_get(f, page / HUGE_PAGES);

	for (uint64_t i = page % HUGE_PAGES; made && n > 0; i++, n--)
		made->bits[i / 64] |= 1ull << (i % 64);
}

void made_forget(struct host_file *f, uint64_t page, uint64_t n)
{
	struct made *made = atomic_load(&f->any_made) ? made_find(f, page / HUGE_PAGES) : NULL;

	for (uint64_t i = page % HUGE_PAGES; made && n > 0; i++, n--)
		made->bits[i / 64] &= ~(1ull << (i % 64));
}

void made_free(struct host_file *f)
{
	for (unsigned i = 0; i < HOST_FILE_GROUPS; i++) {
		while (f->made[i]) {
			struct made *made = arena_at(f->made[i]);

			f->made[i] = made->next;
			arena_free(made, sizeof(*made));
		}
	}
}

/* What a closed page shows of the file. False: it cannot be told. */
static bool read_page(const struct mach_span *span, uint64_t page, void *buf)
{
	const struct mach_map *map = span->map;
	const struct host_file *f = file_of(map);
	uint64_t own = 0;

	if (f->fd >= 0)
		return sys_pread(f->fd, buf, UF_PAGE_SIZE,
				 (map->file_page + page) << UF_PAGE_SHIFT) > 0;
	if (map->alias)
		return cpu_copy_nofault(buf, (const void *)(map->alias + (page << UF_PAGE_SHIFT)),
					UF_PAGE_SIZE) == 0;
	if (span->addr == 0)
		return false;
	pagemap_query(span_addr(span, page), 1, PAGEMAP_PRIVATE, &own);
	return !(own & 1) && sys_pread(fill_memory_fd(), buf, UF_PAGE_SIZE,
				       span_addr(span, page)) == UF_PAGE_SIZE;
}

static bool has_contents(const struct mach_span *span, uint64_t page)
{
	uint64_t words[UF_PAGE_SIZE / 8] = {0}, any = 0;

	if (!read_page(span, page, words))
		return false;
	for (size_t i = 0; i < UF_PAGE_SIZE / 8; i++)
		any |= words[i];
	return any != 0;
}

void made_leave_out(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits)
{
	struct host_file *f = file_of(span->map);
	uint64_t first = span->map->file_page + page;
	const struct made *made =
		atomic_load(&f->any_made) ? made_find(f, first / HUGE_PAGES) : NULL;

	for (uint64_t i = 0; made && i < n; i++) {
		uint64_t at = (first + i) % HUGE_PAGES;

		if (!(made->bits[at / 64] >> (at % 64) & 1) || !(bits[i / 64] >> (i % 64) & 1))
			continue;
		if (has_contents(span, page + i))
			made_forget(f, first + i, 1);
		else
			bits[i / 64] &= ~(1ull << (i % 64));
	}
}
