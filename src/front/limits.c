/*
 * limits.c - from the environment to a limit, a swap store, a policy and a record of faults.
 */
#include "front/limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "front/swap_zstd.h"
#include "front/sys.h"
#include "front/trace.h"
#include "mm/reclaim.h"
#include "mm/record.h"
#include "uffd/inject.h"

static struct {
	uint64_t limit;
	char swap[4096]; /* without the size */
	uint64_t swap_size;
	char policy[32];
	char record[4096];
	char inject[1024];
} config;

static uint64_t number(const char *text)
{
	return text ? strtoull(text, NULL, 10) : 0;
}

static void copy(char *to, size_t size, const char *value)
{
	if (value && strlen(value) < size)
		strcpy(to, value);
}

void limits_environment(void)
{
	char *size;

	config.limit = number(getenv("USERFAULT_MEMORY_LIMIT"));
	copy(config.policy, sizeof(config.policy), getenv("USERFAULT_POLICY"));
	copy(config.record, sizeof(config.record), getenv("USERFAULT_RECORD"));
	copy(config.swap, sizeof(config.swap), getenv("USERFAULT_SWAP"));
	copy(config.inject, sizeof(config.inject), getenv("USERFAULT_INJECT"));
	trace_environment();
	size = strrchr(config.swap, ':');
	if (size) {
		*size = 0;
		config.swap_size = number(size + 1);
	}
}

/* Under a limit they are memory that nobody expects. */
uint64_t limits_warm_pages(void)
{
	uint64_t pages = config.limit >> UF_PAGE_SHIFT;

	return config.limit ? pages / 64 + 1 : 0;
}

static int start_swap(struct mm_space *space, const char **why)
{
	struct host_swap_config swap = {
		.size = config.swap_size,
		.peak = &space->stats->count[MM_STAT_SWAP],
		.tell = config.limit != 0,
	};

	if (!config.swap[0] || strcmp(config.swap, "none") == 0) {
		swap.none = true;
	} else if (strcmp(config.swap, "zstd") == 0) {
		swap.codec = swap_zstd();
		if (!swap.codec) {
			*why = "zstd does not say how much memory it needs";
			return -EINVAL;
		}
	} else {
		swap.path = config.swap;
	}
	return host_swap_init(&swap, why);
}

static int start_record(const char **why)
{
	struct mm_record_file *file;
	long fd, len, at = -EINVAL;

	fd = SYS(SYS_openat, AT_FDCWD, config.record, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		*why = "the file for recorded faults cannot be opened";
		return (int)fd;
	}
	len = SYS(SYS_lseek, fd, 0, SEEK_END);
	if (len >= (long)sizeof(*file))
		at = SYS(SYS_mmap, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	SYS(SYS_close, fd);
	file = (struct mm_record_file *)at;
	if (at < 0 || file->header.magic != MM_RECORD_MAGIC ||
	    file->header.version != MM_RECORD_VERSION ||
	    file->header.capacity > ((uint64_t)len - sizeof(*file)) / sizeof(struct mm_record)) {
		*why = "the file for recorded faults is none";
		return -EINVAL;
	}
	mm_recording = file;
	return 0;
}

static int start_inject(const char **why)
{
	struct inject_answer answer;
	struct uffd_inject inject;

	if (!config.inject[0])
		return 0;
	if (!uffd_inject_parse(config.inject, &inject, &answer)) {
		*why = "USERFAULT_INJECT cannot be understood; userfault run --inject says why";
		return -EINVAL;
	}
	uffd_inject_begin(&inject);
	return 0;
}

/* Somebody asked for it on purpose: a process that cannot have it does not go on in silence. */
static void tell(const char *why)
{
	char line[256];
	int n = snprintf(line, sizeof(line), "userfault: this process gets no userfaultfd: %s\n",
			 why);

	SYS(SYS_write, 2, line, n < (int)sizeof(line) ? n : (int)sizeof(line) - 1);
}

int limits_start(struct mm_space *space, const char **why)
{
	int err = start_swap(space, why);

	if (!err && config.policy[0] && (err = mm_set_policy(space, config.policy)) != 0)
		*why = err == -EINVAL ? "USERFAULT_POLICY names no replacement policy"
				      : "there is no memory for a replacement policy";
	if (!err && config.limit && (err = mm_limit_space(space, config.limit)) != 0)
		*why = "there is no memory for a memory limit";
	if (!err && config.record[0] && !mm_recording)
		err = start_record(why);
	if (!err)
		err = start_inject(why);
	if (!err)
		err = trace_start(why);
	if (err)
		tell(*why);
	return err;
}
