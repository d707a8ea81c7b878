/*
 * userfault/userfault.h - userfaultfd in user space, as a library.
 *
 * Ways to serve faults on a range of memory:
 *
 *   a descriptor  uf_open, uf_ioctl (UF_IO_* of abi.h), uf_read: the kernel's userfaultfd, call for
 *                 call. The descriptor is a real one: poll, epoll, dup and fcntl work on it. It is
 *                 closed with uf_close. uf_write fills pages, several in one call.
 *   a callback    uf_handle: a function that runs on the faulting thread, fills the page and
 *                 returns; no other thread, no switch. Or uf_handle_pages: it returns the page, and
 *                 the library maps it.
 *   a signal      SIGBUS mode of a descriptor; the program's SIGBUS handler calls uf_mcopy_atomic.
 *   a type        uf_type_map: memory whose pages are the program's to make and to save.
 *
 * Memory under management is mapped, unmapped, protected and advised through uf_mmap and its kin,
 * or mapped natively and told about with uf_ioctl(UF_IO_REGISTER) or uf_handle, as long as munmap,
 * mremap, mprotect and madvise on it go through the calls below.
 *
 * The library takes SIGSEGV: a program that wants to handle it too installs its handler before the
 * first call here, or with uf_sigaction. Threads must not block SIGSEGV.
 *
 * Every call returns 0 or a count, or a negative errno; none sets errno. All are thread-safe. Under
 * `userfault run` the calls act on the same instance as the program's system calls.
 */
#ifndef USERFAULT_H
#define USERFAULT_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <userfault/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * userfaultfd(2). flags: O_CLOEXEC, O_NONBLOCK, UF_USER_MODE_ONLY, and UF_RESOLVE_BY_WRITE. Returns
 * a descriptor. -EINVAL, -EMFILE, -ENFILE, -ENOMEM; -ENOSYS when this machine offers no trap
 * (uf_why says so in words).
 */
int uf_open(int flags);

/* For uf_open: under `userfault run` write(2) on the descriptor is uf_write, too, not EBADF. */
#define UF_RESOLVE_BY_WRITE 0x40000000

/* One sentence on why Userfault could not start in this process, or NULL. */
const char *uf_why(void);

/*
 * What goes beyond every kernel, and is off until asked for; flags are all that is to be on.
 * -EINVAL: another flag; -ENOSYS.
 */
#define UF_FILE_FAULTS 1u /* regular files can be registered in every mode */
#define UF_MOVE_ANY    2u /* pages move between all types of memory that can give and take one */
int uf_configure(unsigned flags);

/* ioctl(2) on it: the UF_IO_* of abi.h, with the kernel's errors. -EBADF if fd is not ours. */
int uf_ioctl(int fd, unsigned long request, void *arg);

/* read(2) on it: whole messages. Blocks if the descriptor does, and is then interrupted (-EINTR).
 */
ssize_t uf_read(int fd, void *buf, size_t count);

/*
 * Resolve faults by writing structs that name destination and source. Returns the bytes of the
 * structs that are done, or, when not even the first is, its error: as the ioctl's, with -EAGAIN
 * when a part of it was filled; -EINVAL when count holds no whole struct, or for other mode bits.
 */
struct uf_resolve {
	uint64_t dst;
	uint64_t src; /* 0 with UF_RESOLVE_ZERO */
	uint64_t len;
	uint64_t mode; /* UF_RESOLVE_ and the kind of filling */
};
#define UF_RESOLVE_COPY	    0ull
#define UF_RESOLVE_DONTWAKE 1ull
#define UF_RESOLVE_WP	    2ull /* of COPY only */
#define UF_RESOLVE_ZERO	    4ull /* zeroes instead of src */
#define UF_RESOLVE_MOVE	    8ull /* the pages of src go to dst */
ssize_t uf_write(int fd, const void *buf, size_t count);

/* close(2) on it. */
int uf_close(int fd);

/* mmap(2) and its kin, for memory that is, was or will be under management. Any memory is welcome.
 */
void *uf_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset, int *error);
int uf_munmap(void *addr, size_t len);
void *uf_mremap(void *old, size_t old_len, size_t new_len, int flags, void *new_addr, int *error);
int uf_mprotect(void *addr, size_t len, int prot);
int uf_madvise(void *addr, size_t len, int advice);

/* sigaction(2) for a program that handles SIGSEGV itself. */
struct sigaction; /* <signal.h> keeps it to itself in strict C */
int uf_sigaction(int sig, const struct sigaction *act, struct sigaction *old);

/*
 * At most `bytes` of the mapping that shows [addr, addr + len) stay in memory; cold pages leave, to
 * swap or to where their type saves them, and come back when touched. addr NULL and len 0: of all
 * memory under management together. bytes 0: no limit. A limit takes effect with the next page that
 * comes; uf_madvise with MADV_PAGEOUT lets pages leave at once. -ENOENT: nothing
 * is managed there; -EINVAL: several mappings, or one whose pages cannot leave.
 */
int uf_limit(void *addr, size_t len, uint64_t bytes);

/* ---- Without a descriptor ----------------------------------------------------------------------
 * Whole pages, on any memory of a type that can take them, whether or not it is registered. Bytes
 * done, or a negative errno when not even the first page was. Faults that wait for the pages go on.
 * Both may be called in a handler of SIGSEGV or SIGBUS.
 */

/*
 * Fill absent pages at dst from src, which need not be aligned. Each page appears whole or not at
 * all; dst is not faulted in, and a page that is there is never overwritten (-EEXIST). -EINVAL: dst
 * or len is no multiple of the page size; -EFAULT: src cannot be read; -ENOENT: nothing is mapped
 * at dst; -ENOMEM.
 */
ssize_t uf_mcopy_atomic(void *dst, const void *src, size_t len);

/*
 * Move the pages at src to dst, where none may be (-EEXIST); afterwards src has none. -ENOENT: one
 * of src is absent; -EINVAL: the two cannot exchange pages.
 */
ssize_t uf_remap_pages(void *dst, void *src, size_t len);

/* ---- The callback ------------------------------------------------------------------------------
 */

struct uf_fault {
	uint64_t address; /* exact */
	uint64_t page;	  /* start of the page */
	uint64_t flags;	  /* UF_PAGEFAULT_FLAG_* */
	uint64_t size;	  /* of the page */
};

/*
 * Called on the faulting thread, with signals blocked. Resolves the fault by one of the uf_fill_
 * calls on any range that contains the page, and returns 0; the access is then done again. A
 * negative errno gives the access SIGBUS. It may touch managed memory itself, of other handlers
 * too; it must not take a lock that code which touches the range may hold.
 */
typedef int (*uf_handler_fn)(const struct uf_fault *fault, void *arg);

/* Serve [addr, addr + len) with fn. modes: UF_REGISTER_MODE_*. Errors as REGISTER; *out names it.
 */
struct uf_handler;
int uf_handle(void *addr, size_t len, uint64_t modes, uf_handler_fn fn, void *arg,
	      struct uf_handler **out);

/*
 * The same with a function that only says where the page's contents are; the faulting thread maps
 * them itself, and fn calls nothing of the library. It returns a pointer to fault->size bytes,
 * which must stay as they are until the access has been done, or one of
 */
#define UF_PAGE_ERROR ((const void *)0) /* SIGBUS */
#define UF_PAGE_ZERO  ((const void *)1) /* zeroes */
#define UF_PAGE_KEEP  ((const void *)2) /* of a minor or protection fault: the page as it is */
typedef const void *(*uf_page_fn)(const struct uf_fault *fault, void *arg);
int uf_handle_pages(void *addr, size_t len, uint64_t modes, uf_page_fn fn, void *arg,
		    struct uf_handler **out);

/*
 * The range becomes ordinary memory with the contents it has. No callback runs when it returns, so
 * it must not be called from one of h.
 */
int uf_unhandle(struct uf_handler *h);

/* Fill pages of the range (page-aligned): bytes done, or a negative errno when none was. */
ssize_t uf_fill_copy(struct uf_handler *h, void *dst, const void *src, size_t len);
ssize_t uf_fill_zero(struct uf_handler *h, void *dst, size_t len);
ssize_t uf_fill_poison(struct uf_handler *h, void *dst, size_t len);
/* After a minor fault: let the pages be seen that the file has already. -EFAULT: it has none. */
ssize_t uf_fill_continue(struct uf_handler *h, void *dst, size_t len);
/* Write-protect (set != 0) or release pages. 0 or a negative errno. */
int uf_write_protect(struct uf_handler *h, void *addr, size_t len, int set);
/* The same for all accesses (UF_REGISTER_MODE_RWP). */
int uf_rw_protect(struct uf_handler *h, void *addr, size_t len, int set);

/* ---- Types of memory ---------------------------------------------------------------------------
 */

/*
 * Memory whose pages the program makes, saves and forgets. Page n is the n-th of the mapping. The
 * functions run on the thread that touches a page, or makes another leave, in the middle of that
 * access and with signals blocked; those of one mapping never at the same time. They must not touch
 * memory of any such mapping, nor take a lock that code which touches it may hold. Each returns
 * `size` when it has done the whole page. Anything less is an error that uf_type_get_stats counts,
 * a negative errno like a short page: an access gets SIGBUS, a page that should leave stays.
 */
struct uf_type {
	const char *name;
	uint32_t flags; /* UF_TYPE_* */
	/* Fill buf with the page's contents: as saved last, or as they are in the beginning. */
	ssize_t (*fetch)(void *arg, uint64_t page, void *buf, size_t size);
	/*
	 * Save the contents, which leave memory. NULL: a page leaves only if fetch makes the same
	 * contents again.
	 */
	ssize_t (*writeback)(void *arg, uint64_t page, const void *buf, size_t size);
	/* n pages are not needed any more (MADV_DONTNEED, munmap); may be NULL. */
	void (*drop)(void *arg, uint64_t page, uint64_t n);
};

/*
 * Pages begin absent, and are zero when first touched, or are filled by a handler of missing
 * faults. fetch is asked only for what writeback saved.
 */
#define UF_TYPE_EMPTY 1u

/*
 * Map len bytes of that type, near addr if it is not NULL; fetch or UF_TYPE_EMPTY must be given,
 * and fetch with writeback. The mapping is used like any: uf_munmap, uf_mprotect, uf_mremap,
 * uf_madvise, uf_limit, and faults of it can be handled. *type may go when this has returned.
 * MAP_FAILED, and -EINVAL, -ENOMEM, -ENOSYS in *error.
 */
void *uf_type_map(const struct uf_type *type, void *arg, void *addr, size_t len, int prot,
		  int *error);

struct uf_type_stats {
	uint64_t fetched, saved, dropped; /* pages */
	uint64_t errors;		  /* calls that failed, those with a short page included */
	uint64_t short_pages;
	int last_error; /* negative errno, or 0; -EIO for a short page */
};
/* Of the mapping at addr. -ENOENT: there is none of such a type. */
int uf_type_get_stats(void *addr, struct uf_type_stats *out);

/* ---- Statistics --------------------------------------------------------------------------------
 */

struct uf_stats {
	uint64_t faults_missing, faults_wp, faults_minor, faults_rwp; /* given to a handler */
	uint64_t faults_tlb, faults_ordinary, faults_sigbus;
	uint64_t pages_filled;
	uint64_t latency_p50_ns, latency_p99_ns, latency_max_ns;
	uint64_t mappings, mappings_budget;
};
void uf_get_stats(struct uf_stats *out);

#ifdef __cplusplus
}
#endif
#endif
