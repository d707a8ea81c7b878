/*
 * start.c - the environment, and what the first userfaultfd of a process sets up.
 *
 * Until then a process has nothing of Userfault but its code: no descriptor, no handler, no memory.
 */
#include "front/front.h"
#include "front/huge.h"
#include "front/limits.h"
#include "front/types.h"

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "front/stats_file.h"

enum {
	FRESH,
	STARTING,
	STARTED,
	FAILED
};

_Atomic bool front_live;

static _Atomic int environment_read;
static _Atomic int state = FRESH;
static const char *why_failed;
static bool machine_started; /* host_init is once, also for a forked child */

static struct {
	enum host_trap_choice trap;
	char profile[32];
	char stats[4096];
	uint32_t options; /* MM_OPTION_* */
	bool verbose;
	bool many_cpus;
} config;

static void copy_env(char *to, size_t size, const char *name)
{
	const char *value = getenv(name);

	if (value && strlen(value) < size)
		strcpy(to, value);
}

static bool env_set(const char *name)
{
	const char *value = getenv(name);

	return value && strcmp(value, "1") == 0;
}

static bool several_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) != 0 || CPU_COUNT(&set) > 1;
}

void front_environment(void)
{
	const char *trap, *huge;

	if (atomic_load(&environment_read))
		return;
	trap = getenv("USERFAULT_TRAP");
	if (trap && strcmp(trap, "guard") == 0)
		config.trap = HOST_TRAP_GUARD;
	else if (trap && strcmp(trap, "mprotect") == 0)
		config.trap = HOST_TRAP_MPROTECT;
	copy_env(config.profile, sizeof(config.profile), "USERFAULT_PROFILE");
	copy_env(config.stats, sizeof(config.stats), "USERFAULT_STATS");
	config.verbose = env_set("USERFAULT_VERBOSE");
	if (env_set("USERFAULT_FILE_FAULTS"))
		config.options |= MM_OPTION_FILE_FAULTS;
	if (env_set("USERFAULT_MOVE_ANY"))
		config.options |= MM_OPTION_MOVE_ANY;
	huge = getenv("USERFAULT_HUGE");
	huge_always_emulated = huge && strcmp(huge, "emulate") == 0;
	limits_environment();
	atomic_store(&environment_read, 1);
}

const struct uffd_profile *front_profile(void)
{
	front_environment();
	return config.profile[0] ? uffd_profile_find(config.profile) : NULL;
}

const char *front_why(void)
{
	return why_failed;
}

bool front_many_cpus(void)
{
	return config.many_cpus;
}

/* One write, so that lines of several processes do not mix. */
static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	char line[512];
	va_list ap;
	int n;

	if (!config.verbose)
		return;
	va_start(ap, format);
	n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (n > 0)
		SYS(SYS_write, 2, line, n < (int)sizeof(line) ? n : (int)sizeof(line) - 1);
}

static bool stats_file_valid(const struct stats_header *h)
{
	return h->magic == STATS_FILE_MAGIC && h->version == STATS_FILE_VERSION &&
	       h->nslots == STATS_FILE_SLOTS && h->slot_size == sizeof(struct stats_slot);
}

static struct mm_stats *claim_slot(struct stats_file *file)
{
	uint32_t pid = (uint32_t)SYS(SYS_getpid);
	unsigned i;

	for (i = 0; i < STATS_FILE_SLOTS; i++) {
		struct stats_slot *slot = &file->slot[i];
		uint32_t none = 0;

		if (!atomic_compare_exchange_strong(&slot->pid, &none, pid))
			continue;
		prctl(PR_GET_NAME, slot->comm);
		strncpy(slot->trap, host_trap_name(), sizeof(slot->trap) - 1);
		return &slot->stats;
	}
	return NULL;
}

/* Where to count: a slot of the session's file, or NULL: the space's own. */
static struct mm_stats *open_stats(void)
{
	struct stats_file *file;
	struct mm_stats *stats = NULL;
	long fd, map;

	if (!config.stats[0])
		return NULL;
	fd = SYS(SYS_openat, AT_FDCWD, config.stats, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (SYS(SYS_lseek, fd, 0, SEEK_END) >= (long)STATS_FILE_SIZE) {
		map = SYS(SYS_mmap, 0, STATS_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		file = (struct stats_file *)map;
		if (map > 0 && stats_file_valid(&file->header))
			stats = claim_slot(file);
	}
	SYS(SYS_close, fd);
	return stats;
}

static int start_once(void)
{
	struct host_config host = {.trap = config.trap, .warm_pages = limits_warm_pages()};
	const struct uffd_profile *profile = front_profile();
	const char *why = NULL;
	struct mach_entry entry;
	int err;

	if (config.profile[0] && !profile) {
		why_failed = "USERFAULT_PROFILE names no kernel that Userfault knows";
		return -ENOSYS;
	}
	files_own();
	if (!machine_started) {
		mem_before_start();
		if (host_init(&host, &why) < 0) {
			why_failed = why;
			return -ENOSYS;
		}
		machine_started = true;
	}
	mach_enter(&entry);
	err = mm_space_init(open_stats());
	if (err == 0) {
		atomic_store(&mm_space_self->options, config.options);
		uffd_init(profile);
		huge_started();
		err = limits_start(mm_space_self, &why);
	}
	mach_leave(&entry);
	/* Before the first look at the program's memory, which may be at a bad address. */
	if (err == 0)
		err = host_arm();
	if (err) {
		why_failed = why && *why ? why
					 : "there is no memory for an address space, or no way to "
					   "take SIGSEGV";
		return -ENOSYS;
	}
	config.many_cpus = several_cpus();
	say("userfault: process %ld uses userfaultfd: trap %s, profile %s\n", SYS(SYS_getpid),
	    host_trap_name(), profile ? profile->name : "all");
	return 0;
}

static void go_live(void)
{
	const char *more;

	atomic_store_explicit(&front_live, true, memory_order_release);
	more = front_started();
	if (more)
		say("userfault: %s\n", more);
}

int front_start(void)
{
	int expected = FRESH;
	int err;

	if (likely(atomic_load_explicit(&front_live, memory_order_acquire)))
		return 0;
	front_environment();
	if (atomic_compare_exchange_strong(&state, &expected, STARTING)) {
		err = start_once();
		if (err)
			say("userfault: cannot start: %s\n", why_failed);
		else
			go_live();
		atomic_store(&state, err ? FAILED : STARTED);
		return err;
	}
	while (atomic_load(&state) == STARTING)
		sched_yield();
	return atomic_load(&state) == STARTED ? 0 : -ENOSYS;
}

/*
 * The thread that forks: what it entered with, and that it did. What the child must do in its place
 * is told by memory that it has a copy of.
 */
static struct mach_entry fork_entry;
static __thread bool forking;

void front_fork_begin(void)
{
	struct mach_entry entry;

	if (likely(!atomic_load_explicit(&front_live, memory_order_acquire)) || forking)
		return;
	mach_enter(&entry);
	mm_fork_begin(mm_space_self);
	fork_entry = entry;
	forking = true;
}

void front_fork_parent(void)
{
	struct mach_entry entry = fork_entry;

	if (likely(!forking))
		return;
	forking = false;
	mm_fork_parent(mm_space_self);
	mach_leave(&entry);
}

/* Memory stays managed, with nobody to ask about it; what the child makes itself is its own. */
void front_started_child(void)
{
	struct mach_entry entry = fork_entry;

	if (!atomic_load(&front_live)) {
		if (atomic_load(&state) != FAILED)
			atomic_store(&state, FRESH);
		return;
	}
	if (!forking)
		return;
	forking = false;
	types_child();
	mm_fork_child(mm_space_self, open_stats());
	mach_leave(&entry);
}
