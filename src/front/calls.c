/*
 * calls.c - system calls whose arguments may point into managed memory: the two general ways.
 */
#include "front/calls.h"

#include <limits.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK (64 * UF_PAGE_SIZE) /* looked at together */
#define SMALL 768		  /* of answers on the stack */

bool calls_managed(uint64_t addr, uint64_t len)
{
	struct mach_entry entry;
	bool yes;

	if (!mem_near_managed((const void *)addr, len))
		return false;
	mach_enter(&entry);
	yes = mm_managed(mm_space_self, addr, len);
	mach_leave(&entry);
	return yes;
}

/* ---- What is in the way ------------------------------------------------------------------------
 * Between mach_enter and mach_leave.
 */

static enum calls_found ask(const struct mach_entry *entry, uint64_t addr, bool write)
{
	switch ((enum mm_outcome)host_access(entry, addr, write)) {
	case MM_RETRY:
	case MM_INTERRUPTED:
		return CALLS_MADE;
	case MM_UNMANAGED:
		return CALLS_READY;
	case MM_SIGSEGV:
	case MM_SIGBUS:
		break;
	}
	return CALLS_BAD;
}

static enum calls_found make_managed(const struct mach_entry *entry, uint64_t start, uint64_t end,
				     bool write)
{
	enum calls_found found = CALLS_READY;
	uint64_t at, stop, page;

	for (at = start; at < end; at = stop) {
		stop = (at & ~(CHUNK - 1)) + CHUNK;
		stop = stop < end ? stop : end;
		if (mm_make_ready(mm_space_self, at, stop - at, write))
			continue;
		for (page = at; page < stop && found == CALLS_READY;
		     page = (page & UF_PAGE_MASK) + UF_PAGE_SIZE)
			if (!mm_make_ready(mm_space_self, page, 1, write))
				found = ask(entry, page, write);
		if (found != CALLS_READY)
			return found;
	}
	return found;
}

static bool readable(uint64_t addr)
{
	char byte;

	return cpu_copy_nofault(&byte, (const void *)addr, 1) == 0;
}

static enum calls_found make(const struct mach_entry *entry, uint64_t addr, uint64_t len,
			     bool write)
{
	enum calls_found found = CALLS_READY;
	uint64_t at = addr, end = addr + len, next;

	for (; at < end && found == CALLS_READY; at = next) {
		if (mm_piece(mm_space_self, at, end, &next))
			found = make_managed(entry, at, next, write);
		else if (!readable(at) || !readable(next - 1))
			found = CALLS_BAD;
	}
	return found;
}

static bool in_bounds(uint64_t addr, uint64_t len)
{
	return addr < mach_task_size() && len <= mach_task_size() - addr;
}

enum calls_found calls_make(uint64_t addr, uint64_t len, bool write)
{
	struct mach_entry entry;
	enum calls_found found;

	if (len == 0)
		return CALLS_READY;
	if (!in_bounds(addr, len))
		return CALLS_BAD;
	mach_enter(&entry);
	found = make(&entry, addr, len, write);
	mach_leave(&entry);
	return found;
}

/* Memory that is surely not managed: nobody is to be asked, and no lock is met. */
static int copy_far(uint64_t addr, void *ours, size_t len, bool write)
{
	void *theirs = (void *)addr;

	return cpu_copy_nofault(write ? theirs : ours, write ? ours : theirs, len) ? -EFAULT : 0;
}

/* Waits are over when the copy begins, but for what happens in between. */
static int copy(uint64_t addr, void *ours, size_t len, bool write)
{
	enum calls_found found;
	struct mach_entry entry;
	int err = 0;

	if (len == 0)
		return 0;
	if (!in_bounds(addr, len))
		return -EFAULT;
	if (!mem_near_managed((void *)addr, len))
		return copy_far(addr, ours, len, write);
	do {
		mach_enter(&entry);
		found = make(&entry, addr, len, write);
		if (found == CALLS_READY)
			err = write ? mach_copy_out(addr, ours, len)
				    : mach_copy_in(ours, addr, len);
		mach_leave(&entry);
	} while (found == CALLS_MADE);
	return found == CALLS_BAD ? -EFAULT : err;
}

int calls_copy_in(void *dst, uint64_t src, size_t len)
{
	return copy(src, dst, len, false);
}

int calls_copy_out(uint64_t dst, const void *src, size_t len)
{
	return copy(dst, (void *)src, len, true);
}

enum calls_found calls_make_iov(const struct iovec *iov, size_t n, bool write)
{
	enum calls_found found = CALLS_READY;

	for (size_t i = 0; i < n && found == CALLS_READY; i++)
		found = calls_make((uintptr_t)iov[i].iov_base, iov[i].iov_len, write);
	return found;
}

/* The bytes of the string on one page: 0 when it goes on behind them. */
static bool ends_in(uint64_t addr, size_t len)
{
	struct mach_entry entry;
	char part[256];
	size_t n;
	bool ends = false;

	mach_enter(&entry);
	for (; len > 0 && !ends; addr += n, len -= n) {
		n = len < sizeof(part) ? len : sizeof(part);
		ends = cpu_copy_nofault(part, (const void *)addr, n) != 0 || memchr(part, 0, n);
	}
	mach_leave(&entry);
	return ends;
}

enum calls_found calls_make_string(uint64_t addr)
{
	enum calls_found found = CALLS_READY;
	uint64_t at = addr, next;

	for (; found == CALLS_READY; at = next) {
		next = (at & UF_PAGE_MASK) + UF_PAGE_SIZE;
		found = calls_make(at, 1, false);
		if (found == CALLS_READY && ends_in(at, next - at))
			break;
	}
	return found;
}

static enum calls_found make_strings(uint64_t addr)
{
	enum calls_found found = CALLS_READY;
	struct mach_entry entry;
	uint64_t string;
	bool there;

	for (; found == CALLS_READY; addr += sizeof(string)) {
		found = calls_make(addr, sizeof(string), false);
		if (found != CALLS_READY)
			break;
		mach_enter(&entry);
		there = cpu_copy_nofault(&string, (const void *)addr, sizeof(string)) == 0;
		mach_leave(&entry);
		if (!there || !string)
			break;
		found = calls_make_string(string);
	}
	return found;
}

/* Bytes of one argument; 0: it points to nothing. */
static uint64_t extent(const struct calls_arg *arg, const long a[6], long value)
{
	uint32_t length;

	if (!value)
		return 0;
	switch ((enum calls_kind)arg->kind) {
	case CALLS_FIXED:
		return arg->unit;
	case CALLS_COUNT:
	case CALLS_RESULT:
		if ((uint64_t)a[arg->index] > INT_MAX)
			return arg->unit == 1 ? mach_task_size() - (uint64_t)value : 0;
		return (uint64_t)a[arg->index] * arg->unit;
	case CALLS_LENGTH:
		if (!a[arg->index] ||
		    calls_copy_in(&length, (uint64_t)a[arg->index], sizeof(length)) != 0)
			return 0;
		return length <= INT_MAX ? length : 0;
	case CALLS_NONE:
	case CALLS_STRING:
	case CALLS_STRINGS:
		break;
	}
	return 0;
}

static enum calls_found make_arg(const struct calls_arg *arg, const long a[6], long value,
				 bool write)
{
	if (!value)
		return CALLS_READY;
	if (arg->kind == CALLS_STRING)
		return calls_make_string((uint64_t)value);
	if (arg->kind == CALLS_STRINGS)
		return make_strings((uint64_t)value);
	return calls_make((uint64_t)value, extent(arg, a, value), write);
}

/* What it reads comes before what it writes. */
enum calls_found calls_make_row(const struct calls_row *row, const long a[6])
{
	enum calls_found found = CALLS_READY;
	unsigned i;

	for (i = 0; i < 6 && found == CALLS_READY; i++)
		if (row->arg[i].flags & CALLS_IN)
			found = make_arg(&row->arg[i], a, a[i], false);
	for (i = 0; i < 6 && found == CALLS_READY; i++)
		if (row->arg[i].flags & CALLS_OUT)
			found = make_arg(&row->arg[i], a, a[i], true);
	return found;
}

/* ---- Again -------------------------------------------------------------------------------------
 */

/* More pages than any call takes: it needs more at a time than memory is limited to. */
#define MOST_MADE 65536

long calls_again(const struct calls_row *row, long nr, const long a[6])
{
	unsigned tries = 0, made = 0;
	long ret;

	for (;;) {
		ret = gate_raw(nr, a);
		if (likely(ret != -EFAULT) || !front_managing())
			return ret;
		switch (calls_make_row(row, a)) {
		case CALLS_MADE:
			if (++made == MOST_MADE)
				return ret;
			tries = 0;
			break;
		case CALLS_READY:
			if (++tries == CALLS_TRIES)
				return ret;
			break;
		case CALLS_BAD:
			return ret;
		}
	}
}

/* ---- After -------------------------------------------------------------------------------------
 */

bool calls_room_get(struct calls_room *room, void *small, size_t small_size, size_t want)
{
	long map;

	room->at = small;
	room->size = small_size;
	room->mapped = NULL;
	if (want <= small_size)
		return true;
	map = SYS(SYS_mmap, 0, want, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if ((unsigned long)map >= -4095ul)
		return false;
	room->size = want;
	room->mapped = room->at = (void *)map;
	return true;
}

void calls_room_put(struct calls_room *room)
{
	if (room->mapped)
		SYS(SYS_munmap, room->mapped, room->size);
}

struct answer {
	uint64_t to;
	char *at;
	uint64_t size;
	const struct calls_arg *arg;
};

#define ROUND(n) (((n) + 15) & ~(uint64_t)15)

/* The arguments that need a buffer, and how much all of them take. */
static unsigned answers_find(const struct calls_row *row, const long a[6], struct answer out[6],
			     uint64_t *total)
{
	unsigned n = 0, i;
	uint64_t size;

	*total = 0;
	for (i = 0; i < 6; i++) {
		out[n] = (struct answer){.arg = &row->arg[i], .to = (uint64_t)a[i]};
		if (!(row->arg[i].flags & CALLS_OUT))
			continue;
		size = extent(&row->arg[i], a, a[i]);
		if (!size || size > mach_task_size() - out[n].to || !calls_managed(out[n].to, size))
			continue;
		out[n++].size = size;
		*total += ROUND(size);
	}
	return n;
}

/* Buffers for all of them, with what the kernel is to read there. */
static long answers_place(struct answer *out, unsigned n, char *room, const struct calls_row *row,
			  long b[6])
{
	for (unsigned i = 0; i < n; i++, out++) {
		out->at = room;
		room += ROUND(out->size);
		b[out->arg - row->arg] = (long)out->at;
		if (out->arg->flags & CALLS_REST)
			memset(out->at, 0xff, out->size);
		if ((out->arg->flags & CALLS_IN) && calls_copy_in(out->at, out->to, out->size) != 0)
			return -EFAULT;
	}
	return 0;
}

/* How much of it the kernel has written. */
static uint64_t answer_written(const struct answer *out, const long b[6], long ret)
{
	uint64_t n = out->size;
	uint32_t length;

	if (ret >= 0 ? out->arg->flags & CALLS_REST
		     : ret != -EINTR || !(out->arg->flags & (CALLS_EVEN | CALLS_REST)))
		return 0;
	if (out->arg->kind == CALLS_RESULT)
		n = (uint64_t)ret * out->arg->unit;
	else if (out->arg->kind == CALLS_LENGTH &&
		 calls_copy_in(&length, (uint64_t)b[out->arg->index], sizeof(length)) == 0)
		n = length;
	return n < out->size ? n : out->size;
}

/* An interrupted call may have left the rest alone: no rest is all ones. */
static bool untouched(const struct answer *out)
{
	if (!(out->arg->flags & CALLS_REST))
		return false;
	for (uint64_t i = 0; i < out->size; i++)
		if ((unsigned char)out->at[i] != 0xff)
			return false;
	return true;
}

long calls_after(const struct calls_row *row, long nr, const long a[6])
{
	char small[SMALL] __attribute__((aligned(16)));
	long b[6] = {a[0], a[1], a[2], a[3], a[4], a[5]}, ret;
	CALLS_ROOM room = {0};
	struct answer out[7];
	uint64_t total, written;
	unsigned n, i;

	n = answers_find(row, a, out, &total);
	if (n == 0)
		return calls_again(row, nr, a);
	if (!calls_room_get(&room, small, sizeof(small), total))
		return -ENOMEM;
	ret = answers_place(out, n, room.at, row, b);
	if (ret)
		return ret;
	ret = calls_again(row, nr, b);
	for (i = 0; i < n; i++) {
		written = answer_written(&out[i], b, ret);
		if (written && !untouched(&out[i]) &&
		    calls_copy_out(out[i].to, out[i].at, written) != 0)
			return -EFAULT;
	}
	return ret;
}

/* ---- The call ----------------------------------------------------------------------------------
 */

long calls_do(long nr, const long a[6])
{
	const struct calls_row *row = calls_row_of(nr);

	if (!row)
		return gate_raw(nr, a);
	switch ((enum calls_how)row->how) {
	case CALLS_PLAIN:
		break;
	case CALLS_AGAIN:
		return calls_again(row, nr, a);
	case CALLS_AFTER:
		return likely(!front_managing()) ? gate_raw(nr, a) : calls_after(row, nr, a);
	case CALLS_BY:
		return row->by(nr, a);
	}
	return gate_raw(nr, a);
}

long calls_point(long nr, const long a[6])
{
	return sys_errno(gate_with_points(gate_call, nr, a));
}
