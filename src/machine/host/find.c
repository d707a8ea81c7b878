/*
 * find.c - a descriptor for what is mapped: one that the front noted, one that the program has
 * open, the mapping itself where that is allowed, the path.
 *
 * What is found is opened anew, so that the open file description is ours: its position and flags
 * may be changed. Where that is refused the program's is shared.
 */
#include "machine/host/internal.h"

#define NOTES_MAX 4096

/* In private memory: a forked child has the mappings that they are about. */
struct note {
	uint64_t dev, ino;
	int fd; /* hidden, or -1 */
	bool huge;
};

static struct mach_lock lock;
static struct note *notes;
static uint32_t note_count;

static struct note *note_find(uint64_t dev, uint64_t ino)
{
	for (uint32_t i = 0; i < note_count; i++) {
		if (notes[i].dev == dev && notes[i].ino == ino)
			return &notes[i];
	}
	return NULL;
}

/* Locked. NULL: no memory. */
static struct note *note_make(uint64_t dev, uint64_t ino)
{
	struct note *note = note_find(dev, ino);

	if (note)
		return note;
	if (!notes) {
		long at = host_map_private(NOTES_MAX * sizeof(*notes), PROT_READ | PROT_WRITE);

		if (sys_failed(at))
			return NULL;
		notes = (struct note *)at;
	}
	if (note_count == NOTES_MAX)
		return NULL;
	note = &notes[note_count++];
	*note = (struct note){.dev = dev, .ino = ino, .fd = -1};
	return note;
}

/* Locked. One that says nothing makes room. */
static void note_clean(struct note *note)
{
	if (note->fd < 0 && !note->huge)
		*note = notes[--note_count];
}

int host_note_huge(uint64_t dev, uint64_t ino)
{
	struct mach_entry e;
	struct note *note;

	mach_enter(&e);
	mach_lock(&lock);
	note = note_make(dev, ino);
	if (note)
		note->huge = true;
	mach_unlock(&lock);
	mach_leave(&e);
	return note ? 0 : -ENOMEM;
}

void host_forget_huge(uint64_t dev, uint64_t ino)
{
	struct mach_entry e;
	struct note *note;

	mach_enter(&e);
	mach_lock(&lock);
	note = note_find(dev, ino);
	if (note) {
		note->huge = false;
		note_clean(note);
	}
	mach_unlock(&lock);
	mach_leave(&e);
}

static int note_file(const struct stat *st, int fd)
{
	struct note *note;
	struct mach_entry e;
	int old = -1, err = 0;

	mach_enter(&e);
	mach_lock(&lock);
	note = note_make(st->st_dev, st->st_ino);
	if (note) {
		old = note->fd;
		note->fd = fd;
	} else {
		err = -ENOMEM;
	}
	mach_unlock(&lock);
	host_close_hidden(err ? fd : old);
	mach_leave(&e);
	return err;
}

int host_note_file(int fd)
{
	struct stat st;
	int err = sys_fstat(fd, &st), hidden;

	if (err != 0)
		return err;
	hidden = host_hide_dup(fd);
	host_keep_hidden(hidden);
	return hidden < 0 ? hidden : note_file(&st, hidden);
}

void host_forget_file(uint64_t dev, uint64_t ino)
{
	struct mach_entry e;
	struct note *note;
	int fd = -1;

	mach_enter(&e);
	mach_lock(&lock);
	note = note_find(dev, ino);
	if (note) {
		fd = note->fd;
		note->fd = -1;
		note_clean(note);
	}
	mach_unlock(&lock);
	host_close_hidden(fd);
	mach_leave(&e);
}

bool note_is_huge(uint64_t dev, uint64_t ino)
{
	struct note *note;
	bool huge;

	if (!notes)
		return false;
	mach_lock(&lock);
	note = note_find(dev, ino);
	huge = note && note->huge;
	mach_unlock(&lock);
	return huge;
}

void notes_after_fork(void)
{
	atomic_store(&lock.word, 0);
}

/* ---- Is it the one? ---- */

struct search {
	const struct mach_vma *vma;
	bool write;
	bool ours;
};

/* Some file systems show one device to stat(2) and another in the list of mappings: map it. */
static bool maps_as(int fd, const struct mach_vma *vma)
{
	long at = sys_mmap(0, UF_PAGE_SIZE, PROT_NONE, MAP_PRIVATE, fd, 0);
	struct mach_vma found = {0};
	struct vma_raw raw;
	bool same;

	if (sys_failed(at))
		return false;
	same = vma_raw_next((uint64_t)at, &found, &raw) == 0 && raw.inode == vma->ino &&
	       vma_device(&raw) == vma->dev;
	sys_munmap((uint64_t)at, UF_PAGE_SIZE);
	return same;
}

static bool same_file(int fd, const struct mach_vma *vma)
{
	struct stat st;

	if (sys_fstat(fd, &st) != 0 || st.st_ino != vma->ino)
		return false;
	return st.st_dev == vma->dev || (vma->kind == MACH_VMA_FILE && maps_as(fd, vma));
}

/* ---- Opening it ---- */

static int open_either(const char *path, struct search *s)
{
	int fd = -EACCES;

	if (s->write)
		fd = sys_open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		fd = sys_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	s->ours = fd >= 0;
	return host_hide_fd(fd);
}

static bool writable(int fd)
{
	return (sys_fcntl(fd, F_GETFL, 0) & O_ACCMODE) == O_RDWR;
}

/* Another open file description of what fd is; or fd itself once more. */
static int reopen(int fd, struct search *s)
{
	char path[32] = "/proc/self/fd/";
	size_t at = 14;
	int anew;

	host_put_number(path, &at, (uint64_t)fd);
	path[at] = 0;
	anew = open_either(path, s);
	if (anew >= 0 && (!s->write || writable(anew) || !writable(fd)))
		return anew;
	host_close_hidden(anew);
	s->ours = false;
	return host_hide_dup(fd);
}

static int from_note(struct search *s)
{
	struct note *note;
	int fd = -ENOENT;

	mach_lock(&lock);
	note = notes ? note_find(s->vma->dev, s->vma->ino) : NULL;
	if (note && note->fd >= 0)
		fd = reopen(note->fd, s);
	mach_unlock(&lock);
	return fd;
}

struct dirent_head {
	uint64_t ino, off;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* The best in one bufferful of names: one that can write is as good as any. */
static int pick(const char *buf, long len, struct search *s)
{
	int best = -1;

	for (long at = 0; at < len;) {
		const struct dirent_head *d = (const void *)(buf + at);
		const char *p = d->name;
		int fd = (int)host_parse_number(&p);

		at += d->len;
		if (p == d->name || host_owns_fd(fd) || !same_file(fd, s->vma))
			continue;
		if (best < 0 || writable(fd))
			best = fd;
		if (!s->write || writable(fd))
			break;
	}
	return best;
}

static int from_open_files(struct search *s)
{
	int dir = sys_open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -ENOENT;
	_Alignas(8) char buf[2048];
	long got;

	if (dir < 0)
		return dir;
	while (fd < 0 && (got = sys_getdents(dir, buf, sizeof(buf))) > 0) {
		int found = pick(buf, got, s);

		if (found >= 0)
			fd = reopen(found, s);
	}
	sys_close(dir);
	return fd;
}

static int from_mapping(const struct mach_vma *whole, struct search *s)
{
	char path[64] = "/proc/self/map_files/";
	size_t at = 21;

	host_put_hex(path, &at, whole->start);
	path[at++] = '-';
	host_put_hex(path, &at, whole->end);
	path[at] = 0;
	return open_either(path, s);
}

static int from_path(const struct vma_raw *raw, struct search *s)
{
	int fd;

	if (raw->name[0] != '/' || s->vma->kind != MACH_VMA_FILE)
		return -ENOENT;
	fd = open_either(raw->name, s);
	if (fd >= 0 && !same_file(fd, s->vma)) {
		host_close_hidden(fd);
		return -ENOENT;
	}
	return fd;
}

int find_descriptor(uint64_t addr, const struct mach_vma *vma, bool write, bool *ours)
{
	struct search s = {.vma = vma, .write = write};
	struct mach_vma whole = {0};
	struct vma_raw raw;
	int fd;

	fd = from_note(&s);
	if (fd < 0)
		fd = from_open_files(&s);
	if (fd < 0 && vma_raw_next(addr, &whole, &raw) == 0) {
		fd = from_mapping(&whole, &s);
		if (fd < 0)
			fd = from_path(&raw, &s);
	}
	*ours = s.ours;
	return fd;
}
