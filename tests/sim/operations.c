/* operations.c - each operation of the random program: begin in the model, do it, end it. */
#include "cells.h"
#include "schedules.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define WORDS	(UF_PAGE_SIZE / sizeof(uint64_t))
#define STORED	(1ull << 63)
#define ALL_OPS (UF_FEATURE_EVENT_REMAP | UF_FEATURE_EVENT_REMOVE | UF_FEATURE_EVENT_UNMAP)

static void begin(struct model_op *op)
{
	if (!schedule.real)
		model_begin(op);
}

static void end(struct model_op *op, uint64_t done, enum model_result rest)
{
	if (!schedule.real)
		model_end(op, done, rest);
}

/*
 * Whether a range is managed or native is asked before the call that then does one or the other, so
 * calls that change which it is keep off those that ask.
 */
static _Atomic int shape; /* users, or -1: somebody changes it */

static bool shape_taken(void *arg)
{
	int now = atomic_load(&shape);

	return arg ? now != 0 : now < 0;
}

/* Only a world that was told to be short of memory, or of swap, may say that it is. */
int schedule_checked(int err)
{
	if (err == -ENOMEM && !schedule.tight && !schedule.scarce)
		sim_fail("no memory, where there is enough");
	return err;
}

/* What a call that is refused leaves undone; one that ran out of memory may stop half-way. */
static enum model_result undone(int err)
{
	return err == -ENOMEM ? MODEL_MAYBE : MODEL_NO;
}

void shape_begin(bool change)
{
	for (;;) {
		int now = atomic_load(&shape);

		sim_wait_while(shape_taken, change ? &shape : NULL, "waits for its turn to map");
		now = atomic_load(&shape);
		if ((change ? now == 0 : now >= 0) &&
		    atomic_compare_exchange_strong(&shape, &now, change ? -1 : now + 1))
			return;
	}
}

void shape_end(bool change)
{
	if (change)
		atomic_store(&shape, 0);
	else
		atomic_fetch_sub(&shape, 1);
}

static bool all_managed(uint64_t page, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (!sim_is_managed(AT(page + i)))
			return false;
	return true;
}

bool shape_for_move(uint64_t from, uint64_t n)
{
	shape_begin(false);
	if (all_managed(from, n))
		return false;
	shape_end(false);
	shape_begin(true);
	return true;
}

/* ---- Fills ---------------------------------------------------------------------------------- */

static uint64_t source(void)
{
	return PAGE(SOURCES + (uint64_t)sim_self() * RUN);
}

static int64_t end_fill(struct model_op *op, const char *what, int err, int64_t done)
{
	uint64_t pages = done > 0 ? (uint64_t)done / UF_PAGE_SIZE : 0;

	schedule_checked(err);
	schedule_say(what, op->page, op->n, err ? err : done);
	if (err == 0)
		CHECK_EQ(done, PAGES(op->n));
	else if (pages)
		CHECK_EQ(err, -EAGAIN);
	else
		CHECK_EQ(done, err);
	end(op, pages, MODEL_NO);
	return done;
}

int64_t do_copy(struct slot *s, uint64_t page, uint64_t n, bool wp, bool dontwake)
{
	struct model_op op = {.type = MODEL_COPY, .page = page, .n = n, .wp = wp};
	uint64_t words[WORDS];
	int64_t done = 0;
	int err;

	op.base = atomic_fetch_add_explicit(&schedule.next_base, (uint32_t)n, memory_order_relaxed);
	for (uint64_t i = 0; i < n; i++) {
		model_fill(words, op.base + (uint32_t)i);
		CHECK_EQ(mach_copy_out(source() + PAGES(i), words, sizeof(words)), 0);
	}
	wp &= (s->modes & MM_MODE_WP) != 0;
	op.wp = wp;
	begin(&op);
	err = front_copy(&s->u, AT(page), source(), PAGES(n),
			 (wp ? UF_COPY_MODE_WP : 0) | (dontwake ? UF_COPY_MODE_DONTWAKE : 0),
			 &done);
	return end_fill(&op, "copy", err, done);
}

int64_t do_zero(struct slot *s, uint64_t page, uint64_t n, bool dontwake)
{
	struct model_op op = {.type = MODEL_ZERO, .page = page, .n = n};
	int64_t done = 0;
	int err;

	begin(&op);
	err = front_zero(&s->u, AT(page), PAGES(n), dontwake ? UF_ZEROPAGE_MODE_DONTWAKE : 0,
			 &done);
	return end_fill(&op, "zero", err, done);
}

int64_t do_poison(struct slot *s, uint64_t page, uint64_t n)
{
	struct model_op op = {.type = MODEL_SET_POISON, .page = page, .n = n};
	int64_t done = 0;
	int err;

	begin(&op);
	err = front_poison(&s->u, AT(page), PAGES(n), 0, &done);
	return end_fill(&op, "poison", err, done);
}

void do_move(struct slot *s, uint64_t to, uint64_t from, uint64_t n, bool holes)
{
	struct model_op op = {
		.type = MODEL_MOVE, .page = to, .n = n, .from = from, .owner = s->owner};
	int64_t done = 0;
	int err;

	op.holes = holes;
	begin(&op);
	err = front_move(&s->u, AT(to), AT(from), PAGES(n),
			 holes ? UF_MOVE_MODE_ALLOW_SRC_HOLES : 0, &done);
	end_fill(&op, "move", err, done);
}

/* ---- Protection and registration ------------------------------------------------------------ */

int do_protect(struct slot *s, uint64_t page, uint64_t n, bool rwp, bool set)
{
	struct model_op op = {.page = page, .n = n};
	int err;

	if (rwp)
		op.type = set ? MODEL_SET_RWP : MODEL_CLEAR_RWP;
	else
		op.type = set ? MODEL_SET_WP : MODEL_CLEAR_WP;
	begin(&op);
	err = schedule_checked((rwp ? front_rwp : front_wp)(&s->u, AT(page), PAGES(n), set));
	schedule_say(rwp ? set ? "rwp" : "unrwp" : set ? "wp" : "unwp", page, n, err);
	/* It stops at the first page that it cannot do; those before stay done. */
	if (err == -ENOENT || err == -ENOMEM)
		end(&op, 0, MODEL_MAYBE);
	else
		end(&op, err ? 0 : n, MODEL_NO);
	return err;
}

void do_register(struct slot *s, uint64_t page, uint64_t n)
{
	struct model_op op = {.type = MODEL_REGISTER,
			      .page = page,
			      .n = n,
			      .owner = s->owner,
			      .modes = (uint8_t)s->modes};
	int err;

	begin(&op);
	err = schedule_checked(front_register(&s->u, AT(page), PAGES(n), s->modes));
	schedule_say("register", page, n, err);
	end(&op, err ? 0 : n, undone(err));
}

void do_register_whole(struct slot *s)
{
	struct model_op op = {
		.type = MODEL_REGISTER, .n = SPACE, .owner = s->owner, .modes = (uint8_t)s->modes};
	int err;

	begin(&op);
	err = schedule_checked(front_register(&s->u, PAGE(0), PAGES(WHOLE), s->modes));
	schedule_say("register", 0, WHOLE, err);
	end(&op, err ? 0 : SPACE, undone(err));
}

void do_unregister(struct slot *s, uint64_t page, uint64_t n)
{
	struct model_op op = {.type = MODEL_UNREGISTER, .page = page, .n = n, .owner = s->owner};
	int err;

	begin(&op);
	err = schedule_checked(front_unregister(&s->u, AT(page), PAGES(n)));
	schedule_say("unregister", page, n, err);
	end(&op, err ? 0 : n, undone(err));
}

/* ---- Accesses ------------------------------------------------------------------------------- */

/* The model's words without the model: whole pages of one fill cannot be seen at one moment. */
static void check_word(uint64_t value, uint64_t i)
{
	if (!(value & STORED) && value && (value & 0xffff) != i)
		sim_fail("word %llu is %#llx", (unsigned long long)i, (unsigned long long)value);
}

static void access_unmodelled(uint64_t page, uint64_t word, bool write, uint64_t value)
{
	if (write)
		(void)sim_store(AT(page) + word * sizeof(uint64_t), value);
	else if (sim_load(AT(page) + word * sizeof(uint64_t), &value) == SIM_OK)
		check_word(value, word);
}

/* By the program itself, or on its behalf by a system call, which fails with EFAULT instead. */
static enum sim_outcome access_word(uint64_t addr, bool write, bool kernel, uint64_t *value)
{
	if (!kernel)
		return write ? sim_store(addr, *value) : sim_load(addr, value);
	if (write ? mach_copy_out(addr, value, sizeof(*value))
		  : mach_copy_in(value, addr, sizeof(*value)))
		return SIM_GOT_SEGV;
	return SIM_OK;
}

void do_access(uint64_t page, bool write)
{
	unsigned slot = (unsigned)sim_random(MODEL_SLOTS);
	uint64_t word = slot ? WORDS - 1 : 0, value;
	struct model_contents seen;
	struct model_access a;
	bool kernel = sim_random(8) == 0;
	enum sim_outcome outcome;

	if (!write && sim_random(3) == 0)
		word = sim_random(WORDS);
	value = STORED | atomic_fetch_add_explicit(&schedule.next_value, 1, memory_order_relaxed);
	if (schedule.real) {
		access_unmodelled(page, word, write, value);
		return;
	}
	model_access_begin(&a, page, write);
	outcome = access_word(AT(page) + word * sizeof(uint64_t), write, kernel, &value);
	if (outcome == SIM_OK) {
		const uint64_t *words = sim_peek(AT(page));

		CHECK(words && words[word] == value);
		sim_note(value);
		model_look(page, words, &seen);
		if (write)
			model_stored(page, slot, &seen);
		else
			model_loaded(page, &seen);
	}
	model_access_end(&a);
	schedule_say(write ? "store" : "load", page, word, outcome);
	if (kernel && outcome != SIM_OK && (a.could_bus || schedule.tight || schedule.scarce))
		return;
	if (outcome == SIM_GOT_SEGV && !a.could_segv) {
		model_explain(page);
		sim_fail("page %#llx: a SIGSEGV from nowhere", (unsigned long long)AT(page));
	}
	if (outcome == SIM_GOT_BUS && !a.could_bus && !schedule.tight && !schedule.scarce) {
		model_explain(page);
		sim_fail("page %#llx: a SIGBUS from nowhere", (unsigned long long)AT(page));
	}
}

void do_populate(uint64_t page, uint64_t n, bool write)
{
	int err;

	if (!schedule.real)
		model_touch_begin(page, n, write);
	err = front_populate(AT(page), PAGES(n), write);
	schedule_say("populate", page, n, err);
	if (!schedule.real)
		model_touch_end(page, n, write);
}

/* ---- Mappings ------------------------------------------------------------------------------- */

void do_zap(uint64_t page, uint64_t n)
{
	struct model_op op = {.type = MODEL_ZAP, .page = page, .n = n};
	int err;

	shape_begin(false);
	begin(&op);
	err = schedule_checked(front_zap(AT(page), PAGES(n)));
	schedule_say("zap", page, n, err);
	CHECK(err == 0 || err == -ENOMEM);
	end(&op, err ? 0 : n, MODEL_NO);
	shape_end(false);
}

/* The parent sees nothing of it, but that MOVE refuses what has not been written since. */
void do_fork(void)
{
	front_fork_parent();
	schedule_say("fork", 0, 0, 0);
}

/* Nobody can see where a page is. */
void do_pageout(uint64_t page, uint64_t n)
{
	front_pageout(AT(page), PAGES(n));
	schedule_say("pageout", page, n, 0);
}

/* Of everything, or of what stands at the page; or of nothing any more. */
void do_limit(uint64_t page)
{
	/* Under one that cannot hold nothing but refusals happens. */
	uint64_t pages = sim_random(schedule.scarce ? 2 : 3) ? 16 + sim_random(SPACE) : 0;
	int err = front_limit(sim_random(2) ? AT(page) : 0, pages);

	schedule_say("limit", page, pages, err);
	CHECK(err == 0 || err == -ENOENT || schedule_checked(err) == -ENOMEM);
}

void do_mprotect(uint64_t page, uint64_t n, uint32_t prot)
{
	struct model_op op = {.type = MODEL_PROTECT, .page = page, .n = n, .prot = (uint8_t)prot};
	int err;

	shape_begin(false);
	begin(&op);
	err = schedule_checked(front_mprotect(AT(page), PAGES(n), prot));
	schedule_say("mprotect", page, n, err);
	CHECK(err == 0 || err == -ENOMEM);
	end(&op, err ? 0 : n, MODEL_NO);
	shape_end(false);
}

int do_map(uint64_t page, uint64_t n, uint32_t prot)
{
	struct model_op op = {.type = MODEL_MAP, .page = page, .n = n, .prot = (uint8_t)prot};
	int err;

	shape_begin(true);
	begin(&op);
	err = schedule_checked(front_mmap(AT(page), PAGES(n), prot));
	schedule_say("map", page, n, err);
	CHECK(err == 0 || err == -ENOMEM);
	end(&op, err ? 0 : n, MODEL_NO);
	shape_end(true);
	return err;
}

int do_unmap(uint64_t page, uint64_t n)
{
	struct model_op op = {.type = MODEL_UNMAP, .page = page, .n = n};
	int err;

	shape_begin(true);
	begin(&op);
	err = schedule_checked(front_munmap(AT(page), PAGES(n)));
	schedule_say("unmap", page, n, err);
	CHECK(err == 0 || err == -ENOMEM);
	end(&op, err ? 0 : n, MODEL_NO);
	shape_end(true);
	return err;
}

/* mremap to a smaller size: the tail goes. */
void do_shrink(uint64_t page, uint64_t n, uint64_t left)
{
	struct model_op op = {.type = MODEL_UNMAP, .page = page + left, .n = n - left};
	uint64_t result;
	int err;

	shape_begin(true);
	begin(&op);
	err = schedule_checked(front_mremap(AT(page), PAGES(n), PAGES(left), 0, 0, &result));
	schedule_say("shrink", page, left, err);
	CHECK(err == 0 || err == -EFAULT || err == -ENOMEM);
	end(&op, err ? 0 : op.n, undone(err));
	shape_end(true);
}

void do_remap(uint64_t to, uint64_t from, uint64_t n, bool keep)
{
	struct model_op op = {.type = MODEL_REMAP, .page = to, .n = n, .from = from};
	struct model_op clear = {.type = MODEL_UNMAP, .page = to, .n = n};
	struct model_op reserve = {.type = MODEL_MAP, .page = to, .n = n};
	uint64_t result = 0;
	int err;

	op.keeps = keep;
	shape_begin(true);
	/* One that runs out of memory may have made room for itself before, as the kernel's may. */
	if (schedule.tight) {
		begin(&clear);
		begin(&reserve);
	}
	begin(&op);
	err = front_mremap(AT(from), PAGES(n), PAGES(n),
			   MREMAP_MAYMOVE | MREMAP_FIXED | (keep ? MREMAP_DONTUNMAP : 0), AT(to),
			   &result);
	schedule_checked(err);
	schedule_say("remap", from, to, err);
	CHECK(err == 0 || err == -EFAULT || err == -ENOMEM);
	if (!err)
		CHECK_EQ(result, AT(to));
	end(&op, err ? 0 : n, undone(err));
	if (schedule.tight) {
		end(&clear, 0, MODEL_MAYBE);
		end(&reserve, 0, MODEL_MAYBE);
	}
	shape_end(true);
}

/* ---- Descriptors ---------------------------------------------------------------------------- */

static uint64_t choose_features(void)
{
	uint64_t f = 0;

	if (sim_random(2))
		f |= ALL_OPS & (uint64_t)sim_random(UF_FEATURE_EVENT_UNMAP << 1);
	if (sim_random(3) == 0)
		f |= UF_FEATURE_WP_UNPOPULATED;
	if (sim_random(4) == 0)
		f |= UF_FEATURE_EXACT_ADDRESS | UF_FEATURE_THREAD_ID;
	if (sim_random(8) == 0)
		f |= UF_FEATURE_SIGBUS;
	if (sim_random(3) == 0)
		f |= UF_FEATURE_RWP | (sim_random(3) ? 0 : UF_FEATURE_RWP_ASYNC);
	else if (sim_random(5) == 0)
		f |= UF_FEATURE_WP_ASYNC;
	return f;
}

/* What a callback is given: the slot as it was when its userfaultfd was opened. */
static struct slot opened_as[256];

void do_open(struct slot *s)
{
	static const uint64_t plain[] = {MM_MODE_MISSING, MM_MODE_MISSING | MM_MODE_WP, MM_MODE_WP};
	bool inside = sim_random(6) == 0;
	uint64_t f = inside ? 0 : choose_features();

	s->modes = plain[sim_random(3)];
	if (f & UF_FEATURE_RWP)
		s->modes = MM_MODE_RWP | (sim_random(2) ? MM_MODE_MISSING : 0);
	s->minor = sim_random(2) ? MM_MODE_MINOR : 0;
	s->features = f;
	s->owner = (uint8_t)(atomic_fetch_add(&schedule.opened, 1) % 255 + 1);
	model_owners[s->owner] = (struct model_owner){
		.wp_async = f & UF_FEATURE_WP_ASYNC,
		.rwp_async = f & UF_FEATURE_RWP_ASYNC,
		.marks_empty = f & (UF_FEATURE_WP_UNPOPULATED | UF_FEATURE_WP_ASYNC),
		.wants_remap = f & UF_FEATURE_EVENT_REMAP,
		.sigbus = inside || (f & UF_FEATURE_SIGBUS),
	};
	front_make(&s->u, inside ? ~0ull : f);
	if (inside) {
		opened_as[s->owner] = (struct slot){.u.ref = s->u.ref,
						    .u.fd = s->u.fd,
						    .owner = s->owner,
						    .modes = s->modes,
						    .minor = s->minor};
		CHECK_EQ(uffd_set_callback(s->u.ref, schedule_callback, &opened_as[s->owner]), 0);
	}
	if (sim_random(2))
		front_watch(&s->u);
	front_publish(&s->u);
	schedule_say("open", s->modes, f, s->owner);
}

/* Read-write-protection is lifted silently from now on, or not any more. */
void do_set_mode(struct slot *s)
{
	struct uf_set_mode arg = {0};
	bool enable = sim_random(2);

	if (!(s->features & UF_FEATURE_RWP) || atomic_exchange(&s->busy, true))
		return;
	*(enable ? &arg.enable : &arg.disable) = UF_FEATURE_RWP_ASYNC;
	if (enable)
		model_owners[s->owner].rwp_async = true;
	if (!schedule.real) {
		model_owner_changed();
		cells_owner_changed();
	}
	CHECK_EQ(front_ioctl(&s->u, UF_IO_SET_MODE, &arg), 0);
	model_owners[s->owner].rwp_async = enable;
	schedule_say("set-mode", enable, 0, 0);
	atomic_store(&s->busy, false);
}

void do_close(struct slot *s)
{
	struct model_op op = {.type = MODEL_CLOSE, .page = 0, .n = SPACE, .owner = s->owner};
	struct cell_op all = {.type = CELL_CLOSE, .n = CELLS, .owner = s->owner};

	begin(&op);
	if (!schedule.real)
		cells_begin(&all);
	front_close(&s->u);
	schedule_say("close", s->owner, 0, 0);
	end(&op, SPACE, MODEL_NO);
	if (!schedule.real)
		cells_end(&all, CELLS, MODEL_NO);
}
