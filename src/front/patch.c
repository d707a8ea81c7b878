/*
 * patch.c - the places in the C library where it makes system calls, and what is put there.
 *
 * libc calls itself past the wrappers: malloc gives memory back, a thread's stack goes, stdio reads
 * into a buffer of the program's. So, with the first userfaultfd of a process, those places become
 * jumps. There are two ways, both of which leave the `syscall` instruction, or another, to be gone
 * back to:
 *
 *   mov $NR,%eax  ...  syscall           the mov, of 5 bytes, is the jump. What stood between the
 *                                        two is done in the slot. Who jumps behind the mov still
 *                                        finds everything there.
 *   syscall  cmp $-4096,%rax             the jump is over both. Only if nothing jumps between.
 *
 * A slot of gate_entry.S does what was displaced and goes on to gate_entry. The text is replaced as
 * a whole: a private mapping of the same file is changed, made executable, and moved over the old
 * one, so that no thread sees half a jump, and nothing is ever writable and executable.
 */
#include "front/patch.h"

#include <cpuid.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "front/dispatch.h"
#include "front/gate.h"
#include "front/gate_quick.h"
#include "front/preload.h"

#define MAX_TEXTS  8
#define MAX_SITES  640
#define SLOT_SIZE  64
#define SLOT_WORD  56 /* where its last word is */
#define CALL_BYTES 2
#define JUMP_BYTES 5

extern uint8_t gate_slots[] __attribute__((visibility("hidden")));
extern uint8_t gate_slots_end[] __attribute__((visibility("hidden")));
void gate_entry(void) __attribute__((visibility("hidden")));
/* The parts of the vector registers to be saved, and the bytes that they take; 0: plain xmm. */
uint32_t gate_vectors[2] __attribute__((visibility("hidden")));

/* A mapping of code with system calls in it. */
struct text {
	uint64_t start, end, offset;
	uint64_t dev, ino;
	char path[256];
	unsigned first, sites; /* in the list of sites */
};

struct site {
	uint64_t at;   /* where the jump is to be */
	uint64_t call; /* the system call */
	uint8_t tail;  /* instead: bytes of the instruction behind it, which the jump is over */
};

/* Used once, by the thread that starts this process. */
static struct text texts[MAX_TEXTS];
static struct site sites[MAX_SITES];
static unsigned ntexts, nsites, skipped;

/* ---- where the code is -------------------------------------------------------------------------
 */

struct anchor {
	uint64_t addr, dev, ino;
};

/* A line of /proc/self/maps; false: none of code. */
static bool parse(const char *line, struct text *t, bool *code)
{
	unsigned long start, end, offset, ino;
	unsigned major_no, minor_no;
	char perms[5];
	int path = 0;

	if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %n", &start, &end, perms, &offset, &major_no,
		   &minor_no, &ino, &path) < 7)
		return false;
	*t = (struct text){.start = start, .end = end, .offset = offset, .ino = ino};
	t->dev = makedev(major_no, minor_no);
	*code = perms[0] == 'r' && perms[1] == '-' && perms[2] == 'x' && perms[3] == 'p';
	if (path && strlen(line + path) < sizeof(t->path))
		strcpy(t->path, line + path);
	return true;
}

static void each_mapping(void (*fn)(const struct text *t, bool code, void *arg), void *arg)
{
	char buf[8192], *line, *end;
	struct text t;
	size_t have = 0;
	bool code;
	long fd, n;

	fd = SYS(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	while ((n = SYS(SYS_read, fd, buf + have, sizeof(buf) - 1 - have)) > 0) {
		have += (size_t)n;
		buf[have] = 0;
		for (line = buf; (end = strchr(line, '\n')); line = end + 1) {
			*end = 0;
			if (parse(line, &t, &code))
				fn(&t, code, arg);
		}
		have = (size_t)(buf + have - line);
		memmove(buf, line, have);
		/* No line that matters is so long. */
		if (have == sizeof(buf) - 1)
			break;
	}
	SYS(SYS_close, fd);
}

#define ANCHORS 3

static void find_anchor(const struct text *t, bool code, void *arg)
{
	struct anchor *a = arg;
	unsigned i;

	(void)code;
	for (i = 0; i < ANCHORS; i++)
		if (t->start <= a[i].addr && a[i].addr < t->end) {
			a[i].dev = t->dev;
			a[i].ino = t->ino;
		}
}

static void add_text(const struct text *t, bool code, void *arg)
{
	const struct anchor *a = arg;
	unsigned i;

	for (i = 0; code && i < ANCHORS; i++)
		if (a[i].ino && a[i].ino == t->ino && a[i].dev == t->dev && ntexts < MAX_TEXTS) {
			texts[ntexts++] = *t;
			return;
		}
}

/* libc, what it was in pieces once, and the dynamic linker: by what is known to be in them. */
static void find_texts(void)
{
	struct anchor a[ANCHORS] = {
		{.addr = (uintptr_t)REAL(read)},
		{.addr = (uintptr_t)REAL(pthread_create)},
		{.addr = (uintptr_t)dlsym(RTLD_DEFAULT, "__tls_get_addr")},
	};

	each_mapping(find_anchor, a);
	each_mapping(add_text, a);
}

/* ---- where the calls are -----------------------------------------------------------------------
 */

static int32_t get32(const uint8_t *p)
{
	int32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void put32(uint8_t *p, int64_t v)
{
	int32_t word = (int32_t)v;

	memcpy(p, &word, sizeof(word));
}

static bool near_enough(int64_t distance)
{
	return distance == (int32_t)distance;
}

/* Are its bytes, from p on, a call whose result is looked at in the usual way? The latter's size.
 */
static unsigned usual_tail(const uint8_t *p, const uint8_t *end)
{
	if (end - p >= 8 && p[2] == 0x48 && p[3] == 0x3d && get32(p + 4) == -4096)
		return 6;
	if (end - p >= 7 && p[2] == 0x3d && get32(p + 3) == -4096)
		return 5;
	return 0;
}

/* The `mov $NR,%eax` in front of the call, with nothing between them but what a slot can do. */
static const uint8_t *find_mov(const uint8_t *start, const uint8_t *call)
{
	const uint8_t *p, *q;
	struct patch_insn insn;

	for (p = call - JUMP_BYTES; p > start && call - p <= PATCH_FAR; p--) {
		/* A prefix would make it another register; or it is none, which is as well. */
		if (p[0] != 0xb8 || (uint32_t)get32(p + 1) >= 1024 || (p[-1] & 0xf0) == 0x40 ||
		    p[-1] == 0x66)
			continue;
		for (q = p + JUMP_BYTES; q < call; q += insn.size)
			if (!patch_decode(q, call, &insn))
				break;
		if (q == call)
			return p;
	}
	return NULL;
}

static bool add_site(uint64_t at, uint64_t call, unsigned tail)
{
	if (nsites == MAX_SITES)
		return false;
	sites[nsites++] = (struct site){at, call, (uint8_t)tail};
	return true;
}

static void find_sites(struct text *t)
{
	const uint8_t *start = (const uint8_t *)t->start, *end = (const uint8_t *)t->end;
	const uint8_t *p, *mov;
	unsigned tail;

	t->first = nsites;
	for (p = start; (p = memmem(p, (size_t)(end - p), "\x0f\x05", 2)); p += CALL_BYTES) {
		mov = find_mov(start, p);
		tail = usual_tail(p, end);
		if (mov && gate_never(get32(mov + 1)))
			continue;
		if (mov ? !add_site((uintptr_t)mov, (uintptr_t)p, 0)
			: !tail || !add_site((uintptr_t)p, (uintptr_t)p, tail))
			skipped++;
	}
	t->sites = nsites - t->first;
}

/*
 * Take out those which something jumps to the middle of. Any byte may be taken for a jump: what is
 * taken for one wrongly costs a place.
 */
static void spare(struct text *t, uint64_t target)
{
	struct site *s;
	unsigned i;

	for (i = 0; i < t->sites; i++) {
		s = &sites[t->first + i];
		if (!s->tail || s->at + CALL_BYTES != target)
			continue;
		*s = sites[--nsites];
		t->sites--;
		skipped++;
		return;
	}
}

static void spare_targets(struct text *t)
{
	const uint8_t *p, *end = (const uint8_t *)t->end - 6;
	static uint8_t maybe[8192]; /* a bit for each low part of an address */
	uint64_t target;
	unsigned i;

	memset(maybe, 0, sizeof(maybe));
	for (i = t->first; i < t->first + t->sites; i++)
		if (sites[i].tail) {
			target = sites[i].at + CALL_BYTES;
			maybe[target / 8 % sizeof(maybe)] |= (uint8_t)(1u << target % 8);
		}
	for (p = (const uint8_t *)t->start; p < end; p++) {
		if ((*p & 0xf0) == 0x70 || *p == 0xeb)
			target = (uintptr_t)p + 2 + (uint64_t)(int8_t)p[1];
		else if (*p == 0xe9)
			target = (uintptr_t)p + 5 + (uint64_t)get32(p + 1);
		else if (*p == 0x0f && (p[1] & 0xf0) == 0x80)
			target = (uintptr_t)p + 6 + (uint64_t)get32(p + 2);
		else
			continue;
		if (maybe[target / 8 % sizeof(maybe)] & (1u << target % 8))
			spare(t, target);
	}
}

/* ---- what is put there -------------------------------------------------------------------------
 */

struct slot {
	uint8_t *at;
	unsigned size;
};

static void emit(struct slot *s, const void *bytes, unsigned n)
{
	memcpy(s->at + s->size, bytes, n);
	s->size += n;
}

/* An instruction that ends in the distance to target. */
static bool emit_to(struct slot *s, const void *opcode, unsigned n, uint64_t target)
{
	int64_t distance;

	emit(s, opcode, n);
	distance = (int64_t)(target - (uintptr_t)(s->at + s->size + 4));
	put32(s->at + s->size, distance);
	s->size += 4;
	return near_enough(distance);
}

#define JUMP	 "\xe9", 1
#define LOAD_RCX "\x48\x8d\x0d", 3

static bool emit_moved(struct slot *s, const uint8_t *p, const struct patch_insn *insn)
{
	uint8_t *to = s->at + s->size;
	int64_t distance;

	emit(s, p, insn->size);
	if (!insn->relative)
		return true;
	distance = get32(p + insn->relative) + (p - to);
	put32(to + insn->relative, distance);
	return near_enough(distance);
}

static bool fill_before(struct slot *s, const struct site *site)
{
	const uint8_t *p = (const uint8_t *)site->at, *call = (const uint8_t *)site->call;
	struct patch_insn insn;
	bool ok = true;

	emit(s, p, JUMP_BYTES);
	for (p += JUMP_BYTES; p < call; p += insn.size)
		ok = patch_decode(p, call, &insn) && emit_moved(s, p, &insn) && ok;
	ok = emit_to(s, LOAD_RCX, site->call + CALL_BYTES) && ok;
	return emit_to(s, JUMP, (uintptr_t)gate_entry) && ok;
}

/* The call that is gone back to is in the slot, too. */
static bool fill_over(struct slot *s, const struct site *site)
{
	uint64_t end = (uintptr_t)s->at + 7 + JUMP_BYTES + CALL_BYTES;
	bool ok;

	ok = emit_to(s, LOAD_RCX, end);
	ok = emit_to(s, JUMP, (uintptr_t)gate_entry) && ok;
	emit(s, (const uint8_t *)site->call, CALL_BYTES + site->tail);
	return emit_to(s, JUMP, site->call + CALL_BYTES + site->tail) && ok;
}

static uint8_t *slot_of(unsigned site)
{
	return gate_slots + (size_t)site * SLOT_SIZE;
}

/* Fill the slots; those of sites that are too far off are not to be jumped to. */
static bool fill_slots(void)
{
	size_t size = (size_t)(gate_slots_end - gate_slots);
	uint64_t end;
	unsigned i;

	if (SYS(SYS_mprotect, gate_slots, size, PROT_READ | PROT_WRITE) < 0)
		return false;
	for (i = 0; i < nsites; i++) {
		struct slot s = {.at = slot_of(i)};

		if (!(sites[i].tail ? fill_over(&s, &sites[i]) : fill_before(&s, &sites[i])) ||
		    !near_enough((int64_t)((uintptr_t)s.at - sites[i].at))) {
			sites[i].at = 0;
			continue;
		}
		end = sites[i].call + CALL_BYTES;
		memcpy(s.at + SLOT_WORD, &end, sizeof(end));
	}
	return SYS(SYS_mprotect, gate_slots, size, PROT_READ | PROT_EXEC) == 0;
}

/* The file that the text was mapped from, if it still has that name; else nothing. */
static long map_again(const struct text *t)
{
	size_t size = t->end - t->start;
	struct stat st;
	long fd, map = -ENOENT;

	fd = SYS(SYS_openat, AT_FDCWD, t->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fd;
	if (SYS(SYS_fstat, fd, &st) == 0 && st.st_ino == t->ino && st.st_dev == t->dev)
		map = SYS(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, t->offset);
	SYS(SYS_close, fd);
	return map;
}

/* As it is in memory: somebody else may have changed it. */
static void copy_text(const struct text *t, uint8_t *copy)
{
	uint64_t at, size = t->end - t->start;

	for (at = 0; at < size; at += UF_PAGE_SIZE)
		if (memcmp(copy + at, (const void *)(t->start + at), UF_PAGE_SIZE) != 0)
			memcpy(copy + at, (const void *)(t->start + at), UF_PAGE_SIZE);
}

static unsigned put_jumps(const struct text *t, uint8_t *copy)
{
	unsigned i, done = 0;

	for (i = t->first; i < t->first + t->sites; i++) {
		uint8_t *p = copy + (sites[i].at - t->start);

		if (!sites[i].at)
			continue;
		p[0] = 0xe9;
		put32(p + 1, (int64_t)((uintptr_t)slot_of(i) - (sites[i].at + JUMP_BYTES)));
		done++;
	}
	return done;
}

/* How many places of it are jumps now. */
static unsigned replace(const struct text *t)
{
	size_t size = t->end - t->start;
	long map = map_again(t);
	unsigned done;

	if (map < 0)
		map = SYS(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	if (map < 0)
		return 0;
	copy_text(t, (uint8_t *)map);
	done = put_jumps(t, (uint8_t *)map);
	if (SYS(SYS_mprotect, map, size, PROT_READ | PROT_EXEC) == 0 &&
	    SYS(SYS_mremap, map, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, t->start) ==
		    (long)t->start)
		return done;
	SYS(SYS_munmap, map, size);
	return 0;
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

#define XSAVE_VECTORS 0xe6u /* SSE, AVX, and the three of AVX-512 */
#define XSAVE_HEADER  (512u + 64u)

static void look_at_cpu(void)
{
	uint32_t a, b, c, d, low, high, i, size = XSAVE_HEADER;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27)) ||
	    !__get_cpuid_count(0xd, 1, &a, &b, &c, &d) || !(a & 2))
		return;
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	for (i = 2; i < 8; i++) {
		if (!(low & XSAVE_VECTORS & (1u << i)) ||
		    !__get_cpuid_count(0xd, i, &a, &b, &c, &d))
			continue;
		size = (c & 2 ? (size + 63) & ~63u : size) + a;
	}
	gate_vectors[1] = (size + 63) & ~63u;
	gate_vectors[0] = low & XSAVE_VECTORS;
}

const char *front_started(void)
{
	static char said[128];
	unsigned i, found, done = 0;

	if (said[0])
		return said;
	dispatch_start();
	look_at_cpu();
	gate_quick_start(host_fd_floor());
	find_texts();
	for (i = 0; i < ntexts; i++) {
		find_sites(&texts[i]);
		spare_targets(&texts[i]);
	}
	found = nsites + skipped;
	if (fill_slots())
		for (i = 0; i < ntexts; i++)
			done += replace(&texts[i]);
	snprintf(said, sizeof(said), "%u system calls of libc are caught, %u are not", done,
		 found - done);
	return said;
}
