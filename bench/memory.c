/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21u << 26)
#endif
#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif

#define HUGE_PAGE (2 * MIB)

static const struct memory_kind kinds[] = {
	{.name = "anon", .page = PAGE},
	{.name = "shmem",
	 .page = PAGE,
	 .shared = true,
	 .file = true,
	 .minor_mode = UFFD_FEATURE_MINOR_SHMEM,
	 .wp_mode = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM},
	{.name = "shmem-private",
	 .page = PAGE,
	 .file = true,
	 .wp_mode = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM},
	{.name = "hugetlb",
	 .page = HUGE_PAGE,
	 .wp_mode = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM},
	{.name = "hugetlb-shared",
	 .page = HUGE_PAGE,
	 .shared = true,
	 .file = true,
	 .minor_mode = UFFD_FEATURE_MINOR_HUGETLBFS,
	 .wp_mode = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM},
};

const struct memory_kind *memory_kind(const char *program, const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	fprintf(stderr, "%s: no kind of memory is called '%s'\n", program, name);
	exit(2);
}

static void *map(size_t len, int flags, int fd)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		die("mmap of %zu bytes", len);
	return p;
}

static void only_small_pages(void *p, size_t len)
{
	/* A kernel without huge pages refuses the advice and needs none. */
	if (madvise(p, len, MADV_NOHUGEPAGE) && errno != EINVAL)
		die("MADV_NOHUGEPAGE");
}

void *map_anon(size_t len)
{
	return map(len, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

void *map_small_pages(size_t len)
{
	void *p = map_anon(len);

	only_small_pages(p, len);
	return p;
}

static int make_file(const struct memory_kind *kind, size_t len)
{
	unsigned int flags = MFD_CLOEXEC;
	int fd;

	if (kind->page == HUGE_PAGE)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	fd = memfd_create("bench", flags);
	if (fd < 0 || ftruncate(fd, (off_t)len))
		die("a memory file of %zu bytes", len);
	return fd;
}

void memory_map(struct memory *m, const struct memory_kind *kind, size_t len)
{
	int flags = kind->shared ? MAP_SHARED : MAP_PRIVATE;

	check(len % kind->page == 0, "the range must be whole pages");
	*m = (struct memory){.kind = kind, .len = len, .fd = -1};
	if (kind->file)
		m->fd = make_file(kind, len);
	else
		flags |= MAP_ANONYMOUS;
	if (kind->page == HUGE_PAGE)
		flags |= MAP_HUGETLB | MAP_HUGE_2MB;
	m->area = map(len, flags, m->fd);
	if (kind->shared)
		m->alias = map(len, flags, m->fd);
	/* Files have small pages unless the machine is told otherwise. */
	if (!kind->file && kind->page == PAGE)
		only_small_pages(m->area, len);
}

void memory_unmap(struct memory *m)
{
	munmap(m->area, m->len);
	if (m->alias)
		munmap(m->alias, m->len);
	if (m->fd >= 0)
		close(m->fd);
}

void memory_empty(const struct memory *m, size_t len)
{
	if (madvise(m->area, len, m->kind->shared ? MADV_REMOVE : MADV_DONTNEED))
		die(m->kind->shared ? "MADV_REMOVE" : "MADV_DONTNEED");
}

void memory_forget(const struct memory *m, size_t len)
{
	if (madvise(m->area, len, MADV_DONTNEED))
		die("MADV_DONTNEED");
}

/*
 * Records of 32 bytes: a number that counts, a few words that many records share, and a word that
 * none does.
 */
void fill_page(uint8_t *page, uint64_t number)
{
	static const uint64_t common[8] = {
		0, 0x7f, 0x100000001, 0xffffffff, 1, 0x2020202020202020, 3, 0x7fff12345678};
	uint64_t seed = number * 0x9e3779b97f4a7c15 + 1;
	uint64_t *word = (uint64_t *)page;

	for (size_t i = 0; i < PAGE / sizeof(*word); i += 4) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		word[i] = number * PAGE + i;
		word[i + 1] = common[seed & 7];
		word[i + 2] = common[(seed >> 3) & 7];
		word[i + 3] = seed;
	}
}
