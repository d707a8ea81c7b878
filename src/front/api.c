/*
 * api.c - the library's calls, userfault/userfault.h.
 */
#include <userfault/userfault.h>

#include "front/front.h"

#include <sys/mman.h>

#define EXPORT __attribute__((visibility("default")))

/* The public numbers of modes are mm's. */
_Static_assert(UF_REGISTER_MODE_RWP == MM_MODE_RWP && UF_REGISTER_MODE_WP == MM_MODE_WP, "modes");

EXPORT int uf_open(int flags)
{
	struct file *f;
	int fd = ufd_new(flags & ~UF_RESOLVE_BY_WRITE);

	if (fd >= 0 && (f = file_get(fd))) {
		ufd_by_write(f, flags & UF_RESOLVE_BY_WRITE);
		/* The program polls it without us. */
		ufd_watch(f);
		file_put(f);
	}
	return fd;
}

EXPORT const char *uf_why(void)
{
	return front_why();
}

/* In *f with a reference. */
static int get(int fd, struct file **f)
{
	int err = 0;

	*f = file_get(fd);
	if (!*f)
		err = ufd_recognise(fd, f);
	if (*f && (*f)->kind != FILE_UFFD) {
		file_put(*f);
		*f = NULL;
	}
	return *f ? 0 : err ? err : -EBADF;
}

EXPORT int uf_ioctl(int fd, unsigned long request, void *arg)
{
	FILE_REF struct file *f = NULL;
	int err = get(fd, &f);

	return err ? err : ufd_ioctl(f, fd, request, (uintptr_t)arg);
}

EXPORT ssize_t uf_read(int fd, void *buf, size_t count)
{
	FILE_REF struct file *f = NULL;
	int err = get(fd, &f);

	if (err)
		return err;
	/* Without the interposer the program changes it unseen. */
	if (!ufd_ready(f))
		ufd_refresh(f, fd);
	return ufd_read(f, fd, buf, count);
}

EXPORT ssize_t uf_write(int fd, const void *buf, size_t count)
{
	FILE_REF struct file *f = NULL;
	int err = get(fd, &f);

	return err ? err : ufd_write(f, buf, count);
}

EXPORT int uf_close(int fd)
{
	FILE_REF struct file *f = NULL;
	int err = get(fd, &f);

	if (err)
		return err;
	file_detach(fd);
	err = (int)SYS(SYS_close, fd);
	file_put(f);
	f = NULL;
	files_settle();
	return err;
}

/* ---- memory ------------------------------------------------------------------------------------
 */

static void *address(long ret, int *error)
{
	bool failed = (unsigned long)ret >= -4095ul;

	if (error)
		*error = failed ? (int)ret : 0;
	return failed ? MAP_FAILED : (void *)ret;
}

EXPORT void *uf_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset, int *error)
{
	return address(mem_mmap((uintptr_t)addr, len, prot, flags, fd, (uint64_t)offset), error);
}

EXPORT int uf_munmap(void *addr, size_t len)
{
	return mem_munmap((uintptr_t)addr, len);
}

EXPORT void *uf_mremap(void *old, size_t old_len, size_t new_len, int flags, void *new_addr,
		       int *error)
{
	return address(mem_mremap((uintptr_t)old, old_len, new_len, flags, (uintptr_t)new_addr),
		       error);
}

EXPORT int uf_mprotect(void *addr, size_t len, int prot)
{
	return mem_mprotect((uintptr_t)addr, len, prot);
}

EXPORT int uf_madvise(void *addr, size_t len, int advice)
{
	return mem_madvise((uintptr_t)addr, len, advice);
}

EXPORT int uf_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	return front_sigaction(sig, act, old);
}

/* ---- statistics --------------------------------------------------------------------------------
 */

EXPORT void uf_get_stats(struct uf_stats *out)
{
	const struct mm_stats *s;
	struct mach_entry entry;

	*out = (struct uf_stats){0};
	if (!atomic_load(&front_live))
		return;
	s = mm_space_self->stats;
	out->faults_missing = atomic_load(&s->count[MM_STAT_MISSING]);
	out->faults_wp = atomic_load(&s->count[MM_STAT_WP]);
	out->faults_minor = atomic_load(&s->count[MM_STAT_MINOR]);
	out->faults_rwp = atomic_load(&s->count[MM_STAT_RWP]);
	out->faults_tlb = atomic_load(&s->count[MM_STAT_TLB]);
	out->faults_ordinary = atomic_load(&s->count[MM_STAT_ORDINARY]);
	out->faults_sigbus = atomic_load(&s->count[MM_STAT_SIGBUS]);
	out->pages_filled = atomic_load(&s->count[MM_STAT_FILLED]);
	out->latency_p50_ns = mm_stat_quantile(s, 50, 100);
	out->latency_p99_ns = mm_stat_quantile(s, 99, 100);
	out->latency_max_ns = atomic_load(&s->latency_max);
	mach_enter(&entry);
	mach_usage(&out->mappings, &out->mappings_budget);
	mach_leave(&entry);
}
