/* parts.c - what scenarios are made of. */
#include "scenarios.h"

#define WORDS (UF_PAGE_SIZE / sizeof(uint64_t))

static uint64_t word_of(uint64_t id, uint64_t i)
{
	return id ? id * 0x10000 + i : 0;
}

void page_write(uint64_t addr, uint64_t id)
{
	uint64_t words[WORDS];

	for (uint64_t i = 0; i < WORDS; i++)
		words[i] = word_of(id, i);
	CHECK_EQ(mach_copy_out(addr, words, sizeof(words)), 0);
}

void page_expect(uint64_t addr, uint64_t id)
{
	uint64_t words[WORDS];

	CHECK_EQ(mach_copy_in(words, addr, sizeof(words)), 0);
	for (uint64_t i = 0; i < WORDS; i++)
		if (words[i] != word_of(id, i))
			sim_fail("word %llu of %#llx is %#llx, not of page %llu",
				 (unsigned long long)i, (unsigned long long)addr,
				 (unsigned long long)words[i], (unsigned long long)id);
}

static void touch(void *arg)
{
	struct toucher *t = arg;

	if (t->write)
		t->outcome = sim_store(t->addr, t->value);
	else
		t->outcome = sim_load(t->addr, &t->value);
	t->done = true;
}

void touch_start(struct toucher *t, uint64_t addr, bool write, uint64_t value)
{
	*t = (struct toucher){.addr = addr, .write = write, .value = value};
	t->thread = sim_spawn(write ? "writer" : "reader", touch, t);
}

void touch_end(struct toucher *t, enum sim_outcome outcome)
{
	sim_join(t->thread);
	CHECK_EQ(t->outcome, outcome);
}

void expect_fault(struct front_uffd *u, uint64_t addr, uint64_t flags)
{
	struct uf_msg msg;

	CHECK(front_wait(u, &msg));
	CHECK_EQ(msg.event, UF_EVENT_PAGEFAULT);
	CHECK_EQ(msg.arg.pagefault.address, addr);
	CHECK_EQ(msg.arg.pagefault.flags, flags);
}

void expect_event(struct front_uffd *u, unsigned event, uint64_t a, uint64_t b, uint64_t c)
{
	struct uf_msg msg;

	CHECK(front_wait(u, &msg));
	CHECK_EQ(msg.event, event);
	CHECK_EQ(msg.arg.reserved.reserved1, a);
	CHECK_EQ(msg.arg.reserved.reserved2, b);
	CHECK_EQ(msg.arg.reserved.reserved3, c);
}

void expect_nothing(struct front_uffd *u)
{
	struct uf_msg msg;

	CHECK(!front_read(u, &msg));
}

void settle(void)
{
	for (unsigned i = 0; i < 300; i++)
		mach_relax();
}

struct front_uffd *open_on(struct front_uffd *u, uint64_t features, uint64_t addr, uint64_t pages,
			   uint64_t mode)
{
	front_open(u, features);
	sim_mmap(addr, PAGES(pages), RW);
	sim_mmap(SOURCE, PAGES(8), RW);
	for (uint64_t i = 0; i < 8; i++)
		page_write(SOURCE + PAGES(i), 100 + i);
	CHECK_EQ(front_register(u, addr, PAGES(pages), mode), 0);
	return u;
}

void done_with(struct front_uffd *u, uint64_t addr, uint64_t pages)
{
	front_close(u);
	CHECK_EQ(front_munmap(addr, PAGES(pages)), 0);
	sim_munmap(SOURCE, PAGES(8));
}

/* Everything fills in one go. */
void copy_all(struct front_uffd *u, uint64_t dst, uint64_t src, uint64_t pages, uint64_t mode)
{
	int64_t done;

	CHECK_EQ(front_copy(u, dst, src, PAGES(pages), mode, &done), 0);
	CHECK_EQ(done, PAGES(pages));
}

uint64_t word_at(uint64_t addr)
{
	uint64_t word;

	CHECK(front_pagemap(addr, &word));
	return word;
}
