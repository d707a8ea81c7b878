#include "vmm.h"

#include <string.h>

/* Bits of a page's state: kind 0-1, claimed 2, changing 3, own 4-31, version 32-63. */
#define CLAIMED	 (1ull << 2)
#define CHANGING (1ull << 3)
#define VERSION	 (1ull << 32)

uint64_t page_state(const struct vm *vm, uint64_t page)
{
	return atomic_load(&vm->page[page]);
}

bool page_claim(struct vm *vm, uint64_t page)
{
	uint64_t state = page_state(vm, page);

	return !(state & CLAIMED) &&
	       atomic_compare_exchange_strong(&vm->page[page], &state, state | CLAIMED);
}

/* Odd versions are those of pages that change. */
void page_change(struct vm *vm, uint64_t page)
{
	uint64_t state = page_state(vm, page);

	if (!(state & CHANGING))
		atomic_store(&vm->page[page], (state | CHANGING) + VERSION);
}

void page_set(struct vm *vm, uint64_t page, enum kind kind, uint32_t own)
{
	uint64_t version = page_state(vm, page) >> 32;

	atomic_store(&vm->page[page], (version + 1) << 32 | (uint64_t)own << 4 | kind);
}

void page_turn(struct vm *vm, uint64_t page, enum kind kind, uint32_t own)
{
	uint64_t version = page_state(vm, page) >> 32;

	atomic_store(&vm->page[page],
		     (version + 2) << 32 | (uint64_t)own << 4 | CHANGING | CLAIMED | kind);
}

void page_release(struct vm *vm, uint64_t page)
{
	atomic_fetch_and(&vm->page[page], ~CLAIMED);
}

uint64_t own_key(uint64_t page, uint32_t own)
{
	return mix(own + 1, page);
}

uint64_t page_word(const struct vm *vm, uint64_t page, uint64_t state, unsigned word)
{
	switch (PAGE_KIND(state)) {
	case KIND_SOURCE:
		return image_word(&vm->options->image, vm->options->offset / PAGE + page, word);
	case KIND_OWN:
		return own_key(page, PAGE_OWN(state)) + word * OWN_STEP;
	case KIND_ZERO:
		break;
	}
	return 0;
}

uint64_t page_hash(const struct vm *vm, uint64_t page, uint64_t state)
{
	uint64_t hash = 0;

	for (unsigned i = 0; i < PAGE_WORDS; i++)
		hash = hash * HASH_STEP + page_word(vm, page, state, i);
	return hash;
}

bool page_must_be_poisoned(const struct vm *vm, uint64_t page, uint64_t state)
{
	return vm->poison && vm->poison[page] && PAGE_KIND(state) == KIND_SOURCE;
}

bool page_may_be_poisoned(const struct vm *vm, uint64_t page, uint64_t state)
{
	return page_must_be_poisoned(vm, page, state) ||
	       (vm->options->allow_poison && PAGE_KIND(state) == KIND_SOURCE);
}

static bool holds(const struct vm *vm, uint64_t page, uint64_t state, const uint64_t *words)
{
	for (unsigned i = 0; i < PAGE_WORDS; i++)
		if (words[i] != page_word(vm, page, state, i))
			return false;
	return true;
}

/* What the page has now, as far as it can be told; it may have changed meanwhile. */
static const char *found(const struct vm *vm, uint64_t page, char *text, size_t size)
{
	uint64_t words[PAGE_WORDS];
	unsigned right = 0;

	if (!plain_touch(page_hva(vm, page), false))
		return "poisoned";
	memcpy(words, page_hva(vm, page), PAGE);
	if (holds(vm, page, KIND_ZERO, words))
		return "zero";
	if (holds(vm, page, KIND_SOURCE, words))
		return "the source's";
	for (uint64_t other = 0; other < vm->pages; other++)
		if (holds(vm, other, KIND_SOURCE, words)) {
			snprintf(text, size, "the source's page %ju", (uintmax_t)other);
			return text;
		}
	for (unsigned i = 0; i < PAGE_WORDS; i++)
		right += words[i] == page_word(vm, page, page_state(vm, page), i);
	snprintf(text, size, "%u of %lu words right, the first is %#jx", right, PAGE_WORDS,
		 (uintmax_t)words[0]);
	return text;
}

void page_wrong(struct vm *vm, uint64_t page, uint64_t state, const char *by, uint64_t got)
{
	static const char *const kinds[] = {"the source's contents", "zeros", "what it wrote"};
	char text[96];

	if (atomic_fetch_add(&vm->wrong, 1) >= 10)
		return;
	say("wrong: page %ju at %p (%s %#jx) must have %s%s, version %u; now it is %s",
	    (uintmax_t)page, (void *)page_hva(vm, page), by, (uintmax_t)got,
	    kinds[PAGE_KIND(state)], page_must_be_poisoned(vm, page, state) ? ", poisoned" : "",
	    PAGE_VERSION(state), found(vm, page, text, sizeof(text)));
}
