/*
 * limits.c - the options of run that are about memory: the limit, swap, the policy, the record of
 * faults. What is wrong with them is said here, before the program starts.
 */
#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mm/policy.h"
#include "mm/reclaim.h"
#include "mm/record.h"

/* Records that a file has room for, unless files are limited to less. */
#define RECORDS_MOST ((uint64_t)64 << 20)

int limits_set_memory(struct limits *l, const char *text)
{
	const uint64_t least = MM_LIMIT_LEAST * UF_PAGE_SIZE;

	if (!parse_size(text, &l->memory))
		return bad_size("--memory-limit", text);
	if (l->memory < least) {
		complain("--memory-limit: less than %juK is not enough for one instruction",
			 (uintmax_t)least >> 10);
		return STATUS_USAGE;
	}
	return 0;
}

int find_policy(const char *name, const struct mm_policy **found)
{
	const struct mm_policy *p;
	const char *names[16] = {NULL};
	const char *meant;
	char list[256] = "";
	size_t len = 0;

	*found = mm_policy_find(name);
	if (*found)
		return 0;
	for (unsigned i = 0; (p = mm_policy_at(i)) && i + 1 < 16; i++) {
		names[i] = p->name;
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "",
					p->name);
	}
	meant = nearest_word(name, names);
	if (meant)
		complain("unknown policy '%s', did you mean '%s'?", name, meant);
	else
		complain("unknown policy '%s'; there are %s", name, list);
	return STATUS_USAGE;
}

int limits_set_policy(struct limits *l, const char *name)
{
	const struct mm_policy *policy;
	int status = find_policy(name, &policy);

	l->policy = name;
	return status;
}

/* ---- Swap --------------------------------------------------------------------------------------
 */

/* A directory that can be written, made absolute. 0 or the exit status after a complaint. */
static int check_directory(const char *dir, char path[PATH_MAX])
{
	struct stat st;

	if (!realpath(dir, path) || stat(path, &st) != 0) {
		complain("--swap: '%s' cannot be used: %s; name a directory that is there", dir,
			 strerror(errno));
		return STATUS_USAGE;
	}
	if (!S_ISDIR(st.st_mode)) {
		complain("--swap: '%s' is there already and is no directory; name a directory, or "
			 "a file that is not there yet",
			 dir);
		return STATUS_USAGE;
	}
	return 0;
}

/* Can the file be made there, as it will be for each process (machine/host/swap.c)? */
static int try_swap(const char *path)
{
	int fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
		if (fd >= 0)
			unlink(path);
	} else if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR) &&
		   access(path, W_OK | X_OK) == 0) {
		return 0;
	}
	if (fd < 0) {
		complain("--swap: no file can be made at '%s': %s; name another place, or 'zstd' "
			 "for compressed memory",
			 path, strerror(errno));
		return STATUS_USAGE;
	}
	close(fd);
	return 0;
}

/* The directory that is to hold a new file of this name. */
static int check_new_file(const char *name, char path[PATH_MAX])
{
	const char *slash = strrchr(name, '/');
	char dir[PATH_MAX];
	int status;

	if (slash == name)
		strcpy(dir, "/");
	else if (slash)
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - name), name);
	else
		strcpy(dir, ".");
	status = check_directory(dir, path);
	if (status)
		return status;
	snprintf(dir, sizeof(dir), "%s", path);
	if (snprintf(path, PATH_MAX, "%s/%s", dir, slash ? slash + 1 : name) >= PATH_MAX) {
		complain("--swap: the name of the file is too long");
		return STATUS_USAGE;
	}
	return 0;
}

int limits_set_swap(struct limits *l, const char *text)
{
	char name[PATH_MAX];
	char *colon;
	int status;

	if (strlen(text) >= sizeof(name) || !*text) {
		complain(
			"--swap needs a directory, a file that is not there yet, 'zstd' or 'none'");
		return STATUS_USAGE;
	}
	strcpy(name, text);
	colon = strrchr(name, ':');
	l->swap_size = 0;
	if (colon && parse_size(colon + 1, &l->swap_size))
		*colon = 0;
	else if (strncmp(name, "zstd:", 5) == 0)
		return bad_size("--swap", name + 5);
	if (colon && !*colon && l->swap_size == 0) {
		complain("--swap: a store of no size is 'none'");
		return STATUS_USAGE;
	}
	if (strcmp(name, "zstd") == 0 || strcmp(name, "none") == 0) {
		strcpy(l->swap, name);
		return 0;
	}
	status = access(name, F_OK) == 0 ? check_directory(name, l->swap)
					 : check_new_file(name, l->swap);
	return status ? status : try_swap(l->swap);
}

/* Where pages go if nobody said: on a disk, where that is usual. */
static void default_swap(struct limits *l)
{
	const char *dir = getenv("TMPDIR");

	if (!dir || !*dir || access(dir, W_OK | X_OK) != 0)
		dir = "/var/tmp";
	if (access(dir, W_OK | X_OK) != 0 || !realpath(dir, l->swap))
		strcpy(l->swap, "none");
}

/* ---- The record of faults ----------------------------------------------------------------------
 */

static uint64_t record_size(uint64_t records)
{
	return sizeof(struct mm_record_file) + records * sizeof(struct mm_record);
}

static uint64_t record_capacity(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur >= record_size(RECORDS_MOST))
		return RECORDS_MOST;
	if (limit.rlim_cur <= sizeof(struct mm_record_file))
		return 0;
	return (limit.rlim_cur - sizeof(struct mm_record_file)) / sizeof(struct mm_record);
}

static int begin_record(struct limits *l, const char *name)
{
	struct mm_record_header header = {
		.magic = MM_RECORD_MAGIC,
		.version = MM_RECORD_VERSION,
		.page_shift = UF_PAGE_SHIFT,
		.capacity = record_capacity(),
	};
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	bool good = fd >= 0 && write(fd, &header, sizeof(header)) == sizeof(header) &&
		    ftruncate(fd, (off_t)record_size(header.capacity)) == 0 &&
		    realpath(name, l->record);

	if (!good)
		complain("--record-faults: '%s' cannot be written: %s", name, strerror(errno));
	if (fd >= 0)
		close(fd);
	return good ? 0 : STATUS_USAGE;
}

int limits_begin(struct limits *l)
{
	if (l->memory && !l->swap[0])
		default_swap(l);
	return l->record_name ? begin_record(l, l->record_name) : 0;
}

/* What nobody has written is not part of the file. */
void limits_finish(const struct limits *l)
{
	struct mm_record_header header;
	uint64_t count;
	int fd;

	if (!l->record[0])
		return;
	fd = open(l->record, O_RDWR | O_CLOEXEC);
	if (fd < 0 || read(fd, &header, sizeof(header)) != sizeof(header) ||
	    header.magic != MM_RECORD_MAGIC) {
		complain("the recorded faults in '%s' are gone", l->record);
	} else {
		count = atomic_load(&header.count);
		if (count > header.capacity) {
			complain("only the first %ju of %ju faults were recorded: files may not "
				 "be larger",
				 (uintmax_t)header.capacity, (uintmax_t)count);
			count = header.capacity;
		}
		if (ftruncate(fd, (off_t)record_size(count)) != 0)
			complain("'%s' keeps room for more faults: %s", l->record, strerror(errno));
	}
	if (fd >= 0)
		close(fd);
}

/* ---- To the program ----------------------------------------------------------------------------
 */

int limits_environment(const struct limits *l)
{
	char text[PATH_MAX + 32];
	int error = 0;

	if (l->memory) {
		snprintf(text, sizeof(text), "%ju", (uintmax_t)l->memory);
		error |= setenv("USERFAULT_MEMORY_LIMIT", text, 1);
	}
	if (l->swap[0]) {
		snprintf(text, sizeof(text), "%s:%ju", l->swap, (uintmax_t)l->swap_size);
		error |= setenv("USERFAULT_SWAP", text, 1);
	}
	if (l->policy)
		error |= setenv("USERFAULT_POLICY", l->policy, 1);
	if (l->record[0])
		error |= setenv("USERFAULT_RECORD", l->record, 1);
	return error;
}
