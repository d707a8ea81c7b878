/* swap.c - the simulated swap store: a number of slots, which can be full, and fail to be read. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/sim/frames.h"
#include "machine/sim/world.h"

static struct sim_frame **slots;
static _Atomic uint32_t slots_lock;
static uint64_t used;

void sim_swap_start(void)
{
	slots = calloc(sim_config.swap + 1, sizeof(*slots));
	used = 0;
}

void sim_swap_stop(void)
{
	for (uint64_t i = 0; i < sim_config.swap; i++)
		free(slots[i]);
	free(slots);
	slots = NULL;
}

static void lock_slots(void)
{
	while (atomic_exchange_explicit(&slots_lock, 1, memory_order_acquire))
		mach_relax();
}

static void unlock_slots(void)
{
	atomic_store_explicit(&slots_lock, 0, memory_order_release);
}

uint64_t sim_swap_used(void)
{
	uint64_t n;

	lock_slots();
	n = used;
	unlock_slots();
	return n;
}

unsigned sim_swap_left(void)
{
	return (unsigned)used;
}

static struct sim_frame *take_slot(uint64_t slot, bool put_back)
{
	struct sim_frame *f = NULL;

	lock_slots();
	if (slot - MACH_SWAP_FIRST < sim_config.swap)
		f = slots[slot - MACH_SWAP_FIRST];
	if (f && !put_back) {
		slots[slot - MACH_SWAP_FIRST] = NULL;
		used--;
	}
	unlock_slots();
	if (!f)
		sim_fail("swap slot %llu is not in use", (unsigned long long)slot);
	return f;
}

const uint64_t *sim_swap_peek(uint64_t slot)
{
	return take_slot(slot, true)->word;
}

int mach_swap_out(const struct mach_span *span, uint64_t page, uint64_t *slot)
{
	struct sim_frame *from = sim_closed_frame(span, page), *f;
	uint64_t i = 0;

	sim_point();
	if (span->map->kind != MACH_MAP_FRAMES)
		sim_fail("a page of a file leaves to the swap store");
	if (!atomic_load(&from->complete))
		sim_fail("page %llu leaves and has no contents", (unsigned long long)page);
	f = sim_frames_new(1);
	lock_slots();
	while (i < sim_config.swap && slots[i])
		i++;
	if (i < sim_config.swap) {
		slots[i] = f;
		used++;
	}
	unlock_slots();
	if (i == sim_config.swap) {
		free(f);
		return -ENOSPC;
	}
	sim_frames_fill(f, from, 1);
	(void)sim_closed_frame(span, page);
	*slot = MACH_SWAP_FIRST + i;
	return 0;
}

int mach_swap_in(const struct mach_span *span, uint64_t page, uint64_t slot)
{
	struct sim_frame *to = sim_closed_frame(span, page), *f = take_slot(slot, true);

	sim_point();
	if (sim_chance(sim_config.swap_eio))
		return -EIO;
	if (span->map->kind != MACH_MAP_FRAMES)
		sim_fail("a page of a file comes back from the swap store");
	sim_map_unshare(sim_map_of(span->map));
	sim_frames_fill(to, f, 1);
	(void)sim_closed_frame(span, page);
	atomic_store(&to->complete, true);
	free(take_slot(slot, false));
	return 0;
}

void mach_swap_free(uint64_t slot)
{
	sim_point();
	free(take_slot(slot, false));
}
