/* host_test.h - what the tests of the host machine share: a stub mm, checks, touching memory. */
#ifndef UF_HOST_TEST_H
#define UF_HOST_TEST_H

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine/host/internal.h"
#include "mm/mm.h"

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s: not true: %s\n", __FILE__, __LINE__, __func__, \
				#cond);                                                            \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

#define PAGES(n) ((uint64_t)(n) << UF_PAGE_SHIFT)

/* What the trap handler asks; the default knows no area. */
extern enum mm_outcome (*test_fault)(const struct mm_access *access);

struct test {
	const char *name;
	void (*run)(void);
};

/* argv[1] names the trap; each test gets a process of its own. Returns the exit status. */
int test_main(int argc, char **argv, const struct test *tests, size_t n);
/* The trap and the rest of the configuration for host_init; a test may change it before start(). */
extern struct host_config test_config;
void test_start(void);

/* A mount namespace of our own, an ordinary user's too. False where there is none. */
bool test_may_mount(void);

/* A private anonymous mapping of n pages. */
char *test_map(uint64_t n);
/* The signal that a one-byte access gets; 0: none. */
int test_access(volatile char *p, bool write);
#define READS(p)  (test_access((p), false) == 0)
#define WRITES(p) (test_access((p), true) == 0)

/* A map of n pages, adopted at a new place. */
struct managed {
	struct mach_map map;
	struct mach_span span;
	char *p;
};
void test_manage(struct managed *m, uint64_t n);
void test_fill(struct managed *m, uint64_t page, uint64_t n, char value);
int test_open(struct managed *m, uint64_t page, uint64_t n, uint32_t prot);
void test_limit(struct managed *m, uint64_t page, uint64_t n, uint32_t prot);

/* Mappings of files. A memory file of len bytes, mapped to be read and written. */
int test_memory_file(unsigned flags, uint64_t len);
char *test_map_file(int fd, uint64_t len, int flags);
/* Take over n pages in place, from the middle of a host mapping, too; and unmap them. */
void test_adopt(struct managed *m, char *p, uint64_t n);
void test_release(struct managed *m);
bool test_file_has(struct managed *m, uint64_t page);
/* As mach_frames_copy. */
long test_copy(struct managed *m, uint64_t page, uint64_t n, const void *src);
bool test_is_all(const char *p, char value, uint64_t len);

static inline bool test_bit(const uint64_t *bits, uint64_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

#define RW (UF_PROT_READ | UF_PROT_WRITE)

/* Does the host's list of mappings have exactly this many lines in [addr, addr + len)? */
unsigned test_mappings(uint64_t addr, uint64_t len);

#endif
