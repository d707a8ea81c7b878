/* host_test.c - see host_test.h. */
#include "host_test.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define TIMEOUT 60

static struct mm_space space;
struct mm_space *mm_space_self = &space;
struct host_config test_config;

static enum mm_outcome no_area(const struct mm_access *access)
{
	(void)access;
	return MM_UNMANAGED;
}

enum mm_outcome (*test_fault)(const struct mm_access *access) = no_area;

enum mm_outcome mm_fault(struct mm_space *of, const struct mm_access *access)
{
	(void)of;
	return test_fault(access);
}

void test_start(void)
{
	const char *why;
	int err = host_init(&test_config, &why);

	if (err != 0)
		fprintf(stderr, "host_init: %d: %s\n", err, why);
	CHECK(err == 0);
	arena_init();
}

static int run_one(const struct test *t)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(TIMEOUT);
		t->run();
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	fprintf(stderr, "%s: failed (wait status %#x)\n", t->name, (unsigned)status);
	return 1;
}

int test_main(int argc, char **argv, const struct test *tests, size_t n)
{
	struct host_probe probe;
	int failed = 0;

	host_probe(&probe);
	test_config.trap =
		argc > 1 && strcmp(argv[1], "mprotect") == 0 ? HOST_TRAP_MPROTECT : HOST_TRAP_GUARD;
	if (test_config.trap == HOST_TRAP_GUARD && !probe.guard_keeps_contents) {
		printf("no guard regions on shared memory here\n");
		return 77;
	}
	for (size_t i = 0; i < n; i++) {
		if (argc > 2 && strcmp(argv[2], tests[i].name) != 0)
			continue;
		printf("%s\n", tests[i].name);
		fflush(stdout);
		failed |= run_one(&tests[i]);
	}
	return failed;
}

static void tell(const char *path, const char *format, unsigned id)
{
	char line[32];
	int fd = open(path, O_WRONLY), len = snprintf(line, sizeof(line), format, id);

	CHECK(fd >= 0 && write(fd, line, (size_t)len) == len && close(fd) == 0);
}

bool test_may_mount(void)
{
	unsigned user = geteuid(), group = getegid();

	if (unshare(CLONE_NEWNS) != 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
			return false;
		/* Who has no name outside can make no file. */
		tell("/proc/self/uid_map", "0 %u 1", user);
		tell("/proc/self/setgroups", "deny", 0);
		tell("/proc/self/gid_map", "0 %u 1", group);
	}
	return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

char *test_map(uint64_t n)
{
	char *p = mmap(NULL, PAGES(n), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static __thread sigjmp_buf back;

static void caught(int sig)
{
	siglongjmp(back, sig);
}

int test_access(volatile char *p, bool write)
{
	static bool prepared;
	int sig;

	if (!prepared) {
		struct host_sigaction act = {(void *)caught, SA_NODEFER, 0};

		host_program_sigsegv(&act, NULL);
		signal(SIGBUS, caught);
		prepared = true;
	}
	sig = sigsetjmp(back, 1);
	if (sig != 0)
		return sig;
	if (write)
		*p = *p;
	else
		(void)*p;
	return 0;
}

void test_manage(struct managed *m, uint64_t n)
{
	m->p = test_map(n);
	CHECK(mach_map_adopt(&m->map, (uint64_t)m->p, n, RW) == 0);
	m->span = (struct mach_span){&m->map, (uint64_t)m->p, 0, n, RW};
}

void test_fill(struct managed *m, uint64_t page, uint64_t n, char value)
{
	char buf[UF_PAGE_SIZE];

	memset(buf, value, sizeof(buf));
	for (uint64_t i = 0; i < n; i++)
		CHECK(mach_frames_copy(&m->span, page + i, 1, (uint64_t)buf) == 1);
}

int test_open(struct managed *m, uint64_t page, uint64_t n, uint32_t prot)
{
	return mach_tlb_open(&m->span, page, n, prot);
}

void test_limit(struct managed *m, uint64_t page, uint64_t n, uint32_t prot)
{
	mach_tlb_limit(&m->span, page, n, prot);
}

unsigned test_mappings(uint64_t addr, uint64_t len)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	unsigned count = 0;
	char line[512];

	CHECK(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx", &start, &end) == 2 && start < addr + len && end > addr)
			count++;
	}
	fclose(f);
	return count;
}

int test_memory_file(unsigned flags, uint64_t len)
{
	int fd = memfd_create("host-test", MFD_CLOEXEC | flags);

	CHECK(fd >= 0 && ftruncate(fd, (off_t)len) == 0);
	return fd;
}

char *test_map_file(int fd, uint64_t len, int flags)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

void test_adopt(struct managed *m, char *p, uint64_t n)
{
	struct mach_vma vma;

	CHECK(mach_vma_next((uint64_t)p, &vma) == 0 && vma.start <= (uint64_t)p);
	CHECK(mach_map_adopt_file(&m->map, (uint64_t)p, n, &vma) == 0);
	m->p = p;
	m->span = (struct mach_span){&m->map, (uint64_t)p, 0, n, vma.prot};
}

void test_release(struct managed *m)
{
	CHECK(mach_munmap((uint64_t)m->p, PAGES(m->map.npages)) == 0);
	mach_map_destroy(&m->map);
}

bool test_file_has(struct managed *m, uint64_t page)
{
	uint64_t bits[8];

	CHECK(mach_file_lookup(&m->span, page, 1, bits) == 1);
	return bits[0] & 1;
}

long test_copy(struct managed *m, uint64_t page, uint64_t n, const void *src)
{
	struct mach_entry e;
	long got;

	mach_enter(&e);
	got = mach_frames_copy(&m->span, page, n, (uint64_t)src);
	mach_leave(&e);
	return got;
}

bool test_is_all(const char *p, char value, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++) {
		if (p[i] != value)
			return false;
	}
	return true;
}
