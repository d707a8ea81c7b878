/*
 * hosted_load.c - segments, stack, auxiliary vector: what the kernel's exec does for a static
 * program.
 */
#include "front/hosted.h"

#include <elf.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#define HEADERS_MAX 64
/* Where position-independent ones go: far from what the kernel maps on its own. */
#define PIE_BASE 0x2aaaaaaaa000ull

struct layout {
	Elf64_Ehdr elf;
	Elf64_Phdr seg[HEADERS_MAX];
	uint64_t low, high, align, bias;
};

static uint64_t page_down(uint64_t x)
{
	return x & UF_PAGE_MASK;
}

static uint64_t page_up(uint64_t x)
{
	return (x + UF_PAGE_SIZE - 1) & UF_PAGE_MASK;
}

static bool read_whole(int fd, void *buf, size_t n, uint64_t off)
{
	return SYS(SYS_pread64, fd, buf, n, off) == (long)n;
}

static bool measure(struct layout *l)
{
	bool any = false;

	l->low = UINT64_MAX;
	l->align = UF_PAGE_SIZE;
	for (unsigned i = 0; i < l->elf.e_phnum; i++) {
		const Elf64_Phdr *s = &l->seg[i];
		uint64_t end;

		if (s->p_type != PT_LOAD)
			continue;
		if (__builtin_add_overflow(s->p_vaddr, s->p_memsz, &end) ||
		    end > CPU_TASK_SIZE - UF_PAGE_SIZE || s->p_filesz > s->p_memsz ||
		    (s->p_vaddr - s->p_offset) % UF_PAGE_SIZE || (s->p_align & (s->p_align - 1)))
			return false;
		l->low = page_down(s->p_vaddr) < l->low ? page_down(s->p_vaddr) : l->low;
		l->high = end > l->high ? end : l->high;
		l->align = s->p_align > l->align ? s->p_align : l->align;
		any = true;
	}
	return any;
}

static int read_headers(int fd, struct layout *l)
{
	if (!read_whole(fd, &l->elf, sizeof(l->elf), 0) || l->elf.e_phnum > HEADERS_MAX ||
	    l->elf.e_phentsize != sizeof(Elf64_Phdr) ||
	    !read_whole(fd, l->seg, l->elf.e_phnum * sizeof(Elf64_Phdr), l->elf.e_phoff) ||
	    !measure(l))
		return -ENOEXEC;
	return 0;
}

/* The whole range, inaccessible, so that the segments find their places free. */
static long reserve(struct layout *l)
{
	uint64_t len = page_up(l->high) - l->low;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	long at;

	if (l->elf.e_type == ET_EXEC)
		return SYS(SYS_mmap, l->low, len, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
	at = SYS(SYS_mmap, (PIE_BASE + l->align - 1) & ~(l->align - 1), len, PROT_NONE, flags, -1,
		 0);
	if (at < 0 || (at & (long)(l->align - 1)) == 0)
		return at;
	SYS(SYS_munmap, at, len);
	at = SYS(SYS_mmap, 0, len + l->align, PROT_NONE, flags, -1, 0);
	return at < 0 ? at : (long)(((uint64_t)at + l->align - 1) & ~(l->align - 1));
}

static int protection(const Elf64_Phdr *s)
{
	return (s->p_flags & PF_R ? PROT_READ : 0) | (s->p_flags & PF_W ? PROT_WRITE : 0) |
	       (s->p_flags & PF_X ? PROT_EXEC : 0);
}

static int map_segment(int fd, const struct layout *l, const Elf64_Phdr *s)
{
	uint64_t start = l->bias + s->p_vaddr, from = page_down(start);
	uint64_t file_end = start + s->p_filesz, end = start + s->p_memsz, zero = page_up(file_end);
	int prot = protection(s);
	long at = 0;

	if (s->p_filesz)
		at = SYS(SYS_mmap, from, file_end - from, prot, MAP_PRIVATE | MAP_FIXED, fd,
			 page_down(s->p_offset));
	else
		zero = from;
	if (at >= 0 && page_up(end) > zero)
		at = SYS(SYS_mmap, zero, page_up(end) - zero, prot,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (at < 0)
		return (int)at;
	/* What follows the data in its last page is the program's, and zero. */
	if (s->p_filesz && (prot & PROT_WRITE) && end > file_end)
		memset((void *)file_end, 0, (end < zero ? end : zero) - file_end);
	return 0;
}

static uint64_t find_headers(const struct layout *l)
{
	uint64_t off = l->elf.e_phoff;

	for (unsigned i = 0; i < l->elf.e_phnum; i++)
		if (l->seg[i].p_type == PT_PHDR)
			return l->bias + l->seg[i].p_vaddr;
	for (unsigned i = 0; i < l->elf.e_phnum; i++) {
		const Elf64_Phdr *s = &l->seg[i];

		if (s->p_type == PT_LOAD && off >= s->p_offset && off < s->p_offset + s->p_filesz)
			return l->bias + s->p_vaddr + off - s->p_offset;
	}
	return 0;
}

int hosted_load(int fd, struct hosted_image *image, const char **why)
{
	struct layout l = {.high = 0};
	int err = read_headers(fd, &l);
	long at;

	*why = "its ELF headers are damaged";
	if (err)
		return err;
	at = reserve(&l);
	*why = "its place in the address space is taken";
	if (at < 0)
		return (int)at;
	if (l.elf.e_type == ET_EXEC && (uint64_t)at != l.low) {
		SYS(SYS_munmap, at, page_up(l.high) - l.low);
		return -EEXIST;
	}
	l.bias = (uint64_t)at - l.low;
	*why = "its segments cannot be mapped";
	for (unsigned i = 0; i < l.elf.e_phnum && !err; i++)
		if (l.seg[i].p_type == PT_LOAD && l.seg[i].p_memsz)
			err = map_segment(fd, &l, &l.seg[i]);
	image->entry = l.bias + l.elf.e_entry;
	image->headers = find_headers(&l);
	image->nheaders = l.elf.e_phnum;
	image->end = page_up(l.bias + l.high);
	return err;
}

/* ---- what the program finds on its stack -------------------------------------------------------
 */

static size_t count(char **list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

static Elf64_auxv_t *auxiliary(char **envp)
{
	return (Elf64_auxv_t *)(envp + count(envp) + 1);
}

static size_t count_auxiliary(const Elf64_auxv_t *aux)
{
	size_t n = 1;

	for (; aux->a_type != AT_NULL; aux++)
		n++;
	return n;
}

size_t hosted_stack_words(char **argv)
{
	size_t argc = count(argv);
	char **envp = argv + argc + 1;

	return 1 + argc + 1 + count(envp) + 1 + 2 * count_auxiliary(auxiliary(envp));
}

static uint64_t auxiliary_value(const Elf64_auxv_t *aux, const struct hosted_image *image,
				const char *path)
{
	switch (aux->a_type) {
	case AT_PHDR:
		return image->headers;
	case AT_PHNUM:
		return image->nheaders;
	case AT_BASE:
		return 0;
	case AT_ENTRY:
		return image->entry;
	case AT_EXECFN:
		return (uintptr_t)path;
	default:
		return aux->a_un.a_val;
	}
}

void hosted_stack(uint64_t *words, char **argv, const struct hosted_image *image, const char *path)
{
	size_t argc = count(argv);
	char **envp = argv + argc + 1;
	const Elf64_auxv_t *aux = auxiliary(envp);

	*words++ = argc;
	for (; *argv; argv++)
		*words++ = (uintptr_t)*argv;
	*words++ = 0;
	for (; *envp; envp++)
		if (strncmp(*envp, HOSTED_PROGRAM "=", sizeof(HOSTED_PROGRAM)) != 0)
			*words++ = (uintptr_t)*envp;
	*words++ = 0;
	for (; aux->a_type != AT_NULL; aux++) {
		*words++ = aux->a_type;
		*words++ = auxiliary_value(aux, image, path);
	}
	*words++ = AT_NULL;
	*words = 0;
}
