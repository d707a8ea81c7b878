/* SPDX-License-Identifier: MIT */
/*
 * extra_use.c - a program that finds the added type in the list by its name, has memory of it, and
 * registers that for write-protection.
 */
#include "machine/host/host.h"
#include "mm/direct.h"
#include "uffd/uffd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define PAGES 64
#define PG    4096ul

static uf_ref ctx;
static unsigned calls;

static int release(const struct mm_fault *fault, void *arg)
{
	struct mach_entry e;
	int err;

	(void)arg;
	calls++;
	mach_enter(&e);
	err = mm_protect(mm_space_self, fault->page, PG, MM_MODE_WP, false);
	mach_leave(&e);
	return err;
}

static const struct mm_type *find(const char *name)
{
	for (unsigned i = 0; i < mm_types_count; i++)
		if (strcmp(mm_types[i]->name, name) == 0)
			return mm_types[i];
	return NULL;
}

static int check(const char *what, long got, long want)
{
	if (got != want)
		fprintf(stderr, "%s: expected %ld, got %ld\n", what, want, got);
	return got != want;
}

static int manage(const struct mm_type *type, uint64_t addr)
{
	struct mach_entry e;
	uint64_t ops = 0;
	int err;

	mach_enter(&e);
	err = mm_manage(mm_space_self, type, 0, addr, PAGES * PG);
	if (!err)
		err = mm_register(mm_space_self, ctx, addr, PAGES * PG,
				  MM_MODE_MISSING | MM_MODE_WP, &ops);
	if (!err)
		err = mm_protect(mm_space_self, addr + PG, PG, MM_MODE_WP, true);
	mach_leave(&e);
	/* What its table has operations for: WAKE, COPY, ZEROPAGE, WRITEPROTECT, POISON. */
	return err ? err : check("ioctls", (long)ops, 0x15c);
}

int main(void)
{
	struct host_config config = {.trap = HOST_TRAP_AUTO};
	const struct mm_type *type = find("extra");
	volatile uint64_t *word;
	const char *why;
	int fd, wrong = 0;

	if (!type) {
		fprintf(stderr, "the list has no such type\n");
		return 1;
	}
	if (host_init(&config, &why) != 0 || mm_space_init(NULL) != 0)
		return 1;
	uffd_init(NULL);
	if (uffd_create(mm_space_self, O_CLOEXEC, 1ull << 48, &ctx, &fd) != 0 ||
	    uffd_set_callback(ctx, release, NULL) != 0 || host_arm() != 0)
		return 1;
	word = mmap(NULL, PAGES * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (word == MAP_FAILED || manage(type, (uintptr_t)word) != 0)
		return 1;
	for (unsigned long i = 0; i < PAGES * PG / sizeof(*word); i += 509)
		wrong += check("word", (long)word[i], (long)(i * sizeof(*word)));
	wrong += check("calls for reads", calls, 0);
	word[PG / sizeof(*word) + 1] = 7;
	wrong += check("calls for a write", calls, 1);
	wrong += check("written word", (long)word[PG / sizeof(*word) + 1], 7);
	wrong += check("word beside it", (long)word[PG / sizeof(*word)], PG);
	return wrong != 0;
}
