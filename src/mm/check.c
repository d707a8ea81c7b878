/*
 * check.c - does everything still hold? For tests: takes the write lock and walks it all.
 */
#include "mm/internal.h"

static const char *check_area(const struct mm_area *a, const struct mm_area *prev)
{
	const struct mm_table *table = mm_area_table(a);

	if (a->start >= a->end || ((a->start | a->end) & ~UF_PAGE_MASK))
		return "an area is empty or not aligned";
	if (prev && prev->end > a->start)
		return "areas overlap or are not sorted";
	if (!table)
		return "an area has no table";
	if (mm_area_page(a, a->end) > table->map.npages)
		return "an area reaches past its table";
	if ((a->handler == 0) != (a->modes == 0))
		return "an area has modes without a handler, or a handler without modes";
	if ((a->start | a->end) & (mm_area_page_size(a) - 1))
		return "an area cuts a large page";
	if ((a->modes & MM_MODE_WP) && (a->modes & MM_MODE_RWP))
		return "an area has both WP and RWP";
	return NULL;
}

/* Not the same as the entry of the first base page of its large page? */
static bool differs(const mm_entry *entries, uint64_t i, uint64_t group)
{
	const uint64_t low = ((uint64_t)1 << MM_VALUE_SHIFT) - 1;

	return ((entries[i] ^ entries[i & ~(group - 1)]) & low) != 0;
}

static const char *check_entries(const struct mm_area *a)
{
	struct mm_table *table = mm_area_table(a);
	uint64_t page = a->pgoff, last = mm_area_page(a, a->end), n;
	const char *wrong = NULL;

	for (; page < last && !wrong; page += n) {
		uint64_t base = page - page % MM_LEAF_ENTRIES;
		mm_entry *entries;

		n = mm_leaf_run(page, last - page);
		mm_leaf_peek(table, page, &entries);
		for (uint64_t i = page - base; entries && i < page - base + n; i++) {
			mm_entry e = entries[i];

			if (!mm_entry_valid(e))
				wrong = "an entry is none of the kinds there are";
			else if (mm_kind(e) == MM_PRESENT && mm_value(e) != base + i)
				wrong = "a present entry names another page's frame";
			else if (differs(entries, i, mm_area_group(a)))
				wrong = "the entries of a large page differ";
		}
		mm_leaf_unlock(table, page);
	}
	return wrong;
}

/* Every table is covered by as many pages of areas as it believes. */
static const char *check_live(struct mm_space *space)
{
	struct mm_area *a, *b;
	uint64_t total = 0;

	for (uint32_t i = 0; (a = mm_area_at(space, i)) != NULL; i++) {
		uint64_t live = 0;

		total += (a->end - a->start) >> UF_PAGE_SHIFT;
		for (uint32_t k = 0; (b = mm_area_at(space, k)) != NULL; k++)
			if (b->table == a->table)
				live += (b->end - b->start) >> UF_PAGE_SHIFT;
		if (live != mm_area_table(a)->live)
			return "a table's count of live pages is wrong";
	}
	return total == space->pages ? NULL : "the space's count of pages is wrong";
}

static uint64_t count_present(const struct mm_area *a)
{
	struct mm_table *table = mm_area_table(a);
	uint64_t page = a->pgoff, last = mm_area_page(a, a->end), count = 0, n;

	for (; page < last; page += n) {
		mm_entry *entries;

		n = mm_leaf_run(page, last - page);
		mm_leaf_peek(table, page, &entries);
		for (uint64_t i = 0; entries && i < n; i++)
			count += mm_kind(entries[page % MM_LEAF_ENTRIES + i]) == MM_PRESENT;
		mm_leaf_unlock(table, page);
	}
	return count;
}

static bool first_of_table(const struct mm_space *space, uint32_t i)
{
	const struct mm_area *a = mm_area_at(space, i);
	uint32_t k = 0;

	while (mm_area_at(space, k)->table != a->table)
		k++;
	return k == i;
}

/* The pages that count against the limits are those that are there. */
static const char *check_resident(struct mm_space *space)
{
	uint64_t present = 0, of_tables = 0;
	const struct mm_area *a;

	for (uint32_t i = 0; (a = mm_area_at(space, i)) != NULL; i++) {
		if (!(mm_area_type(a)->flags & MM_TYPE_RECLAIM))
			continue;
		present += count_present(a);
		if (first_of_table(space, i))
			of_tables += atomic_load(&mm_area_table(a)->resident);
	}
	if (present != of_tables)
		return "the tables' counts of pages in memory are wrong";
	return present == atomic_load(&space->resident)
		       ? NULL
		       : "the space's count of pages in memory is wrong";
}

const char *mm_check(struct mm_space *space)
{
	struct mm_area *a, *prev = NULL;
	const char *wrong = NULL;

	mach_write_lock(&space->lock);
	for (uint32_t i = 0; !wrong && (a = mm_area_at(space, i)) != NULL; i++) {
		wrong = check_area(a, prev);
		if (!wrong)
			wrong = check_entries(a);
		prev = a;
	}
	if (!wrong)
		wrong = check_live(space);
	if (!wrong)
		wrong = check_resident(space);
	mach_write_unlock(&space->lock);
	return wrong;
}
