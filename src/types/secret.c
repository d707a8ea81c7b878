/*
 * secret.c - memfd_secret, which nobody but the program can reach: asynchronous write-protection.
 */
#include "mm/type.h"

/* The host makes the page when it is touched. */
static int secret_populate(const struct mm_view *v, uint64_t page)
{
	(void)v;
	(void)page;
	return 0;
}

const struct mm_type mm_type_secret = {
	.name = "secret",
	.kinds = 1u << MACH_VMA_SECRET,
	.page_shift = UF_PAGE_SHIFT,
	.modes = MM_MODE_WP,
	.flags = MM_TYPE_MARK_EMPTY | MM_TYPE_ASYNC_ONLY | MM_TYPE_FEIGNS,
	.adopt = mm_file_adopt,
	.extend = mm_file_extend,
	.mapped = mm_file_mapped,
	.lookup = mm_default_lookup_none,
	.populate = secret_populate,
};
