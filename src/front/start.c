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

#include "front/door.h"
#include "front/ledger.h"

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
	ledger_environment();
	config.verbose = env_set("USERFAULT_VERBOSE");
	if (env_set("USERFAULT_FILE_FAULTS"))
		config.options |= MM_OPTION_FILE_FAULTS;
	if (env_set("USERFAULT_FORK_EVENTS"))
		host_allow_fork_events();
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
static void put(const char *format, va_list ap)
{
	char line[512];
	int n = vsnprintf(line, sizeof(line), format, ap);

	if (n > 0)
		SYS(SYS_write, 2, line, n < (int)sizeof(line) ? n : (int)sizeof(line) - 1);
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	va_list ap;

	if (!config.verbose)
		return;
	va_start(ap, format);
	put(format, ap);
	va_end(ap);
}

/* What nobody would find out otherwise. */
static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void complain(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	put(format, ap);
	va_end(ap);
}

/*
 * A place in the session, which is also where to count. Without one the process is on its own; but
 * a session that was asked for and cannot be had is an error.
 */
static int join_session(struct mm_stats **stats, const char **why)
{
	struct session_slot *slot;
	int err = ledger_claim(why);

	slot = ledger_own(NULL);
	*stats = slot ? &slot->stats : NULL;
	if (!err)
		door_begin();
	else if (ledger_named())
		complain("userfault: process %ld cannot be in its session: %s\n", SYS(SYS_getpid),
			 *why);
	else
		say("userfault: no session: %s\n", *why);
	return err && ledger_named() ? err : 0;
}

static int start_once(void)
{
	struct host_config host = {.trap = config.trap, .warm_pages = limits_warm_pages()};
	const struct uffd_profile *profile = front_profile();
	struct mm_stats *stats = NULL;
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
	err = join_session(&stats, &why);
	if (err) {
		why_failed = why;
		return -ENOSYS;
	}
	mach_enter(&entry);
	err = mm_space_init(stats);
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

/* A forked child that has no place in the session: it gets one with a userfaultfd of its own. */
static _Atomic int outside;
enum {
	INSIDE,
	OUTSIDE,
	JOINING
};

static int join(void)
{
	struct mm_stats *stats = NULL;
	struct mach_entry entry;
	const char *why = NULL;
	int err = join_session(&stats, &why);

	if (err) {
		why_failed = why;
		return -ENOSYS;
	}
	mach_enter(&entry);
	mm_space_count(mm_space_self, stats);
	mach_leave(&entry);
	return 0;
}

/* A thread that comes while another is at it waits, or it would go on without a place. */
static int join_as_child(void)
{
	int was = OUTSIDE, err;

	if (!atomic_compare_exchange_strong(&outside, &was, JOINING)) {
		while (atomic_load(&outside) == JOINING)
			sched_yield();
		return atomic_load(&outside) == INSIDE ? 0 : -ENOSYS;
	}
	err = join();
	atomic_store(&outside, err ? OUTSIDE : INSIDE);
	return err;
}

int front_start(void)
{
	int expected = FRESH;
	int err;

	if (likely(atomic_load_explicit(&front_live, memory_order_acquire)))
		return unlikely(atomic_load_explicit(&outside, memory_order_acquire) != INSIDE)
			       ? join_as_child()
			       : 0;
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

void front_started_child(bool live)
{
	if (live)
		atomic_store(&outside, OUTSIDE);
	else if (atomic_load(&state) != FAILED)
		atomic_store(&state, FRESH);
}
