/*
 * mincore.c - mincore: what of managed memory, and of emulated huge pages, is in memory.
 *
 * The host's answer is right for mappings of files, which stay where they are: it tells of the page
 * cache. Frames of our own it takes for a file, too, and of emulated huge pages it knows the parts.
 */
#include "front/huge.h"
#include "front/preload.h"

#include <string.h>
#include <sys/mman.h>

#define CHUNK	   512u /* pages looked at together */
#define HUGE_PAGES (HUGE_SIZE / UF_PAGE_SIZE)

/* Is the managed memory at addr in frames of ours, and not in a file of the program's? */
static bool in_frames(uint64_t addr)
{
	struct mm_area_info info;
	struct mach_entry entry;
	struct mach_vma vma;
	bool ours;

	if (!mem_area_at(addr, &info) || (info.flags & MM_AREA_SHARED))
		return false;
	mach_enter(&entry);
	ours = mach_vma_next(addr, &vma) == 0 && vma.shared;
	mach_leave(&entry);
	return ours;
}

static void correct_frames(uint64_t start, uint64_t end, unsigned char *out)
{
	uint64_t words[CHUNK], n = (end - start) / UF_PAGE_SIZE, i;
	struct mach_entry entry;
	int err;

	mach_enter(&entry);
	err = mm_pagemap(mm_space_self, start, n, words);
	mach_leave(&entry);
	for (i = 0; i < n && !err; i++)
		out[i] = words[i] >> 63;
}

static void correct_managed(uint64_t start, uint64_t end, unsigned char *out)
{
	uint64_t at = start, next;
	struct mm_area_info info;
	struct mach_entry entry;
	bool mine;

	for (; at < end; at = next) {
		mach_enter(&entry);
		mine = mm_piece(mm_space_self, at, end, &next);
		mach_leave(&entry);
		if (!mine || !mem_area_at(at, &info))
			continue;
		next = next < info.end ? next : info.end;
		if (in_frames(at))
			correct_frames(at, next, out + (at - start) / UF_PAGE_SIZE);
	}
}

/* A huge page is there when any part of it is. */
static void correct_huge(uint64_t start, uint64_t end, unsigned char *out)
{
	unsigned char part[HUGE_PAGES];
	struct huge_range r;
	uint64_t at, next;

	for (at = start; at < end; at = next) {
		next = (at & HUGE_MASK) + HUGE_SIZE;
		next = next < end ? next : end;
		if (!huge_find(at, &r) || !r.emulated ||
		    SYS(SYS_mincore, at & HUGE_MASK, HUGE_SIZE, part) != 0)
			continue;
		memset(out + (at - start) / UF_PAGE_SIZE, memchr(part, 1, sizeof(part)) != NULL,
		       (next - at) / UF_PAGE_SIZE);
	}
}

static long look(uint64_t addr, size_t len, uint64_t vec)
{
	uint64_t at = addr, end = addr + ((len + UF_PAGE_SIZE - 1) & UF_PAGE_MASK), part;
	unsigned char out[CHUNK];
	struct mach_entry entry;
	long err = 0;

	for (; at < end && !err; at += part * UF_PAGE_SIZE) {
		part = (end - at) / UF_PAGE_SIZE;
		part = part < CHUNK ? part : CHUNK;
		err = SYS(SYS_mincore, at, part * UF_PAGE_SIZE, out);
		if (err)
			break;
		if (front_managing())
			correct_managed(at, at + part * UF_PAGE_SIZE, out);
		if (huge_in_use())
			correct_huge(at, at + part * UF_PAGE_SIZE, out);
		mach_enter(&entry);
		err = mach_copy_out(vec + (at - addr) / UF_PAGE_SIZE, out, part);
		mach_leave(&entry);
	}
	return err;
}

long mincore_look(uint64_t addr, size_t len, uint64_t vec)
{
	if (likely(!front_managing() && !huge_in_use()) || (addr & ~UF_PAGE_MASK) ||
	    len > mach_task_size() || addr > mach_task_size() - len)
		return SYS(SYS_mincore, addr, len, vec);
	return look(addr, len, vec);
}

EXPORT int mincore(void *addr, size_t len, unsigned char *vec)
{
	return (int)sys_errno(mincore_look((uintptr_t)addr, len, (uintptr_t)vec));
}
