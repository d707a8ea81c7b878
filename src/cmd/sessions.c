/*
 * sessions.c - find the sessions of this machine and read their ledgers.
 */
#include "sessions.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char ledger_link[] = "/memfd:" SESSION_FILE_NAME " (deleted)";

/* One more element at the end of a list of n, zeroed; NULL: no memory. */
static void *append(void *list, size_t *n, size_t size)
{
	void **first = list;
	char *longer = realloc(*first, (*n + 1) * size);

	if (!longer)
		return NULL;
	*first = longer;
	return memset(longer + (*n)++ * size, 0, size);
}

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

/* ---- who has a ledger open ---------------------------------------------------------------------
 */

/* The last of the numbers of "NSpid:", what the process calls itself. */
static pid_t own_number(pid_t pid)
{
	char path[64], line[256], *last;
	pid_t number = pid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		return pid;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "NSpid:", 6) != 0)
			continue;
		last = strrchr(line, '\t');
		if (last)
			number = (pid_t)strtol(last, NULL, 10);
		break;
	}
	fclose(f);
	return number;
}

static uint64_t pid_namespace(pid_t pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	return stat(path, &st) == 0 ? st.st_ino : 0;
}

static struct session *session_of(struct sessions *all, const struct stat *file)
{
	struct session *s;

	for (size_t i = 0; i < all->n; i++) {
		s = &all->session[i];
		if (s->dev == file->st_dev && s->ino == file->st_ino)
			return s;
	}
	s = append(&all->session, &all->n, sizeof(*s));
	if (s) {
		s->dev = file->st_dev;
		s->ino = file->st_ino;
		s->user = file->st_uid;
	}
	return s;
}

static bool add_holder(struct sessions *all, const struct stat *file, pid_t pid, int fd)
{
	struct session *s = session_of(all, file);
	struct session_holder *h;

	if (!s)
		return false;
	if (s->nholders && s->holder[s->nholders - 1].pid == pid)
		return true;
	h = append(&s->holder, &s->nholders, sizeof(*h));
	if (!h)
		return false;
	*h = (struct session_holder){pid, pid_namespace(pid), own_number(pid), fd};
	return true;
}

/* False: no memory. A process that ends meanwhile, or is another user's, has nothing to show. */
static bool look_at_process(struct sessions *all, pid_t pid, bool mine)
{
	char path[64], link[sizeof(ledger_link) + 1];
	struct dirent *entry;
	struct stat st;
	bool room = true;
	ssize_t len;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	if (!d)
		return true;
	while (room && (entry = readdir(d))) {
		if (!is_number(entry->d_name))
			continue;
		len = readlinkat(dirfd(d), entry->d_name, link, sizeof(link));
		if (len != sizeof(ledger_link) - 1 || memcmp(link, ledger_link, len) != 0 ||
		    fstatat(dirfd(d), entry->d_name, &st, 0) != 0 || !S_ISREG(st.st_mode) ||
		    (mine && st.st_uid != geteuid()))
			continue;
		room = add_holder(all, &st, pid, atoi(entry->d_name));
	}
	closedir(d);
	return room;
}

static bool look_at_all(struct sessions *all, bool mine)
{
	DIR *d = opendir("/proc");
	struct dirent *entry;
	bool room = true;

	if (!d)
		return false;
	while (room && (entry = readdir(d)))
		if (is_number(entry->d_name))
			room = look_at_process(all, (pid_t)atol(entry->d_name), mine);
	closedir(d);
	return room;
}

/* ---- what is in it -----------------------------------------------------------------------------
 */

/* Text that somebody else wrote: up to its 0 or its end, and fit for a terminal. */
static void take_text(char *to, const char *from, size_t size)
{
	size_t i;

	for (i = 0; i < size - 1 && from[i]; i++)
		to[i] = (char)(isprint((unsigned char)from[i]) ? from[i] : '?');
	to[i] = 0;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool lives(int fd, uint32_t slot)
{
	struct flock lock = {.l_type = F_WRLCK, .l_start = slot, .l_len = 1};

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static void take_threads(struct session_process *p, const struct session_slot *slot)
{
	uint64_t then = now();

	p->waiting = slot->waiting;
	for (unsigned i = 0; i < SESSION_WAITERS; i++) {
		const struct session_waiter *w = &slot->waiter[i];

		if (w->tid)
			p->thread[p->nthreads++] = (struct session_thread){
				.tid = w->tid,
				.event = w->event,
				.addr = w->addr,
				.age = w->since < then ? then - w->since : 0,
			};
	}
	if (p->waiting < p->nthreads)
		p->waiting = p->nthreads;
}

/* What that process is called here. */
static void take_pid(struct session_process *p, const struct session *s,
		     const struct session_slot *slot)
{
	p->pid = (pid_t)slot->pid;
	for (size_t i = 0; i < s->nholders; i++) {
		const struct session_holder *h = &s->holder[i];

		if (h->pid_ns == slot->pid_ns && h->pid_there == (pid_t)slot->pid) {
			p->pid = h->pid;
			return;
		}
	}
	p->elsewhere = slot->pid_ns != pid_namespace(getpid());
}

static bool take_slot(struct session *s, uint32_t number, const struct session_slot *slot)
{
	static const enum mm_stat kinds[] = {MM_STAT_MISSING, MM_STAT_WP, MM_STAT_MINOR,
					     MM_STAT_RWP};
	struct session_process *p = append(&s->process, &s->nprocesses, sizeof(*p));

	if (!p)
		return false;
	p->slot = number;
	take_pid(p, s, slot);
	take_text(p->command, slot->comm, sizeof(p->command));
	take_text(p->trap, slot->trap, sizeof(p->trap));
	p->roles = slot->roles;
	p->contexts = slot->contexts;
	p->ranges = slot->ranges;
	p->pages = slot->pages;
	p->requests = slot->requests;
	for (unsigned i = 0; i < 4; i++)
		p->faults[i] = slot->stats.count[kinds[i]];
	p->filled = slot->stats.count[MM_STAT_FILLED];
	p->out = slot->stats.count[MM_STAT_OUT];
	p->back = slot->stats.count[MM_STAT_BACK];
	for (unsigned i = 0; i < MM_LATENCY_BUCKETS; i++)
		p->latency[i] = slot->stats.latency[i];
	p->latency_max = slot->stats.latency_max;
	take_threads(p, slot);
	return true;
}

static bool take_slots(struct session *s, int fd, uint32_t high)
{
	struct session_slot *slot = aligned_alloc(4096, sizeof(*slot));
	bool room = slot;

	if (high > SESSION_SLOTS)
		high = SESSION_SLOTS;
	for (uint32_t i = 0; room && i < high; i++) {
		off_t at = (off_t)(SESSION_SLOTS_AT + i * sizeof(*slot));

		if (!lives(fd, i) || pread(fd, slot, sizeof(*slot), at) != sizeof(*slot) ||
		    slot->state != SLOT_LIVE)
			continue;
		room = take_slot(s, i, slot);
	}
	free(slot);
	return room;
}

static bool take(struct session *s)
{
	struct session_header h;
	struct stat st;
	bool room = true;
	int fd = session_open(s, O_RDONLY);

	s->check = SESSION_FOREIGN;
	if (fd < 0)
		return true;
	if (fstat(fd, &st) == 0 && pread(fd, &h, sizeof(h), 0) == sizeof(h))
		s->check = session_valid(&h, (uint64_t)st.st_size);
	if (s->check == SESSION_GOOD) {
		s->id = h.id;
		s->made = h.made;
		s->maker = h.maker;
		take_text(s->program, h.program, sizeof(s->program));
		room = take_slots(s, fd, h.high);
	}
	close(fd);
	return room;
}

int session_open(const struct session *s, int flags)
{
	char path[64];
	struct stat st;
	int fd, error = ESRCH;

	/* Any of them will do, and some may be gone by now. */
	for (size_t i = 0; i < s->nholders; i++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", s->holder[i].pid, s->holder[i].fd);
		fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);
		if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
			return fd;
		if (fd >= 0)
			close(fd);
		else if (errno != ENOENT)
			error = errno;
	}
	errno = error;
	return -1;
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

/* The oldest first, and those that say nothing of it last. */
static int by_age(const void *a, const void *b)
{
	const struct session *x = a, *y = b;
	uint64_t made_x = x->made ? x->made : UINT64_MAX, made_y = y->made ? y->made : UINT64_MAX;

	if (made_x != made_y)
		return made_x < made_y ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

bool sessions_find(struct sessions *all, bool mine)
{
	bool room;

	*all = (struct sessions){0};
	room = look_at_all(all, mine);
	for (size_t i = 0; room && i < all->n; i++)
		room = take(&all->session[i]);
	if (!room) {
		sessions_free(all);
		return false;
	}
	if (all->n)
		qsort(all->session, all->n, sizeof(*all->session), by_age);
	return true;
}

void sessions_free(struct sessions *all)
{
	for (size_t i = 0; i < all->n; i++) {
		free(all->session[i].holder);
		free(all->session[i].process);
	}
	free(all->session);
	*all = (struct sessions){0};
}

bool session_named(const struct session *s, const char *text)
{
	char name[17];

	snprintf(name, sizeof(name), "%016" PRIx64, s->id);
	return s->check == SESSION_GOOD && *text && strncmp(name, text, strlen(text)) == 0;
}
