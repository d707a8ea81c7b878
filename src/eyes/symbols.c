/*
 * symbols.c - call sites: from addresses to functions and lines, by the symbols and the debug
 * information of the files that the code came from.
 *
 * Without libdw (elfutils), or where the file is not there any more or was changed since, a place
 * is the module and the offset in it.
 */
#include "eyes/eyes.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef HAVE_LIBDW
#include <elfutils/libdwfl.h>
#endif

#define LOOKED_UP 4096u /* sites, at most; the others are rare */

struct binary {
	char path[512];
	bool tried;
#ifdef HAVE_LIBDW
	Dwfl *dwfl;
	Dwfl_Module *module;
#endif
};

#ifdef HAVE_LIBDW

static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_build_id_find_elf,
	.find_debuginfo = dwfl_standard_find_debuginfo,
	.section_address = dwfl_offline_section_address,
};

/* The file is what ran only if it has not been changed since. */
static int open_binary(const char *path, uint64_t recorded_ns)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
			(uint64_t)st.st_mtim.tv_sec > recorded_ns / 1000000000)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void binary_open(struct binary *b, uint64_t recorded_ns)
{
	int fd = open_binary(b->path, recorded_ns);

	b->tried = true;
	if (fd < 0)
		return;
	b->dwfl = dwfl_begin(&callbacks);
	if (!b->dwfl) {
		close(fd);
		return;
	}
	dwfl_report_begin(b->dwfl);
	/* The descriptor is its own from now on if this works. */
	b->module = dwfl_report_offline(b->dwfl, b->path, b->path, fd);
	dwfl_report_end(b->dwfl, NULL, NULL);
	if (!b->module)
		close(fd);
}

static void binary_close(struct binary *b)
{
	if (b->dwfl)
		dwfl_end(b->dwfl);
}

/* What is at that offset of the file, in its own addresses. */
static bool address_of(Elf *elf, uint64_t offset, uint64_t *addr)
{
	size_t n;

	if (elf_getphdrnum(elf, &n) != 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr h;

		if (gelf_getphdr(elf, (int)i, &h) && h.p_type == PT_LOAD && offset >= h.p_offset &&
		    offset - h.p_offset < h.p_filesz) {
			*addr = offset - h.p_offset + h.p_vaddr;
			return true;
		}
	}
	return false;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void look_up(struct binary *b, uint64_t offset, struct place *p)
{
	GElf_Addr bias;
	Elf *elf = dwfl_module_getelf(b->module, &bias);
	const char *name, *file;
	GElf_Sym symbol;
	GElf_Off off;
	Dwfl_Line *line;
	uint64_t addr;

	if (!elf || !address_of(elf, offset, &addr))
		return;
	name = dwfl_module_addrinfo(b->module, addr + bias, &off, &symbol, NULL, NULL, NULL);
	if (name)
		clean_text(p->function, sizeof(p->function), name, strlen(name));
	line = dwfl_module_getsrc(b->module, addr + bias);
	file = line ? dwfl_lineinfo(line, NULL, &p->line, NULL, NULL, NULL) : NULL;
	if (file)
		clean_text(p->file, sizeof(p->file), base_name(file), strlen(base_name(file)));
}

static bool known(const struct binary *b)
{
	return b->module;
}

#else

static void binary_open(struct binary *b, uint64_t recorded_ns)
{
	(void)recorded_ns;
	b->tried = true;
}

static void binary_close(struct binary *b)
{
	(void)b;
}

static void look_up(struct binary *b, uint64_t offset, struct place *p)
{
	(void)b;
	(void)offset;
	(void)p;
}

static bool known(const struct binary *b)
{
	(void)b;
	return false;
}

#endif

/* ---- where an address was
 */

static int by_addr(const void *a, const void *b)
{
	const struct module *x = *(struct module *const *)a, *y = *(struct module *const *)b;

	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static struct module **sorted_modules(const struct survey *s)
{
	struct module **list = malloc((s->modules.n + 1) * sizeof(struct module *));

	if (!list)
		return NULL;
	for (uint32_t i = 0; i < s->modules.n; i++)
		list[i] = table_item(&s->modules, i);
	qsort(list, s->modules.n, sizeof(*list), by_addr);
	return list;
}

static const struct module *module_at(struct module **list, uint32_t n, uint32_t process,
				      uint64_t addr)
{
	uint32_t low = 0, high = n;

	while (low < high) {
		uint32_t middle = (low + high) / 2;
		const struct module *m = list[middle];

		if (m->process < process || (m->process == process && m->addr <= addr))
			low = middle + 1;
		else
			high = middle;
	}
	/* Of one that was mapped where another had been, either may be meant; the last one is. */
	if (low == 0 || list[low - 1]->process != process ||
	    addr - list[low - 1]->addr >= list[low - 1]->size)
		return NULL;
	return list[low - 1];
}

const char *place_name(const struct place *p, char *buffer, size_t size)
{
	const char *slash = strrchr(p->module, '/');
	const char *module = slash ? slash + 1 : p->module;

	if (p->function[0] && p->file[0])
		snprintf(buffer, size, "%s (%s:%d)", p->function, p->file, p->line);
	else if (p->function[0])
		snprintf(buffer, size, "%s (%s)", p->function, module);
	else if (p->module[0])
		snprintf(buffer, size, "%s+0x%" PRIx64, module, p->offset);
	else
		snprintf(buffer, size, "0x%" PRIx64, p->offset);
	return buffer;
}

/* ---- all of them
 */

static uint64_t site_faults(const struct site *s)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < WHYS; i++)
		n += s->by_why[i];
	return n;
}

static int most_faults(const void *a, const void *b)
{
	const struct site *x = *(struct site *const *)a, *y = *(struct site *const *)b;
	uint64_t n = site_faults(x), m = site_faults(y);

	if (n != m)
		return n > m ? -1 : 1;
	return x->ip < y->ip ? -1 : x->ip > y->ip;
}

static int most_faults_of_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->faults != y->faults)
		return x->faults > y->faults ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void merge(struct place *to, const struct site *from)
{
	to->faults += site_faults(from);
	for (unsigned i = 0; i < WHYS; i++)
		to->by_why[i] += from->by_why[i];
	to->waits.count += from->waits.count;
	to->waits.sum += from->waits.sum;
	if (from->waits.max > to->waits.max)
		to->waits.max = from->waits.max;
	for (unsigned i = 0; i < COARSE; i++)
		to->waits.bucket[i] += from->waits.bucket[i];
}

static uint64_t hash_text(const char *text, uint64_t h)
{
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3ull;
	return h;
}

struct lookup {
	struct figures *f;
	struct module **modules;
	struct table binaries; /* (hash of the path, 0): struct binary */
	struct table places;   /* (hash of the name, ditto): struct place */
};

static void resolve(struct lookup *l, const struct site *site)
{
	struct survey *s = l->f->survey;
	const struct module *m = module_at(l->modules, s->modules.n, site->process, site->ip);
	struct place p = {.offset = site->ip}, *to;
	struct binary *b;
	char name[512];

	if (m) {
		clean_text(p.module, sizeof(p.module), m->path, sizeof(m->path));
		p.offset = site->ip - m->addr + m->offset;
		b = table_at(&l->binaries, hash_text(p.module, 1), hash_text(p.module, 2));
		if (b && !b->tried) {
			memcpy(b->path, p.module, sizeof(b->path));
			binary_open(b, s->reader->header.real_ns);
		}
		if (b && known(b))
			look_up(b, p.offset, &p);
	}
	place_name(&p, name, sizeof(name));
	to = table_at(&l->places, hash_text(name, 3), hash_text(p.module, 4));
	if (!to)
		return;
	if (!to->faults)
		*to = p;
	merge(to, site);
}

bool places_make(struct figures *f)
{
	struct lookup l = {.f = f, .modules = sorted_modules(f->survey)};
	struct site **list = malloc((f->sites.n + 1) * sizeof(struct site *));
	bool done = l.modules && list;

	table_init(&l.binaries, sizeof(struct binary), 1024);
	table_init(&l.places, sizeof(struct place), LOOKED_UP);
	for (uint32_t i = 0; done && i < f->sites.n; i++)
		list[i] = table_item(&f->sites, i);
	if (done)
		qsort(list, f->sites.n, sizeof(*list), most_faults);
	for (uint32_t i = 0; done && i < f->sites.n; i++) {
		if (i < LOOKED_UP)
			resolve(&l, list[i]);
		else
			f->sites_left_out += site_faults(list[i]);
	}
	for (uint32_t i = 0; i < l.binaries.n; i++)
		binary_close(table_item(&l.binaries, i));
	f->nplaces = l.places.n;
	f->place = (struct place *)l.places.item;
	l.places.item = NULL;
	if (f->nplaces)
		qsort(f->place, f->nplaces, sizeof(*f->place), most_faults_of_place);
	table_free(&l.places);
	table_free(&l.binaries);
	free(list);
	free(l.modules);
	return done;
}
