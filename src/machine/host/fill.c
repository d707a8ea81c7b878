/*
 * fill.c - contents of maps in place: making pages of a file, and private copies.
 *
 * A page of a file is made by pwrite, which shows it to nobody before it is complete; where that
 * cannot be, through the alias, and so are 2 MiB that can be one page of the host. A private copy
 * is made through /proc/self/mem, which writes where the program itself may not; a huge one in a
 * mapping that is put in place then. It is mostly the host that touches the file: that there is no
 * room, or no such page any more, is an error and not a SIGBUS.
 *
 * Everything happens with the file's group locked, a piece of at most 2 MiB at a time.
 */
#include "machine/host/internal.h"

/* From so many on pages are made in the alias first, and written then. */
#define POPULATE_PAGES 16

#define ZERO_PAGES 16

/* How many pages are read at a time to see whether they have contents. */
#define LOOK_PAGES 32

#define LARGE_SIZE (1ull << HUGE_SHIFT)

/* After a fill that got no large page, so many do without. */
#define LARGE_WAIT 64

static _Atomic uint32_t no_large;

static const char zeros[ZERO_PAGES * UF_PAGE_SIZE];

/* Descriptor of /proc/self/mem plus 1; 0: not opened yet; negative: of no use here. */
static _Atomic int memory;

/* Hosts may be told to refuse what is needed of it: try it. */
static int open_memory(void)
{
	long at = sys_mmap(0, UF_PAGE_SIZE, PROT_NONE, MAP_PRIVATE, host.frames_fd, 0);
	int fd = host_hide_fd(sys_open("/proc/self/mem", O_RDWR | O_CLOEXEC));
	bool works = false;

	if (sys_failed(at)) {
		host_close_hidden(fd);
		return -ENOMEM;
	}
	if (fd >= 0)
		works = sys_pwrite(fd, zeros, 1, (uint64_t)at) == 1;
	sys_munmap((uint64_t)at, UF_PAGE_SIZE);
	if (works)
		return fd;
	host_close_hidden(fd);
	return -EACCES;
}

int fill_memory_fd(void)
{
	int fd = atomic_load(&memory), none = 0;

	if (fd != 0)
		return fd < 0 ? fd : fd - 1;
	fd = open_memory();
	if (!atomic_compare_exchange_strong(&memory, &none, fd < 0 ? fd : fd + 1)) {
		host_close_hidden(fd);
		return fill_memory_fd();
	}
	return fd;
}

void fill_after_fork(void)
{
	atomic_store(&memory, 0);
}

/* ---- Large pages ---- */

/*
 * All the pages of 2 MiB that has none become one large page, which costs less than they do one by
 * one. addr: of a shared mapping. How many are there now: all, the first, or none. A host that has
 * no large page now is left alone with that for a while.
 */
static uint64_t make_one_page(uint64_t addr)
{
	uint32_t wait = atomic_load(&no_large);

	if (wait > 0) {
		atomic_compare_exchange_strong(&no_large, &wait, wait - 1);
		return 0;
	}
	if (sys_madvise(addr, UF_PAGE_SIZE, MADV_POPULATE_WRITE) != 0)
		return 0;
	if (sys_madvise(addr, LARGE_SIZE, MADV_COLLAPSE) == 0)
		return HUGE_PAGES;
	atomic_store(&no_large, LARGE_WAIT);
	return 1;
}

static bool may_be_large(const struct host_file *f)
{
	return f->shift == UF_PAGE_SHIFT && (f->kind == MACH_VMA_SHMEM || f->huge);
}

static uint64_t make_large(const struct mach_span *span, uint64_t page)
{
	uint64_t addr = span->map->alias + (page << UF_PAGE_SHIFT);

	if (!may_be_large(file_of(span->map)) || addr % LARGE_SIZE != 0)
		return 0;
	return make_one_page(addr);
}

/* The same where there is no alias, by one for a while. */
static uint64_t make_large_anyway(const struct host_file *f, uint64_t page)
{
	uint64_t made = 0;
	long room, at;

	if (!may_be_large(f) || f->fd < 0 || page % HUGE_PAGES != 0)
		return 0;
	room = sys_mmap(0, 2 * LARGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			-1, 0);
	if (sys_failed(room))
		return 0;
	at = sys_mmap(((uint64_t)room + LARGE_SIZE - 1) & ~(LARGE_SIZE - 1), LARGE_SIZE, PROT_NONE,
		      MAP_SHARED | MAP_FIXED | MAP_NORESERVE, f->fd, page << UF_PAGE_SHIFT);
	if (!sys_failed(at)) {
		sys_munlock((uint64_t)at, LARGE_SIZE);
		sys_madvise((uint64_t)at, LARGE_SIZE, MADV_DONTFORK);
		if (sys_mprotect((uint64_t)at, LARGE_SIZE, PROT_READ | PROT_WRITE) == 0)
			made = make_one_page((uint64_t)at);
	}
	sys_munmap((uint64_t)room, 2 * LARGE_SIZE);
	return made;
}

/* ---- Pages of the file, by pwrite ---- */

/*
 * The limit on file sizes counts for every write, and is a signal: every signal is blocked here, so
 * it is taken back before the program can see it.
 */
static void take_back_signal(void)
{
	const struct timespec now = {0, 0};
	uint64_t set = SIG_BIT(SIGXFSZ);
	siginfo_t info;

	sys_sigtimedwait(&set, &info, &now);
}

/* What is wrong with a write that cannot be done at all, here or now: -EOPNOTSUPP, another way. */
static long write_error(struct host_file *f, long err)
{
	switch (err) {
	case -EFBIG:
		take_back_signal();
		return -EOPNOTSUPP;
	case -EFAULT:
		return -EFAULT;
	case -ENOSPC:
	case -ENOMEM:
	case -EDQUOT:
		return -ENOMEM;
	default:
		/* Sealed, most likely, which is for good. */
		atomic_store(&f->makes_pages, false);
		return -EOPNOTSUPP;
	}
}

static uint64_t granule_of(const struct mach_map *map)
{
	return host_file_granule(file_of(map));
}

/*
 * Of the bytes written, the pages that are whole. In the one after them the source ended, or the
 * room: the host may have made it all the same, filled up with zeroes.
 */
static long keep_whole(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t bytes)
{
	uint64_t next = bytes >> UF_PAGE_SHIFT, whole = next - next % granule_of(span->map);
	uint64_t bits[1];

	if (next < n)
		host_file_look_pages(span, page + next, 1, bits);
	if (next < n && (bits[0] & 1))
		next++;
	if (whole < next)
		host_file_unmake(span->map, page + whole, next - whole);
	return whole ? (long)whole : -EFAULT;
}

static long write_pages(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src)
{
	struct host_file *f = file_of(span->map);
	long got = sys_pwrite(f->fd, (const void *)src, n << UF_PAGE_SHIFT,
			      (span->map->file_page + page) << UF_PAGE_SHIFT);

	if (got == (long)(n << UF_PAGE_SHIFT))
		return (long)n;
	if (got < 0) {
		got = write_error(f, got);
		if (got != -EFAULT)
			return got;
	}
	return keep_whole(span, page, n, got > 0 ? (uint64_t)got : 0);
}

static long write_zeros(const struct mach_span *span, uint64_t page, uint64_t n)
{
	struct host_file *f = file_of(span->map);
	struct iovec iov[HUGE_PAGES / ZERO_PAGES];
	uint64_t count = 0;
	long got;

	for (uint64_t left = n, k; left > 0; left -= k, count++) {
		k = left < ZERO_PAGES ? left : ZERO_PAGES;
		iov[count] = (struct iovec){(void *)zeros, k << UF_PAGE_SHIFT};
	}
	got = sys_pwritev(f->fd, iov, (int)count, (span->map->file_page + page) << UF_PAGE_SHIFT);
	return got < 0 ? write_error(f, got) : got >> UF_PAGE_SHIFT;
}

/* ---- Pages of the file, through the alias ---- */

/* The host makes the pages and says when it cannot. */
static int make_pages(const struct mach_span *span, uint64_t page, uint64_t n)
{
	const struct mach_map *map = span->map;
	int err = sys_madvise(map->alias + (page << UF_PAGE_SHIFT), n << UF_PAGE_SHIFT,
			      MADV_POPULATE_WRITE);

	if (err == 0)
		return 0;
	if (err == -EINVAL) /* before Linux 5.14 */
		return 0;
	return err == -ENOMEM || file_of(map)->fd >= 0 ? -ENOMEM : -EFAULT;
}

/* The same where all of the pages were made before. */
static long whole_pages(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t bytes)
{
	uint64_t whole = bytes >> UF_PAGE_SHIFT;

	whole -= whole % granule_of(span->map);
	if (whole < n)
		host_file_unmake(span->map, page + whole, n - whole);
	return whole ? (long)whole : -EFAULT;
}

static long copy_to_made(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src)
{
	uint64_t addr = span->map->alias + (page << UF_PAGE_SHIFT), len = n << UF_PAGE_SHIFT;
	int err = make_pages(span, page, n);

	if (err != 0) {
		host_file_unmake(span->map, page, n);
		return err;
	}
	return whole_pages(span, page, n,
			   len - cpu_copy_nofault((void *)addr, (const void *)src, len));
}

static long copy_by_host(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src)
{
	uint64_t addr = span->map->alias + (page << UF_PAGE_SHIFT), len = n << UF_PAGE_SHIFT;
	long got = sys_process_read(sys_getpid(), (void *)addr, (const void *)src, len);

	if (got == (long)len)
		return (long)n;
	if (got == -EPERM || got == -ENOSYS)
		return copy_to_made(span, page, n, src);
	if (got == -ENOMEM)
		return -ENOMEM;
	if (got <= 0) {
		/* Whose fault is it? */
		int err = make_pages(span, page, granule_of(span->map));

		if (err != 0)
			return err;
	}
	return whole_pages(span, page, n, got > 0 ? (uint64_t)got : 0);
}

/* Many pages go faster by a plain copy, which a source that is not there must not kill. */
static long copy_through_alias(const struct mach_span *span, uint64_t page, uint64_t n,
			       uint64_t src, bool readable)
{
	struct host_file *f = file_of(span->map);
	long done;

	if (n >= POPULATE_PAGES && readable)
		done = copy_to_made(span, page, n, src);
	else
		done = copy_by_host(span, page, n, src);
	if (done > 0 && f->shift > UF_PAGE_SHIFT)
		huge_note(f, span->map->file_page + page, (uint64_t)done, true);
	if (done > 0)
		made_forget(f, span->map->file_page + page, (uint64_t)done);
	return done;
}

/* ---- Shared ---- */

/* Has the host all these pages at hand? */
static bool all_mapped(uint64_t addr, uint64_t n)
{
	uint64_t bits[HUGE_PAGES / 64 + 1];

	pagemap_query(addr, n, PAGEMAP_HERE, bits);
	for (uint64_t i = 0; i < n; i++) {
		if (!(bits[i / 64] >> (i % 64) & 1))
			return false;
	}
	return true;
}

/*
 * The source is touched before the file is looked at: it may be another mapping of the very page,
 * which is then there. True: all of it can be read.
 */
static bool touch_source(uint64_t src, uint64_t n)
{
	uint64_t first = src & UF_PAGE_MASK;
	uint64_t end = (src + (n << UF_PAGE_SHIFT) + UF_PAGE_SIZE - 1) & UF_PAGE_MASK;
	int err = -EINVAL;

	if (n >= POPULATE_PAGES && all_mapped(first, (end - first) >> UF_PAGE_SHIFT))
		return true;
	if (n >= POPULATE_PAGES)
		err = sys_madvise(first, end - first, MADV_POPULATE_READ);
	/* Before Linux 5.14, or memory of devices, or not all of it. */
	for (uint64_t i = 0; err != 0 && i < n; i++)
		if (!sys_readable((const void *)(src + (i << UF_PAGE_SHIFT))))
			return false;
	return err == 0;
}

/*
 * May the first pages be written with pwrite? Then *n are all of those. The page that the file ends
 * in may not: the file would grow.
 */
static bool whole_by_write(const struct host_file *f, uint64_t room, bool part, uint64_t *n)
{
	bool ends = part && *n == room;

	if (!atomic_load(&f->makes_pages) || (ends && *n == 1))
		return false;
	*n -= ends;
	return true;
}

/* Locked. The caller saw no page there; but another mapping may have made one since. */
static long copy_shared(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src)
{
	struct host_file *f = file_of(span->map);
	bool part, by_write, readable;
	uint64_t room = host_file_room(f, span->map->file_page + page, &part), made = 0;
	long done = -EOPNOTSUPP;

	n = room < n ? room : n;
	if (n == 0)
		return -EFAULT;
	by_write = whole_by_write(f, room, part, &n);
	readable = touch_source(src, n);
	n = host_file_run(span, page, n, false);
	if (n == 0)
		return -EEXIST;
	if (n == HUGE_PAGES && readable)
		made = make_large(span, page);
	if (by_write && made < n)
		done = write_pages(span, page, n, src);
	if (done == -EOPNOTSUPP)
		done = copy_through_alias(span, page, n, src, readable);
	if (done < 0 && made > 0)
		host_file_unmake(span->map, page, made);
	return done;
}

/* Locked. How many were zeroed, all that there were none of; or a negative errno. */
static long zero_shared(const struct mach_span *span, uint64_t page, uint64_t n)
{
	struct host_file *f = file_of(span->map);
	uint64_t whole = n;
	bool part;
	uint64_t room = host_file_room(f, span->map->file_page + page, &part);
	long done = -EOPNOTSUPP;
	int err;

	if (n == HUGE_PAGES && make_large(span, page) == n) {
		made_forget(f, span->map->file_page + page, n);
		return (long)n;
	}
	if (whole_by_write(f, room, part, &whole))
		done = write_zeros(span, page, whole);
	if (done != -EOPNOTSUPP && done != (long)whole)
		return done < 0 ? done : -ENOMEM;
	if (done == (long)n)
		return done;
	err = make_pages(span, page, n);
	if (err == 0 && f->shift > UF_PAGE_SHIFT)
		huge_note(f, span->map->file_page + page, n, true);
	if (err == 0)
		made_forget(f, span->map->file_page + page, n);
	return err ? err : (long)n;
}

/* Locked. What turned up meanwhile stays as it is, and so does what was zeroed before an error. */
static int zero_group(const struct mach_span *span, uint64_t page, uint64_t n)
{
	for (uint64_t done = 0, run; done < n; done += run) {
		long got;

		run = host_file_run(span, page + done, n - done, true);
		if (run > 0)
			continue;
		run = host_file_run(span, page + done, n - done, false);
		got = zero_shared(span, page + done, run);
		if (got != (long)run) {
			host_file_unmake(span->map, page + done, run);
			return got < 0 ? (int)got : -ENOMEM;
		}
	}
	return 0;
}

/* ---- Private ---- */

static bool was_hole(const uint64_t *before, uint64_t i)
{
	return !(before[i / 64] >> (i % 64) & 1);
}

static bool all_zero(const uint64_t *words)
{
	uint64_t any = 0;

	for (size_t i = 0; i < UF_PAGE_SIZE / 8; i++)
		any |= words[i];
	return any == 0;
}

static bool all_holes(const uint64_t *before)
{
	uint64_t any = 0;

	for (unsigned i = 0; i < HUGE_PAGES / 64; i++)
		any |= before[i];
	return any == 0;
}

bool fill_still_zero(const struct host_file *f, uint64_t page)
{
	uint64_t words[UF_PAGE_SIZE / 8] = {0};

	return sys_pread(f->fd, words, sizeof(words), page << UF_PAGE_SHIFT) > 0 && all_zero(words);
}

/* Of n pages of the file, those with contents, or that cannot be read, are taken for no holes. */
static void leave_contents(const struct host_file *f, uint64_t page, uint64_t n, uint64_t *before)
{
	uint64_t own[UF_PAGE_SIZE / 8], chunk = n < POPULATE_PAGES ? 1 : LOOK_PAGES, run;
	char *buf = (char *)own;
	long at = -EINVAL, got;

	if (chunk > 1)
		at = sys_mmap(0, chunk << UF_PAGE_SHIFT, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_failed(at))
		chunk = 1;
	else
		buf = (char *)at;
	for (uint64_t i = 0; i < n; i += run) {
		run = n - i < chunk ? n - i : chunk;
		got = sys_pread(f->fd, buf, run << UF_PAGE_SHIFT, (page + i) << UF_PAGE_SHIFT);
		if (got >= 0)
			memset(buf + got, 0, (run << UF_PAGE_SHIFT) - (uint64_t)got);
		for (uint64_t p = 0; p < run; p++) {
			if (got <= (long)(p << UF_PAGE_SHIFT) ||
			    !all_zero((const uint64_t *)(buf + (p << UF_PAGE_SHIFT))))
				before[(i + p) / 64] |= 1ull << ((i + p) % 64);
		}
	}
	if (!sys_failed(at))
		sys_munmap((uint64_t)at, chunk << UF_PAGE_SHIFT);
}

/*
 * To copy from a hole the host makes a page of the file first, which nobody asked for: it is taken
 * out again, or left out where that cannot be. Not if it has contents by now: somebody wrote to the
 * file at this very moment.
 */
static void restore_holes(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *before)
{
	struct host_file *f = file_of(span->map);
	uint64_t first = span->map->file_page + page;

	if (f->fd >= 0)
		leave_contents(f, first, n, before);
	for (uint64_t i = 0, run; i < n; i += run + 1) {
		for (run = 0; i + run < n && was_hole(before, i + run); run++)
			;
		if (run > 0 && host_file_unmake(span->map, page + i, run) != 0)
			made_note(f, first + i, run);
	}
}

static bool makes_holes_pages(const struct host_file *f)
{
	return f->shift == UF_PAGE_SHIFT && f->kind != MACH_VMA_FILE;
}

/* The host tells only of the first piece that it could not read; one by one shows which it is. */
static long write_private(uint64_t addr, uint64_t n, uint64_t src)
{
	int fd = fill_memory_fd();
	uint64_t done = 0;
	long got = sys_pwrite(fd, (const void *)src, n << UF_PAGE_SHIFT, addr);

	if (got == -EFAULT && n > 1) {
		do {
			got = sys_pwrite(fd, (const void *)(src + (done << UF_PAGE_SHIFT)),
					 UF_PAGE_SIZE, addr + (done << UF_PAGE_SHIFT));
			done += got == UF_PAGE_SIZE;
		} while (done < n && got == UF_PAGE_SIZE);
		if (done > 0)
			return (long)done;
	}
	if (got >= (long)UF_PAGE_SIZE)
		return got >> UF_PAGE_SHIFT;
	return got == -EFAULT ? -EFAULT : -ENOMEM;
}

long fill_write_private(uint64_t addr, uint64_t n, uint64_t src)
{
	return fill_memory_fd() < 0 ? -ENOMEM : write_private(addr, n, src);
}

long fill_zero_private(uint64_t addr, uint64_t n)
{
	uint64_t done = 0, run;

	for (; done < n; done += run) {
		run = n - done < ZERO_PAGES ? n - done : ZERO_PAGES;
		if (fill_write_private(addr + (done << UF_PAGE_SHIFT), run, (uint64_t)zeros) !=
		    (long)run)
			return -ENOMEM;
	}
	return (long)n;
}

/* Locked. zero: with zeroes, wherever src is. */
static long fill_private(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src,
			 bool zero)
{
	const struct host_file *f = file_of(span->map);
	uint64_t addr = span_addr(span, page), before[HUGE_PAGES / 64], done = 0, left, made = 0;
	bool part;
	uint64_t room = host_file_room(f, span->map->file_page + page, &part);
	long got = 0;

	n = room < n ? room : n;
	if (n == 0)
		return -EFAULT;
	if (f->shift == HUGE_SHIFT && n == HUGE_PAGES && (zero || touch_source(src, n)))
		got = huge_put(span, page, zero ? NULL : (const void *)src);
	if (got != 0)
		return got;
	if (makes_holes_pages(f))
		host_file_look_pages(span, page, n, before);
	if (n == HUGE_PAGES && makes_holes_pages(f) && all_holes(before))
		made = make_large_anyway(f, span->map->file_page + page);
	do {
		uint64_t run = !zero || n - done < ZERO_PAGES ? n - done : ZERO_PAGES;

		got = write_private(addr + (done << UF_PAGE_SHIFT), run,
				    zero ? (uint64_t)zeros : src);
		done += got > 0 ? (uint64_t)got : 0;
		if (got != (long)run)
			break;
	} while (done < n);
	if (makes_holes_pages(f))
		restore_holes(span, page, made > done ? made : done, before);
	left = done % granule_of(span->map);
	if (left != 0) {
		done -= left;
		sys_madvise(addr + (done << UF_PAGE_SHIFT), granule_of(span->map) << UF_PAGE_SHIFT,
			    MADV_DONTNEED);
	}
	return done ? (long)done : (got < 0 ? got : -EFAULT);
}

static bool bit_of(const uint64_t *bits, uint64_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

/* What the mapping shows of the file there becomes a copy, as if it had been written. */
static void make_copy(uint64_t addr)
{
	int fd = fill_memory_fd();
	char byte;

	if (sys_pread(fd, &byte, 1, addr) == 1)
		sys_pwrite(fd, &byte, 1, addr);
}

/* Locked. Pages without contents leave the file, but not the mapping. */
static void settle_group(const struct mach_span *span, uint64_t page)
{
	uint64_t here[HUGE_PAGES / 64] = {0}, own[HUGE_PAGES / 64] = {0}, run = 0;
	uint64_t cached[HUGE_PAGES / 64] = {0};
	const struct host_file *f = file_of(span->map);

	pagemap_query(span_addr(span, page), HUGE_PAGES, PAGEMAP_HERE, here);
	pagemap_query(span_addr(span, page), HUGE_PAGES, PAGEMAP_PRIVATE, own);
	host_file_look_pages(span, page, HUGE_PAGES, cached);
	for (uint64_t i = 0; i <= HUGE_PAGES; i++) {
		if (i < HUGE_PAGES && (bit_of(cached, i) || bit_of(own, i)) &&
		    fill_still_zero(f, span->map->file_page + page + i)) {
			if (bit_of(here, i) && !bit_of(own, i))
				make_copy(span_addr(span, page + i));
			run++;
		} else if (run > 0) {
			host_file_unmake(span->map, page + i - run, run);
			run = 0;
		}
	}
}

void fill_settle(const struct mach_span *span)
{
	const struct host_file *f = file_of(span->map);

	if (f->fd < 0)
		return;
	for (uint64_t page = 0; page + HUGE_PAGES <= span->npages; page += HUGE_PAGES) {
		host_file_lock(span->map, page);
		settle_group(span, page);
		host_file_unlock(span->map, page);
	}
}

/* ---- What mach_frames_* do ---- */

long fill_copy(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src)
{
	bool shared = span->map->kind == MACH_MAP_SHARED;
	uint64_t done = 0;
	long got = 0;

	while (done < n) {
		uint64_t run = host_file_group(span->map, page + done, n - done);
		uint64_t from = src + (done << UF_PAGE_SHIFT);

		host_file_lock(span->map, page + done);
		got = shared ? copy_shared(span, page + done, run, from)
			     : fill_private(span, page + done, run, from, false);
		host_file_unlock(span->map, page + done);
		if (got <= 0)
			break;
		done += (uint64_t)got;
	}
	return done ? (long)done : got;
}

int fill_zero(const struct mach_span *span, uint64_t page, uint64_t n)
{
	bool shared = span->map->kind == MACH_MAP_SHARED, part;

	if (host_file_room(file_of(span->map), span->map->file_page + page, &part) < n)
		return -EFAULT;
	for (uint64_t done = 0, run; done < n; done += run) {
		long got;

		run = host_file_group(span->map, page + done, n - done);
		host_file_lock(span->map, page + done);
		got = shared ? zero_group(span, page + done, run)
			     : fill_private(span, page + done, run, 0, true);
		host_file_unlock(span->map, page + done);
		if (got != (shared ? 0 : (long)run)) {
			if (!shared)
				fill_drop(span, page, done);
			return got < 0 ? (int)got : -ENOMEM;
		}
	}
	return 0;
}

void fill_drop(const struct mach_span *span, uint64_t page, uint64_t n)
{
	if (span->map->kind == MACH_MAP_PRIVATE && span->addr != 0)
		sys_madvise(span_addr(span, page), n << UF_PAGE_SHIFT, MADV_DONTNEED);
}

void fill_take(const struct mach_span *span, uint64_t page, uint64_t n)
{
	if (n == 0)
		return;
	if (span->map->kind == MACH_MAP_PRIVATE)
		fill_drop(span, page, n);
	else
		host_file_unmake(span->map, page, n);
}

static int read_private(const struct mach_span *span, uint64_t page, void *buf)
{
	uint64_t bits[1] = {0};

	if (span->addr == 0)
		return -EFAULT;
	pagemap_query(span_addr(span, page), 1, PAGEMAP_HERE, bits);
	if (bits[0] == 0)
		host_file_look(span, page, 1, bits);
	if (!(bits[0] & 1))
		return -EFAULT;
	return sys_pread(fill_memory_fd(), buf, UF_PAGE_SIZE, span_addr(span, page)) == UF_PAGE_SIZE
		       ? 0
		       : -EFAULT;
}

/* By the descriptor, which makes no page; or else through the alias. */
static int read_shared(const struct mach_span *span, uint64_t page, void *buf)
{
	const void *from = (const void *)(span->map->alias + (page << UF_PAGE_SHIFT));
	const struct host_file *f = file_of(span->map);
	long got = -EINVAL;

	if (host_file_run(span, page, 1, true) == 0)
		return -EFAULT;
	memset(buf, 0, UF_PAGE_SIZE);
	if (f->fd >= 0)
		got = sys_pread(f->fd, buf, UF_PAGE_SIZE,
				(span->map->file_page + page) << UF_PAGE_SHIFT);
	if (got > 0)
		return 0;
	got = sys_process_read(sys_getpid(), buf, from, UF_PAGE_SIZE);
	if (got == -EPERM || got == -ENOSYS)
		return cpu_copy_nofault(buf, from, UF_PAGE_SIZE) ? -EFAULT : 0;
	return got == (long)UF_PAGE_SIZE ? 0 : -EFAULT;
}

int fill_read(const struct mach_span *span, uint64_t page, void *buf)
{
	int err;

	host_file_lock(span->map, page);
	err = span->map->kind == MACH_MAP_SHARED ? read_shared(span, page, buf)
						 : read_private(span, page, buf);
	host_file_unlock(span->map, page);
	return err;
}
