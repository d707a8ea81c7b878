/*
 * profile.c - what each kernel offers: a line per version that changed something.
 */
#include "uffd/context.h"

#define FEATURES_4_11 (0x7eull) /* FORK REMAP REMOVE MISSING_HUGETLBFS MISSING_SHMEM UNMAP */
#define FEATURES_4_14 (FEATURES_4_11 | UF_FEATURE_SIGBUS | UF_FEATURE_THREAD_ID)
#define FEATURES_5_7  (FEATURES_4_14 | UF_FEATURE_PAGEFAULT_FLAG_WP)
#define FEATURES_5_13 (FEATURES_5_7 | UF_FEATURE_MINOR_HUGETLBFS)
#define FEATURES_5_14 (FEATURES_5_13 | UF_FEATURE_MINOR_SHMEM)
#define FEATURES_5_18 (FEATURES_5_14 | UF_FEATURE_EXACT_ADDRESS)
#define FEATURES_5_19 (FEATURES_5_18 | UF_FEATURE_WP_HUGETLBFS_SHMEM)
#define FEATURES_6_4  (FEATURES_5_19 | UF_FEATURE_WP_UNPOPULATED)
#define FEATURES_6_6  (FEATURES_6_4 | UF_FEATURE_POISON)
#define FEATURES_6_7  (FEATURES_6_6 | UF_FEATURE_WP_ASYNC)
#define FEATURES_6_8  (FEATURES_6_7 | UF_FEATURE_MOVE)
#define FEATURES_ALL  (FEATURES_6_8 | UF_FEATURE_RWP | UF_FEATURE_RWP_ASYNC)

#define BIT(nr)	    (1ull << (nr))
#define IOCTLS_4_11 (BIT(UF_NR_WAKE) | BIT(UF_NR_COPY) | BIT(UF_NR_ZEROPAGE))
#define IOCTLS_5_7  (IOCTLS_4_11 | BIT(UF_NR_WRITEPROTECT))
#define IOCTLS_5_13 (IOCTLS_5_7 | BIT(UF_NR_CONTINUE))
#define IOCTLS_6_6  (IOCTLS_5_13 | BIT(UF_NR_POISON))
#define IOCTLS_6_8  (IOCTLS_6_6 | BIT(UF_NR_MOVE))
#define IOCTLS_ALL  (IOCTLS_6_8 | BIT(UF_NR_RWPROTECT))
#define API_IOCTLS  (BIT(UF_NR_REGISTER) | BIT(UF_NR_UNREGISTER) | BIT(UF_NR_API))

#define MODES_4_11 (MM_MODE_MISSING)
#define MODES_5_7  (MODES_4_11 | MM_MODE_WP)
#define MODES_5_13 (MODES_5_7 | MM_MODE_MINOR)
#define MODES_ALL  (MODES_5_13 | MM_MODE_RWP)

static const struct uffd_profile profiles[] = {
	{"linux-4.11", FEATURES_4_11, IOCTLS_4_11, API_IOCTLS, MODES_4_11, false, false},
	{"linux-4.14", FEATURES_4_14, IOCTLS_4_11, API_IOCTLS, MODES_4_11, false, false},
	{"linux-5.7", FEATURES_5_7, IOCTLS_5_7, API_IOCTLS, MODES_5_7, false, false},
	{"linux-5.11", FEATURES_5_7, IOCTLS_5_7, API_IOCTLS, MODES_5_7, true, false},
	{"linux-5.13", FEATURES_5_13, IOCTLS_5_13, API_IOCTLS, MODES_5_13, true, false},
	{"linux-5.14", FEATURES_5_14, IOCTLS_5_13, API_IOCTLS, MODES_5_13, true, false},
	{"linux-5.18", FEATURES_5_18, IOCTLS_5_13, API_IOCTLS, MODES_5_13, true, false},
	{"linux-5.19", FEATURES_5_19, IOCTLS_5_13, API_IOCTLS, MODES_5_13, true, false},
	{"linux-6.1", FEATURES_5_19, IOCTLS_5_13, API_IOCTLS, MODES_5_13, true, true},
	{"linux-6.4", FEATURES_6_4, IOCTLS_5_13, API_IOCTLS, MODES_5_13, true, true},
	{"linux-6.6", FEATURES_6_6, IOCTLS_6_6, API_IOCTLS, MODES_5_13, true, true},
	{"linux-6.7", FEATURES_6_7, IOCTLS_6_6, API_IOCTLS, MODES_5_13, true, true},
	{"linux-6.8", FEATURES_6_8, IOCTLS_6_8, API_IOCTLS, MODES_5_13, true, true},
	{"all", FEATURES_ALL, IOCTLS_ALL, API_IOCTLS | BIT(UF_NR_SET_MODE), MODES_ALL, true, true},
};
#define PROFILES (sizeof(profiles) / sizeof(profiles[0]))

/* The last minor version of each major one, as far as the profiles go. */
static const unsigned last_minor[] = {[4] = 20, [5] = 19, [6] = 19, [7] = 2};
#define MAJORS (sizeof(last_minor) / sizeof(last_minor[0]))

/* The rest of `text` behind `start`, or NULL when it does not begin so. */
static const char *behind(const char *text, const char *start)
{
	while (*start)
		if (*text++ != *start++)
			return NULL;
	return text;
}

/* "linux-X.Y" to X * 100 + Y, 0 when it is not such a name. */
static unsigned version_of(const char *name)
{
	unsigned part[2] = {0, 0};

	name = behind(name, "linux-");
	if (!name)
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		const char *digits = name;

		for (; *name >= '0' && *name <= '9' && part[i] < 100; name++)
			part[i] = part[i] * 10 + (unsigned)(*name - '0');
		if (name == digits || *name != (i == 0 ? '.' : '\0'))
			return 0;
		name += i == 0;
	}
	return part[0] < MAJORS && part[1] <= last_minor[part[0]] ? part[0] * 100 + part[1] : 0;
}

const struct uffd_profile *uffd_profile_at(unsigned n)
{
	return n < PROFILES ? &profiles[n] : NULL;
}

const struct uffd_profile *uffd_profile_find(const char *name)
{
	unsigned version = version_of(name);
	const struct uffd_profile *best = NULL;
	const char *rest = behind(name, "all");

	if (rest && *rest == '\0')
		return &profiles[PROFILES - 1];
	for (unsigned i = 0; version && i < PROFILES - 1; i++)
		if (version_of(profiles[i].name) <= version)
			best = &profiles[i];
	return best;
}
