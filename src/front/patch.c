/*
 * patch.c - the places in the C library where it makes system calls, and what is put there.
 *
 * libc calls itself past the wrappers: malloc gives memory back, a thread's stack goes, stdio reads
 * into a buffer of the program's. So, with the first userfaultfd of a process, those places become
 * jumps. A thread may be anywhere meanwhile, asleep in a system call, too: no more than one
 * instruction is replaced, and what the kernel returns to stays. There are two ways:
 *
 *   mov $NR,%eax  ...  syscall    the mov, of 5 bytes, is the jump. What stood between the two is
 *                                 done in the slot. Who is behind the mov already, or jumps there,
 *                                 finds everything as it was.
 *   syscall  cmp $-4096,%rax      where the number comes from elsewhere, the syscall, of 2 bytes,
 * is a short jump into the padding between functions, and the long one is there.
 *
 * A slot of gate_entry.S does what was displaced and goes on to gate_entry. The text is replaced as
 * a whole: a private mapping of the same file is changed, made executable, and moved over the old
 * one, so that no thread sees half a jump, and nothing is ever writable and executable.
 */
#include "front/patch.h"

#include <cpuid.h>
#include <dlfcn.h>
#include <elf.h>
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
#define FORK_MOST  4096 /* libc's function for it is smaller */

extern uint8_t gate_slots[] __attribute__((visibility("hidden")));
extern uint8_t gate_slots_end[] __attribute__((visibility("hidden")));
void gate_entry(void) __attribute__((visibility("hidden")));
/* The parts of the vector registers to be saved, and the bytes that they take; 0: plain xmm. */
uint32_t gate_vectors[2] __attribute__((visibility("hidden")));

/* A mapping of code with system calls in it. */
struct text {
	uint64_t start, end, offset;
	uint64_t base; /* where the beginning of the file is mapped, 0: nowhere */
	uint64_t dev, ino;
	char path[256];
	unsigned first, sites; /* in the list of sites */
};

struct site {
	uint64_t at;   /* where the jump is to be */
	uint64_t call; /* the system call */
	uint64_t hop;  /* instead: where there is room for the jump, near enough */
};

/* Used once, by the thread that starts this process. */
static struct text texts[MAX_TEXTS];
static struct site sites[MAX_SITES];
static unsigned ntexts, nsites, skipped;

/* ---- where the code is -------------------------------------------------------------------------
 */

struct anchor {
	uint64_t addr, dev, ino, base;
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
	struct anchor *a = arg;
	unsigned i;

	for (i = 0; i < ANCHORS; i++) {
		if (!a[i].ino || a[i].ino != t->ino || a[i].dev != t->dev)
			continue;
		if (t->offset == 0)
			a[i].base = t->start;
		if (code && ntexts < MAX_TEXTS) {
			texts[ntexts] = *t;
			texts[ntexts++].base = a[i].base;
			return;
		}
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

/* Is what stands at p surely a call: is its result looked at in the usual way? */
static bool usual_tail(const uint8_t *p, const uint8_t *end)
{
	int32_t least;

	if (end - p >= 8 && p[2] == 0x48 && p[3] == 0x3d)
		least = get32(p + 4);
	else if (end - p >= 7 && p[2] == 0x3d)
		least = get32(p + 3);
	else
		return false;
	return least == -4096 || least == -4095;
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

static bool add_site(uint64_t at, uint64_t call, uint64_t hop)
{
	if (nsites == MAX_SITES)
		return false;
	sites[nsites++] = (struct site){at, call, hop};
	return true;
}

/*
 * Between two functions there is padding that nobody executes. Where functions begin and end is
 * what unwinders go by: the table of .eh_frame_hdr.
 */
struct functions {
	uint64_t header;      /* where distances count from */
	const int32_t *table; /* pairs: a function, and its entry in .eh_frame */
	uint32_t n;
};

#define EH_VERSION  1
#define EH_PCREL_S4 0x1b
#define EH_UDATA4   0x03
#define EH_TABLE_S4 0x3b

static bool find_functions(const struct text *t, struct functions *f)
{
	const Elf64_Ehdr *elf = (const Elf64_Ehdr *)t->base;
	const Elf64_Phdr *ph;
	const uint8_t *h;
	unsigned i;

	if (!elf || memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0)
		return false;
	ph = (const Elf64_Phdr *)(t->base + elf->e_phoff);
	for (i = 0; i < elf->e_phnum && ph[i].p_type != PT_GNU_EH_FRAME; i++)
		;
	if (i == elf->e_phnum)
		return false;
	h = (const uint8_t *)(t->base + ph[i].p_vaddr);
	if (h[0] != EH_VERSION || h[1] != EH_PCREL_S4 || h[2] != EH_UDATA4 || h[3] != EH_TABLE_S4)
		return false;
	f->header = (uintptr_t)h;
	f->n = (uint32_t)get32(h + 8);
	f->table = (const int32_t *)(h + 12);
	return true;
}

static uint64_t function_start(const struct functions *f, uint32_t i)
{
	return f->header + (uint64_t)(int64_t)f->table[2 * i];
}

/* 0: its entry is of a kind that is not known here. */
static uint64_t function_end(const struct functions *f, uint32_t i)
{
	const uint8_t *entry =
		(const uint8_t *)(f->header + (uint64_t)(int64_t)f->table[2 * i + 1]);
	uint64_t start = (uintptr_t)(entry + 8) + (uint64_t)(int64_t)get32(entry + 8);

	return start == function_start(f, i) ? start + (uint32_t)get32(entry + 12) : 0;
}

/* Nothing but what assemblers fill up with. */
static bool is_padding(const uint8_t *p, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (!memchr("\x90\x66\x2e\x0f\x1f\x84\x80\x44\x40\xcc", p[i], 10) && p[i])
			return false;
	return true;
}

static bool is_taken(uint64_t at)
{
	unsigned i;

	for (i = 0; i < nsites; i++)
		if (sites[i].hop && at < sites[i].hop + JUMP_BYTES &&
		    sites[i].hop < at + JUMP_BYTES)
			return true;
	return false;
}

static uint64_t room_between(uint64_t from, uint64_t to, uint64_t call)
{
	uint64_t at, behind = call + CALL_BYTES;

	for (at = from; at + JUMP_BYTES <= to; at++)
		if (at + 128 >= behind && at < behind + 128 &&
		    is_padding((const uint8_t *)at, JUMP_BYTES) && !is_taken(at))
			return at;
	return 0;
}

/* Where a long jump can stand that a short one, in place of the call, can reach. */
static uint64_t find_hop(const struct functions *f, uint64_t call)
{
	uint32_t low = 0, high = f->n, mid;
	uint64_t end, hop;

	while (low < high) {
		mid = (low + high) / 2;
		if (function_start(f, mid) + 512 < call)
			low = mid + 1;
		else
			high = mid;
	}
	for (low = low ? low - 1 : 0; low + 1 < f->n && function_start(f, low) < call + 256;
	     low++) {
		end = function_end(f, low);
		hop = end ? room_between(end, function_start(f, low + 1), call) : 0;
		if (hop)
			return hop;
	}
	return 0;
}

bool patch_forks;

/* Where libc forks: no other clone can come back from elsewhere. */
static bool in_fork(const struct functions *f, uint64_t call)
{
	uint64_t fork = (uintptr_t)REAL(_Fork), end = 0;
	uint32_t i;

	if (!fork || call < fork || call > fork + FORK_MOST)
		return false;
	for (i = 0; i < f->n && !end; i++)
		if (function_start(f, i) == fork)
			end = function_end(f, i);
	return call < end;
}

static void find_sites(struct text *t)
{
	const uint8_t *start = (const uint8_t *)t->start, *end = (const uint8_t *)t->end;
	struct functions functions = {0};
	const uint8_t *p, *mov;
	uint64_t hop;

	find_functions(t, &functions);
	t->first = nsites;
	for (p = start; (p = memchr(p, 0x0f, (size_t)(end - 1 - p))); p++) {
		if (p[1] != 0x05)
			continue;
		mov = find_mov(start, p);
		if (mov && gate_never(get32(mov + 1)) &&
		    !(get32(mov + 1) == SYS_clone && in_fork(&functions, (uintptr_t)p)))
			continue;
		hop = !mov && usual_tail(p, end) ? find_hop(&functions, (uintptr_t)p) : 0;
		if ((!mov && !hop) || !add_site((uintptr_t)(mov ? mov : p), (uintptr_t)p, hop))
			skipped++;
	}
	t->sites = nsites - t->first;
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
static bool fill_instead(struct slot *s, const struct site *site)
{
	uint64_t end = (uintptr_t)s->at + 7 + JUMP_BYTES + CALL_BYTES;
	bool ok;

	ok = emit_to(s, LOAD_RCX, end);
	ok = emit_to(s, JUMP, (uintptr_t)gate_entry) && ok;
	emit(s, (const uint8_t *)site->call, CALL_BYTES);
	return emit_to(s, JUMP, site->call + CALL_BYTES) && ok;
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

		if (!(sites[i].hop ? fill_instead(&s, &sites[i]) : fill_before(&s, &sites[i])) ||
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

static unsigned put_jumps(const struct text *t, uint8_t *copy, bool *forks)
{
	unsigned i, done = 0;

	for (i = t->first; i < t->first + t->sites; i++) {
		uint64_t at = sites[i].hop ? sites[i].hop : sites[i].at;
		uint8_t *p = copy + (at - t->start), *call = copy + (sites[i].call - t->start);

		if (!sites[i].at)
			continue;
		if (!sites[i].hop && get32(p + 1) == SYS_clone)
			*forks = true;
		p[0] = 0xe9;
		put32(p + 1, (int64_t)((uintptr_t)slot_of(i) - (at + JUMP_BYTES)));
		if (sites[i].hop) {
			call[0] = 0xeb;
			call[1] = (uint8_t)(at - (sites[i].call + CALL_BYTES));
		}
		done++;
	}
	return done;
}

/* How many places of it are jumps now. */
static unsigned replace(const struct text *t)
{
	size_t size = t->end - t->start;
	long map = map_again(t);
	bool forks = patch_forks;
	unsigned done;

	if (map < 0)
		map = SYS(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	if (map < 0)
		return 0;
	copy_text(t, (uint8_t *)map);
	done = put_jumps(t, (uint8_t *)map, &forks);
	if (SYS(SYS_mprotect, map, size, PROT_READ | PROT_EXEC) == 0 &&
	    SYS(SYS_mremap, map, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, t->start) ==
		    (long)t->start) {
		patch_forks = forks;
		return done;
	}
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
	for (i = 0; i < ntexts; i++)
		find_sites(&texts[i]);
	found = nsites + skipped;
	if (fill_slots())
		for (i = 0; i < ntexts; i++)
			done += replace(&texts[i]);
	snprintf(said, sizeof(said), "%u system calls of libc are caught, %u are not", done,
		 found - done);
	return said;
}
