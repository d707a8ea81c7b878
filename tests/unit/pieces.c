/*
 * pieces.c - the parts of the core that depend on nothing: entries, statistics, kernel profiles.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/entry.h"
#include "mm/stats.h"
#include "uffd/uffd.h"

#include <userfault/abi.h>

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                    \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static void entries(void)
{
	mm_entry e = mm_make_present(123456789, MM_WP | MM_SOFTDIRTY);

	CHECK(mm_kind(0) == MM_EMPTY && mm_entry_valid(0));
	CHECK(mm_kind(e) == MM_PRESENT && mm_value(e) == 123456789 && mm_entry_valid(e));
	CHECK(mm_kind(mm_make_swap(7, MM_RWP)) == MM_SWAP &&
	      mm_entry_valid(mm_make_swap(7, MM_RWP)));
	CHECK(mm_entry_valid(mm_make_marker(MM_WP)) && mm_entry_valid(mm_make_marker(MM_POISON)));
	CHECK(!mm_entry_valid(mm_make_marker(0)));
	CHECK(!mm_entry_valid(mm_make_marker(MM_WP | MM_POISON)));
	CHECK(!mm_entry_valid(mm_make_present(1, MM_POISON)));
	CHECK(!mm_entry_valid(MM_WP));
}

static void quantiles(void)
{
	static struct mm_stats s;

	CHECK(mm_stat_quantile(&s, 1, 2) == 0);
	for (unsigned i = 1; i <= 1000; i++)
		mm_stat_latency(&s, i * 100);
	CHECK(s.latency_max == 100000);
	/* Buckets are a quarter of a power of two wide. */
	CHECK(mm_stat_quantile(&s, 1, 2) >= 50000 && mm_stat_quantile(&s, 1, 2) <= 62500);
	CHECK(mm_stat_quantile(&s, 99, 100) >= 99000 && mm_stat_quantile(&s, 99, 100) <= 123750);
	mm_stat_latency(&s, ~0ull);
	CHECK(mm_stat_quantile(&s, 1, 1) > 1000000);
}

static void profiles(void)
{
	static const char *const bad[] = {"",	       "linux",	       "linux-",       "linux-4.10",
					  "linux-7.3", "linux-5.20",   "linux-6.1x",   "linux-6",
					  "all ",      "linux-06.1.2", "linux-4.11.3", "6.1"};
	const struct uffd_profile *p;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(uffd_profile_find(bad[i]) == NULL);
	for (unsigned i = 0; (p = uffd_profile_at(i)) != NULL; i++)
		CHECK(uffd_profile_find(p->name) == p);
	CHECK(uffd_profile_find("linux-4.11")->features == 0x7e);
	CHECK(uffd_profile_find("linux-4.13") == uffd_profile_find("linux-4.11"));
	CHECK(uffd_profile_find("linux-5.6")->modes == UF_REGISTER_MODE_MISSING);
	CHECK(uffd_profile_find("linux-6.1")->features == 0x1fff);
	CHECK(uffd_profile_find("linux-6.8")->features == 0x1ffff);
	CHECK(uffd_profile_find("linux-7.2") == uffd_profile_find("linux-6.8"));
	CHECK(uffd_profile_find("all")->features == 0x7ffff);
	CHECK(uffd_profile_find("linux-6.1")->ioctls == 0xdc);
	CHECK(uffd_profile_find("linux-6.8")->ioctls == 0x1fc);
	CHECK(!uffd_profile_find("linux-5.10")->user_mode_only);
	CHECK(uffd_profile_find("linux-5.11")->user_mode_only);
	CHECK(!uffd_profile_find("linux-6.0")->dev && uffd_profile_find("linux-6.1")->dev);
}

int main(void)
{
	entries();
	quantiles();
	profiles();
	return 0;
}
