/* host_swap.c - the swap store: contents, room, what it does when it has none, a child's store. */
#include "host_test.h"

#include <dirent.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "machine/host/swap.h"

static char dir[64];

/* ---- Compression of a kind: leading bytes that are alike ---------------------------------------
 */

static bool broken; /* nothing can be decompressed */

static bool codec_start(void *context)
{
	*(uint32_t *)context = 0xc0dec;
	return true;
}

static size_t codec_compress(void *context, void *dst, size_t cap, const void *page)
{
	const uint8_t *p = page;
	size_t alike = 1, len;

	CHECK(*(uint32_t *)context == 0xc0dec);
	while (alike < UF_PAGE_SIZE && p[alike] == p[0])
		alike++;
	len = 3 + UF_PAGE_SIZE - alike;
	if (len > cap)
		return 0;
	((uint8_t *)dst)[0] = p[0];
	((uint8_t *)dst)[1] = (uint8_t)alike;
	((uint8_t *)dst)[2] = (uint8_t)(alike >> 8);
	memcpy((uint8_t *)dst + 3, p + alike, len - 3);
	return len;
}

static bool codec_decompress(void *context, void *page, const void *src, size_t len)
{
	const uint8_t *s = src;
	size_t alike = (size_t)(s[1] | s[2] << 8);

	CHECK(*(uint32_t *)context == 0xc0dec);
	if (broken || alike + len - 3 != UF_PAGE_SIZE)
		return false;
	memset(page, s[0], alike);
	memcpy((uint8_t *)page + alike, s + 3, len - 3);
	return true;
}

static const struct host_swap_codec codec = {64, codec_start, codec_compress, codec_decompress};

/* ---- Pages -------------------------------------------------------------------------------------
 */

/* Byte i of a page. Pages differ in how many of their bytes are alike, from none to all. */
static uint8_t byte_of(uint64_t page, unsigned round, size_t i)
{
	if (i < page * 61 % 4200)
		return (uint8_t)(page + round);
	return (uint8_t)((page * 131 + i * 7 + (i >> 8) * 13 + round) | 1);
}

static void make(struct managed *m, uint64_t page, unsigned round)
{
	uint8_t buf[UF_PAGE_SIZE];

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = byte_of(page, round, i);
	CHECK(mach_frames_copy(&m->span, page, 1, (uint64_t)buf) == 1);
}

static void expect(struct managed *m, uint64_t page, unsigned round)
{
	uint8_t buf[UF_PAGE_SIZE];

	CHECK(mach_frames_read(&m->span, page, buf) == 0);
	for (size_t i = 0; i < sizeof(buf); i++)
		CHECK(buf[i] == byte_of(page, round, i));
}

static void out(struct managed *m, uint64_t page, uint64_t *slot)
{
	CHECK(mach_swap_out(&m->span, page, slot) == 0);
	CHECK(*slot >= MACH_SWAP_FIRST);
	mach_frames_give(&m->span, page, 1);
}

static void start(struct managed *m, uint64_t pages, const struct host_swap_config *config)
{
	const char *why;

	test_start();
	CHECK(host_swap_init(config, &why) == 0);
	test_manage(m, pages);
}

static struct host_swap_config in_file(void)
{
	return (struct host_swap_config){.path = dir};
}

static struct host_swap_config in_memory(void)
{
	return (struct host_swap_config){.codec = &codec};
}

/* The descriptor of the file that the store has in dir. */
static int store_fd(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	int found = -1;

	CHECK(d != NULL);
	while ((e = readdir(d)) != NULL) {
		char target[256] = "";

		if (readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1) > 0 &&
		    strncmp(target, dir, strlen(dir)) == 0)
			found = atoi(e->d_name);
	}
	closedir(d);
	CHECK(found >= 0);
	return found;
}

static uint64_t store_bytes(void)
{
	struct stat st;

	CHECK(fstat(store_fd(), &st) == 0);
	return (uint64_t)st.st_blocks * 512;
}

/* ---- Contents ----------------------------------------------------------------------------------
 */

#define MANY 1500

/* All leave, every third is thrown away, the others come back in another order, twice over. */
static void contents(const struct host_swap_config *config)
{
	static uint64_t slot[MANY];
	struct managed m;

	start(&m, MANY, config);
	for (unsigned round = 0; round < 2; round++) {
		for (uint64_t p = 0; p < MANY; p++) {
			make(&m, p, round);
			out(&m, p, &slot[p]);
		}
		CHECK(host_swap_used() > 0);
		for (uint64_t p = 0; p < MANY; p += 3)
			mach_swap_free(slot[p]);
		for (uint64_t i = 0; i < MANY; i++) {
			uint64_t p = i * 701 % MANY;

			if (p % 3 == 0)
				continue;
			CHECK(mach_swap_in(&m.span, p, slot[p]) == 0);
			expect(&m, p, round);
		}
		CHECK(host_swap_used() == 0);
	}
}

static void file_contents(void)
{
	struct host_swap_config config = in_file();

	contents(&config);
}

static void memory_contents(void)
{
	struct host_swap_config config = in_memory();

	contents(&config);
}

static void new_file(void)
{
	char path[80];
	struct host_swap_config config = {.path = path};
	const char *why = "";

	snprintf(path, sizeof(path), "%s/no/such", dir);
	CHECK(host_swap_init(&config, &why) == -ENOENT);
	CHECK(strstr(why, "not there") != NULL);
	/* What is there already is somebody's. */
	snprintf(path, sizeof(path), "%s/swap", dir);
	CHECK(close(open(path, O_CREAT | O_WRONLY, 0600)) == 0);
	CHECK(host_swap_init(&config, &why) == -EEXIST);
	CHECK(strstr(why, "there already") != NULL);
	CHECK(unlink(path) == 0);
	contents(&config);
	CHECK(access(path, F_OK) != 0);
}

static void zero_pages(void)
{
	struct host_swap_config config = in_file();
	struct managed m;
	uint64_t slot[64];
	uint8_t buf[UF_PAGE_SIZE];

	start(&m, 64, &config);
	for (uint64_t p = 0; p < 64; p++) {
		CHECK(mach_frames_zero(&m.span, p, 1) == 0);
		out(&m, p, &slot[p]);
	}
	CHECK(host_swap_used() == 0);
	for (uint64_t p = 0; p < 64; p++) {
		if (p % 2) {
			mach_swap_free(slot[p]);
			continue;
		}
		CHECK(mach_swap_in(&m.span, p, slot[p]) == 0);
		CHECK(mach_frames_read(&m.span, p, buf) == 0);
		for (size_t i = 0; i < sizeof(buf); i++)
			CHECK(buf[i] == 0);
	}
}

static void packed(void)
{
	struct host_swap_config config = in_memory();
	_Atomic uint64_t peak = 0;
	struct managed m;
	uint64_t slot[256];

	config.peak = &peak;
	start(&m, 256, &config);
	for (uint64_t p = 0; p < 256; p++) {
		test_fill(&m, p, 1, (char)(p | 1));
		out(&m, p, &slot[p]);
	}
	/* A byte and a length each; but there is a smallest size. */
	CHECK(host_swap_used() <= 256 * 128);
	CHECK(peak == host_swap_used());
	for (uint64_t p = 0; p < 256; p++)
		mach_swap_free(slot[p]);
	CHECK(host_swap_used() == 0 && peak > 0);
}

/* ---- Room --------------------------------------------------------------------------------------
 */

/* Pages leave until one cannot; it is as it was. Then one comes back, and another can leave. */
static uint64_t fill_up(struct managed *m, uint64_t pages, uint64_t *slot)
{
	uint64_t n = 0;
	int err = 0;

	for (uint64_t p = 0; p < pages; p++)
		make(m, p, 0);
	for (; n < pages; n++) {
		err = mach_swap_out(&m->span, n, &slot[n]);
		if (err)
			break;
		mach_frames_give(&m->span, n, 1);
	}
	CHECK(n > 0 && n < pages && err == -ENOSPC);
	expect(m, n, 0);
	CHECK(mach_swap_in(&m->span, 0, slot[0]) == 0);
	expect(m, 0, 0);
	out(m, 0, &slot[0]);
	for (uint64_t p = 0; p < n; p++) {
		CHECK(mach_swap_in(&m->span, p, slot[p]) == 0);
		expect(m, p, 0);
	}
	CHECK(host_swap_used() == 0);
	return n;
}

static void limited_size(void)
{
	struct host_swap_config config = in_file();
	static uint64_t slot[1024];
	struct managed m;

	config.size = 2 << 20;
	start(&m, 1024, &config);
	CHECK(fill_up(&m, 1024, slot) == 512);
}

static void limited_memory(void)
{
	struct host_swap_config config = in_memory();
	static uint64_t slot[1024];
	struct managed m;

	config.size = 1 << 20;
	start(&m, 1024, &config);
	/* There are as many sizes as there is room for slabs. */
	CHECK(fill_up(&m, 1024, slot) > 128);
}

static void full_disk(void)
{
	struct host_swap_config config = in_file();
	static uint64_t slot[1024];
	struct managed m;
	uint64_t n;

	if (!test_may_mount()) {
		printf("\tskipped: no file system can be mounted\n");
		return;
	}
	CHECK(mount("none", dir, "tmpfs", 0, "size=3M") == 0);
	start(&m, 1024, &config);
	n = fill_up(&m, 1024, slot);
	CHECK(n >= 512 && n <= 768);
}

/* Beyond the limit on the size of files a write would be a signal. */
static void file_size_limit(void)
{
	struct host_swap_config config = in_file();
	static uint64_t slot[1024];
	struct rlimit lim;
	struct managed m;

	start(&m, 1024, &config);
	CHECK(getrlimit(RLIMIT_FSIZE, &lim) == 0);
	lim.rlim_cur = 2 << 20;
	CHECK(setrlimit(RLIMIT_FSIZE, &lim) == 0);
	CHECK(fill_up(&m, 1024, slot) == 512);
}

static void gives_back(void)
{
	struct host_swap_config config = in_file();
	static uint64_t slot[4096];
	struct managed m;

	start(&m, 4096, &config);
	for (uint64_t p = 0; p < 4096; p++) {
		make(&m, p, 0);
		out(&m, p, &slot[p]);
	}
	CHECK(store_bytes() >= 16 << 20);
	for (uint64_t p = 0; p < 4096; p++)
		mach_swap_free(slot[p]);
	/* What is kept for what leaves next, and what the file system needs to know. */
	CHECK(store_bytes() <= 5 << 20);
}

/* ---- Trouble -----------------------------------------------------------------------------------
 */

static void unreadable(void)
{
	struct host_swap_config config = in_file();
	struct managed m;
	uint64_t slot;

	start(&m, 4, &config);
	make(&m, 1, 0);
	out(&m, 1, &slot);
	CHECK(ftruncate(store_fd(), 0) == 0);
	CHECK(mach_swap_in(&m.span, 1, slot) == -EIO);
	/* The slot stays: the page can still be asked for, or thrown away. */
	CHECK(mach_swap_in(&m.span, 1, slot) == -EIO);
	mach_swap_free(slot);
	CHECK(host_swap_used() == 0);
	CHECK(mach_swap_in(&m.span, 1, slot) == -EIO);
}

static void undecipherable(void)
{
	struct host_swap_config config = in_memory();
	struct managed m;
	uint64_t slot;

	start(&m, 40, &config);
	make(&m, 30, 0);
	out(&m, 30, &slot);
	broken = true;
	CHECK(mach_swap_in(&m.span, 30, slot) == -EIO);
	broken = false;
	CHECK(mach_swap_in(&m.span, 30, slot) == 0);
	expect(&m, 30, 0);
}

static void no_store(void)
{
	struct host_swap_config config = {.none = true};
	struct managed m;
	uint64_t slot;

	start(&m, 4, &config);
	make(&m, 1, 0);
	CHECK(mach_swap_out(&m.span, 1, &slot) == -ENOSPC);
	expect(&m, 1, 0);
}

/* ---- Threads and children ----------------------------------------------------------------------
 */

#define THREADS 4
#define OF_EACH 200

static struct managed shared;

static void *work(void *arg)
{
	uint64_t first = (uint64_t)arg * OF_EACH, slot[OF_EACH];

	for (unsigned round = 0; round < 10; round++) {
		for (uint64_t i = 0; i < OF_EACH; i++) {
			make(&shared, first + i, round);
			out(&shared, first + i, &slot[i]);
		}
		for (uint64_t i = 0; i < OF_EACH; i++) {
			uint64_t k = i * 7 % OF_EACH;

			if (i % 5 == 0) {
				mach_swap_free(slot[k]);
				continue;
			}
			CHECK(mach_swap_in(&shared.span, first + k, slot[k]) == 0);
			expect(&shared, first + k, round);
		}
	}
	return NULL;
}

static void threads(const struct host_swap_config *config)
{
	pthread_t thread[THREADS];

	start(&shared, THREADS * OF_EACH, config);
	for (uint64_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&thread[i], NULL, work, (void *)i) == 0);
	for (uint64_t i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	CHECK(host_swap_used() == 0);
}

static void file_threads(void)
{
	struct host_swap_config config = in_file();

	threads(&config);
}

static void memory_threads(void)
{
	struct host_swap_config config = in_memory();

	threads(&config);
}

static void child(const struct host_swap_config *config)
{
	uint64_t slot[64], own;
	struct managed m, other;
	int status, hold[2];
	pid_t pid;
	char byte;

	start(&m, 64, config);
	for (uint64_t p = 0; p < 64; p++) {
		make(&m, p, 0);
		out(&m, p, &slot[p]);
	}
	CHECK(pipe(hold) == 0);
	mach_fork_begin();
	pid = fork();
	if (pid == 0) {
		mach_fork_child();
		close(hold[1]);
		test_manage(&other, 64);
		/* What it saves itself, while the parent gives back and saves. */
		for (uint64_t p = 0; p < 4; p++) {
			make(&other, p, 5);
			out(&other, p, &own);
			CHECK(mach_swap_in(&other.span, p, own) == 0);
			expect(&other, p, 5);
			out(&other, p, &own);
		}
		CHECK(read(hold[0], &byte, 1) == 0);
		for (uint64_t p = 0; p < 64; p++) {
			CHECK(mach_swap_in(&other.span, p, slot[p]) == 0);
			expect(&other, p, 0);
		}
		_exit(0);
	}
	mach_fork_parent();
	close(hold[0]);
	for (uint64_t p = 0; p < 32; p++) {
		CHECK(mach_swap_in(&m.span, p, slot[p]) == 0);
		expect(&m, p, 0);
		make(&m, p, 3);
		out(&m, p, &slot[p]);
	}
	close(hold[1]);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	for (uint64_t p = 0; p < 64; p++) {
		CHECK(mach_swap_in(&m.span, p, slot[p]) == 0);
		expect(&m, p, p < 32 ? 3 : 0);
	}
	CHECK(host_swap_used() == 0);
}

static void file_child(void)
{
	struct host_swap_config config = in_file();

	child(&config);
}

static void memory_child(void)
{
	struct host_swap_config config = in_memory();

	child(&config);
}

static const struct test tests[] = {
	{"file_contents", file_contents},
	{"memory_contents", memory_contents},
	{"new_file", new_file},
	{"zero_pages", zero_pages},
	{"packed", packed},
	{"limited_size", limited_size},
	{"limited_memory", limited_memory},
	{"full_disk", full_disk},
	{"file_size_limit", file_size_limit},
	{"gives_back", gives_back},
	{"unreadable", unreadable},
	{"undecipherable", undecipherable},
	{"no_store", no_store},
	{"file_threads", file_threads},
	{"memory_threads", memory_threads},
	{"file_child", file_child},
	{"memory_child", memory_child},
};

int main(int argc, char **argv)
{
	char command[80];
	int failed;

	strcpy(dir, "/var/tmp/host-swap-XXXXXX");
	CHECK(mkdtemp(dir) != NULL);
	failed = test_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) != 0 || failed;
}
