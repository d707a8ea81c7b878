/*
 * hosted.c - the beginning of a static program: what its process needs, then the program.
 */
#include "front/hosted.h"
#include "front/preload.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>

#include "front/dispatch.h"

#define STATUS_UNABLE	  125
#define STATUS_CANNOT_RUN 126

bool hosted_active;
char hosted_path[PATH_MAX];

/* ---- the break ---------------------------------------------------------------------------------
 * The kernel's is behind our own data, and libc uses it. The program's is behind the program's.
 */

static struct mach_lock brk_lock;
static uint64_t brk_start, brk_now;

static uint64_t page_up(uint64_t x)
{
	return (x + UF_PAGE_SIZE - 1) & UF_PAGE_MASK;
}

static bool move_brk(uint64_t to)
{
	uint64_t have = page_up(brk_now), want = page_up(to);

	if (want > have)
		return mem_mmap(have, want - have, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
				0) == (long)have;
	return want == have || mem_munmap(want, have - want) == 0;
}

uint64_t hosted_brk(uint64_t to)
{
	uint64_t now;

	mach_lock(&brk_lock);
	if (to >= brk_start && to < CPU_TASK_SIZE - UF_PAGE_SIZE && move_brk(to))
		brk_now = to;
	now = brk_now;
	mach_unlock(&brk_lock);
	return now;
}

/* ---- starting ----------------------------------------------------------------------------------
 */

static int fail(int status, const char *name, const char *why)
{
	fprintf(stderr, "userfault: cannot run the static program '%s': %s\n", name, why);
	return status;
}

/* The program's libc has a use for it, and one thread has one. */
static void give_up_rseq(void)
{
	char *area = (char *)pthread_self() + __rseq_offset;
	unsigned size = __rseq_size > 32 ? __rseq_size : 32;

	if (__rseq_size && SYS(SYS_rseq, area, size, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) == 0)
		((volatile struct rseq *)area)->cpu_id = (uint32_t)RSEQ_CPU_ID_UNINITIALIZED;
}

static void take_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	prctl(PR_SET_NAME, slash ? slash + 1 : path);
}

static int open_program(const char *path)
{
	long fd = SYS(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && !realpath(path, hosted_path))
		strcpy(hosted_path, path);
	return (int)fd;
}

static struct hosted_thread *prepare(void)
{
	struct hosted_thread *t;

	hosted_cpu_init();
	real_init();
	mallopt(M_ARENA_MAX, 1);
	if (hosted_threads_init() < 0)
		return NULL;
	t = hosted_thread_new();
	if (!t || host_arm() < 0)
		return NULL;
	hosted_active = true;
	t->blocked = mask_inherited() ? HOSTED_SEGV : 0;
	hosted_signals_init(t);
	give_up_rseq();
	return t;
}

/* Become the static program that the environment names; argv is the kernel's own. */
EXPORT int uf_hosted_main(char **argv)
{
	const char *path = getenv(HOSTED_PROGRAM), *why = NULL;
	struct hosted_image image;
	struct hosted_thread *t;
	int fd, err;

	if (!path)
		return fail(STATUS_UNABLE, argv[0] ? argv[0] : "",
			    "'userfault run' starts them, not this");
	if (!dispatch_possible())
		return fail(STATUS_UNABLE, path,
			    "this host lacks Syscall User Dispatch (Linux 5.11)");
	fd = open_program(path);
	if (fd < 0)
		return fail(STATUS_CANNOT_RUN, path, strerror(-fd));
	err = hosted_load(fd, &image, &why);
	SYS(SYS_close, fd);
	if (err)
		return fail(STATUS_CANNOT_RUN, path, why);
	brk_start = brk_now = image.end;
	t = prepare();
	if (!t)
		return fail(STATUS_UNABLE, path, "the C library here cannot be shared with it");
	take_name(path);

	uint64_t words[hosted_stack_words(argv)] __attribute__((aligned(16)));

	hosted_stack(words, argv, &image, path);
	if (hosted_thread_arm(t) < 0)
		return fail(STATUS_UNABLE, path, "its system calls cannot be taken");
	hosted_set_fs(0);
	hosted_enter(image.entry, words);
}
